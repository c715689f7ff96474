"""Texts are cleaned as ALBEF and BLIP clean them."""

from __future__ import annotations

import random
import re

import pytest

from bus_toolkit.data.transforms.clean import CleanText, clean_text
from bus_toolkit.errors import ConfigError


def albef(text: str, max_words: int) -> str:
    """Clean a text step by step, as salesforce/ALBEF:dataset/utils.py describes its captions."""
    kept = "".join(letter for letter in text.lower() if letter not in ",.'!?\"()*#:;~")
    for mark in "-/":
        kept = kept.replace(mark, " ")
    words = [word for word in kept.replace("<person>", "person").split(" ") if word]
    return " ".join(words[:max_words])


def blip(text: str, max_words: int) -> str:
    """Likewise salesforce/BLIP:data/utils.py."""
    kept = "".join(" " if letter in '.!"()*#:;~' else letter for letter in text.lower())
    return " ".join([word for word in kept.split(" ") if word][:max_words])


@pytest.mark.parametrize(("rule", "slow"), [("albef", albef), ("blip", blip)])
def test_texts_are_cleaned_as_in_the_source(rule: str, slow: object) -> None:
    draw = random.Random(0)
    parts = ["A", "dog's", "<person>", "left-hand", "black/white", "(two)", "10:30", "who?", "end.", "--", "~#", "  "]
    for _ in range(300):
        text = " ".join(draw.choices(parts, k=draw.randint(1, 12)))
        assert clean_text(text, rule, 5) == slow(text, 5)  # type: ignore[operator]


def test_a_sample_keeps_all_but_its_text() -> None:
    sample = {"text": "The Dog's ball, left of <person>!", "gt_answer": ["10:30"], "image_id": 3}
    cleaned = CleanText().transform(dict(sample))
    assert cleaned == {**sample, "text": "the dogs ball left of person"}
    assert CleanText("blip").transform(dict(sample))["text"] == "the dog's ball, left of <person>"
    assert CleanText("none").transform(dict(sample)) == sample


@pytest.mark.parametrize("text", ["?!", "- - -", ""])
def test_a_text_of_which_nothing_would_be_left_stays(text: str) -> None:
    assert CleanText().transform({"text": text}) == {"text": text}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rule": "clip"}, "CleanText.rule: must be one of albef, blip, none, got 'clip'."),
        ({"max_words": 0}, "CleanText.max_words: must be a whole number above 0, got 0."),
    ],
)
def test_a_wrong_setting_is_refused(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        CleanText(**settings)
