"""Sentences of classes: one feature a class, and names and templates that are refused."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from bus_toolkit.errors import ComponentError, ConfigError, DataError
from bus_toolkit.evaluation.zero_shot.class_texts import (
    checked_names,
    checked_templates,
    class_feats,
    class_sentences,
    refuse_alike,
)
from bus_toolkit.heads import ITMHead
from bus_toolkit.tokenizers import WordPieceTokenizer
from tests.tiny import WIDTH
from tests.tiny_model import tiny_model

NAMES, TEMPLATES = ["ab", "cde", "f"], ["x{}", "{}yz", "q{}q"]


def test_a_class_is_the_mean_of_its_normalised_sentences_normalised_again() -> None:
    model = tiny_model().eval()
    head = model.heads["itc"]
    with torch.no_grad():
        slow = []
        for name in NAMES:
            feats = []
            for template in TEMPLATES:
                text = model.encoders.encode_text(model.encoders.tokenize([template.format(name)]))
                feats.append(F.normalize(head.projections["text"](text.pooled), dim=1)[0])
            mean = sum(feats) / len(feats)
            slow.append(mean / mean.norm())
    for batch_size in (1, 4, 100):
        quick = class_feats(model, NAMES, TEMPLATES, batch_size=batch_size)
        torch.testing.assert_close(quick, torch.stack(slow), rtol=1e-5, atol=1e-6)


def test_a_model_without_contrast_is_refused() -> None:
    model = tiny_model(heads={"itm": ITMHead(text_dim=WIDTH)}).eval()
    with pytest.raises(ComponentError, match="zero-shot classification needs an ITCHead, got itm"):
        class_feats(model, NAMES, TEMPLATES)


@pytest.mark.parametrize(
    ("templates", "message"),
    [
        ([], "templates: needs at least one, got none"),
        ("a photo", r"templates\[0\]: must hold \{\} once, in the place of the name of a class, got 'a photo'"),
        (["a {}", "{} and {}"], r"templates\[1\]: must hold \{\} once.*got '\{\} and \{\}'"),
        (["{0.__class__}"], r"templates\[0\]: must hold \{\} once"),
    ],
)
def test_templates_without_one_place_for_the_name_are_refused(templates, message) -> None:
    with pytest.raises(ConfigError, match=message):
        checked_templates(templates, "templates")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("dog", "classes: needs the names of at least two classes"),
        (["dog"], "classes: needs the names of at least two classes, got 1. Give"),
        (["dog", " "], r"classes\[1\]: must be a name with at least one word, got ' '"),
        (["dog", 3], r"classes\[1\]: must be a name"),
        (["dog", "cat", "dog "], "classes: 'dog' is there twice"),
        (["red_dog", "red  dog"], "classes: 'red dog' is there twice"),
        (["dog", "_"], r"classes\[1\]: must be a name with at least one word, got '_'"),
    ],
)
def test_names_that_do_not_name_classes_are_refused(names, message) -> None:
    with pytest.raises(DataError, match=message):
        checked_names(names, "classes")


def test_underscores_of_names_are_spaces_in_sentences() -> None:
    assert class_sentences(["great_white_shark", "ray"], ["a {}.", "{}"]) == [
        "a great white shark.",
        "great white shark",
        "a ray.",
        "ray",
    ]


def test_names_that_are_one_to_the_tokenizer_are_refused() -> None:
    short = WordPieceTokenizer(max_length=6)  # [CLS], four words, [SEP]
    names = ["dog", "black dog", "black DOG"]
    message = "names: the tokenizer cannot distinguish 'black dog' and 'black DOG', .* cut after 6 tokens"
    with pytest.raises(DataError, match=message):
        refuse_alike(short, names, ["a {}"], "names")
    refuse_alike(short, names[:2], ["a photo of a {}", "a {}"], "names")  # the second sentence is not cut
    with pytest.raises(DataError, match="cannot distinguish 'dog' and 'black dog'"):
        refuse_alike(short, names[:2], ["this is a photo of a {}", "it is not a photo of a {}"], "names")
    refuse_alike(object(), names, ["a {}"], "names")
