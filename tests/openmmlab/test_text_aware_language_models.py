"""mmpretrain's models around a language model: the instruction selects the patches, the answer never does."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from mmpretrain.structures import DataSample

from bus_toolkit.errors import BusError
from bus_toolkit.structures import VisualTokens
from tests.openmmlab.blip_tiny import TRIPS, TSPS, aware, built, images, samples
from tests.openmmlab.language_models_tiny import plain, write_language_models
from tests.openmmlab.test_text_aware_blip import watched

ASKED = "###Ask: <Img><ImageHere></Img> {} ###Answer: {}"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return write_language_models(tmp_path_factory.mktemp("models"))


def talk(question: str, answer: str = "red") -> list[DataSample]:
    return samples(question, chat_content=ASKED.format(question, answer), lang="en", gt_caption=answer)


def seen_by(model: Any, data_samples: list[DataSample], mode: str) -> VisualTokens:
    with torch.no_grad(), watched() as seen:
        model(images(1), data_samples, mode=mode)
    ((text, visual),) = seen
    assert text is not None
    return visual


@pytest.mark.parametrize(("kind", "mode"), [("MiniGPT4", "loss"), ("Blip2VQA", "loss"), ("Blip2VQA", "predict")])
def test_two_instructions_keep_different_patches_and_two_answers_the_same(
    kind: str, mode: str, folders: dict[str, str]
) -> None:
    model = built(aware(plain(kind, folders), TSPS))
    first, answered, second = (
        seen_by(model, talk(*t), mode) for t in (("red circle",), ("red circle", "star"), ("blue",))
    )
    assert torch.equal(first.embeds, answered.embeds)
    assert not torch.equal(first.kept_patches(), second.kept_patches())


def test_prompts_select_where_no_sample_asks(folders: dict[str, str]) -> None:
    captions = built(aware(plain("Blip2Caption", folders), TSPS))
    visual = [seen_by(captions, talk(text), mode) for text in ("red", "blue") for mode in ("loss", "predict")]
    assert all(torch.equal(visual[0].embeds, other.embeds) for other in visual)
    talks = built(aware(plain("MiniGPT4", folders), TSPS))
    asked = seen_by(talks, talk("what colour is the star"), "loss")
    assert torch.equal(seen_by(talks, talk("red"), "predict").embeds, asked.embeds)
    talks.en_prompt_list *= 2
    with pytest.raises(BusError, match=r"model.raw_prompts: .* draws one of several .* got 2"):
        talks(images(1), talk("red"), mode="predict")


def test_keeping_everything_is_mmpretrains_model_bit_for_bit(folders: dict[str, str]) -> None:
    bare = built(plain("MiniGPT4", folders))
    ours = built(aware(plain("MiniGPT4", folders), {**TSPS, "keep_ratio": 1.0}), like=bare)
    expected, got = (model(images(1), talk("red circle"), mode="loss")["loss"] for model in (bare, ours))
    assert torch.equal(expected, got)


def test_a_selector_that_needs_texts_as_wide_as_patches_is_refused(folders: dict[str, str]) -> None:
    with pytest.raises(BusError, match=r"model.selectors.0: TRIPS refuses its arguments: text_dim.* got 16 and 32"):
        built(aware(plain("MiniGPT4", folders), TRIPS))
