"""The promise of each conditioning mode."""

from __future__ import annotations

import pytest
import torch

from bus_toolkit.models.conditioning import Conditioning
from bus_toolkit.models.step import BatchStep
from tests.tiny import images
from tests.tiny_model import samples, tiny_model


def changed(row: int, text: str) -> list:
    out = samples()
    out[row].set_field(text, "text", dtype=None)
    return out


@pytest.mark.parametrize("mode", ["free_itc", "strict"])
@pytest.mark.parametrize("without_text", ["cls", "prompt", "none"])
def test_contrastive_image_features_do_not_depend_on_the_caption(mode: str, without_text: str) -> None:
    model = tiny_model(mode, without_text).eval()
    one = BatchStep(model, images(4), samples()).visual("itc").embeds
    two = BatchStep(model, images(4), changed(0, "zzzz")).visual("itc").embeds
    assert torch.equal(one, two)


def test_shared_features_do_depend_on_the_caption() -> None:
    model = tiny_model("shared").eval()
    one = BatchStep(model, images(4), samples()).visual("itc").embeds
    two = BatchStep(model, images(4), changed(0, "zzzz")).visual("itc").embeds
    assert not torch.equal(one[0], two[0])
    assert torch.equal(one[1:], two[1:])


@pytest.mark.parametrize("mode", ["masked", "strict"])
def test_the_image_for_masked_words_does_not_know_them(mode: str) -> None:
    model = tiny_model(mode).eval()
    step = BatchStep(model, images(4), samples())
    place = int(step.masked.positions[0, 0]) - 1
    word = "abcd"
    other = word[:place] + "z" + word[place + 1 :]
    again = BatchStep(model, images(4), changed(0, other))
    assert int(again.masked.positions[0, 0]) - 1 == place
    assert torch.equal(step.visual("mlm").embeds, again.visual("mlm").embeds)


def test_strict_prefix_does_not_know_the_rest() -> None:
    model = tiny_model("strict").eval()
    step = BatchStep(model, images(4), samples())
    given = int(step.prefix_lengths[2])
    text = "ghijk"[: given - 1] + "z" * (6 - given)
    again = BatchStep(model, images(4), changed(2, text))
    torch.testing.assert_close(step.visual("prefix_lm").embeds, again.visual("prefix_lm").embeds)


def test_strict_matching_selects_by_the_caption_of_each_pair() -> None:
    rows, texts = torch.tensor([0, 0]), torch.tensor([0, 3])
    strict = BatchStep(tiny_model("strict").eval(), images(4), samples()).visual_pairs("itm", rows, texts)[0]
    shared = BatchStep(tiny_model("shared").eval(), images(4), samples()).visual_pairs("itm", rows, texts)[0]
    assert not torch.equal(strict.embeds[0], strict.embeds[1])
    assert torch.equal(shared.embeds[0], shared.embeds[1])


def test_no_rule_removes_nothing_without_text() -> None:
    visual = BatchStep(tiny_model("free_itc", "none").eval(), images(4), samples()).visual("free")
    assert visual.selections == []
    assert visual.kept_patches().all()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"mode": "honest"}, "mode: must be one of shared, masked, free_itc, strict"),
        ({"without_text": "x"}, "cls, prompt, none"),
    ],
)
def test_unknown_settings_are_refused(kwargs: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Conditioning(**kwargs)  # type: ignore[arg-type]
