"""The promise of each conditioning mode."""

from __future__ import annotations

import pytest
import torch

from bus_toolkit.errors import ConfigError
from bus_toolkit.models.conditioning import Conditioning
from bus_toolkit.models.vlp import VLPModel
from tests.tiny import images
from tests.tiny_model import samples, tiny_model


def changed(row: int, text: str) -> list:
    out = samples()
    out[row].set_field(text, "text", dtype=None)
    return out


def seen_by(model: VLPModel, head: str, rows: list) -> torch.Tensor:
    """Return the images as a head gets them in a training step."""
    return model.passes(images(4), rows).visual(model.plan.keys[head]).embeds


@pytest.mark.parametrize("mode", ["free_itc", "strict"])
@pytest.mark.parametrize("without_text", ["cls", "prompt", "none"])
def test_contrastive_image_features_do_not_depend_on_the_caption(mode: str, without_text: str) -> None:
    model = tiny_model(mode, without_text).eval()
    assert torch.equal(seen_by(model, "itc", samples()), seen_by(model, "itc", changed(0, "zzzz")))


def test_shared_features_do_depend_on_the_caption() -> None:
    model = tiny_model("shared").eval()
    one, two = seen_by(model, "itc", samples()), seen_by(model, "itc", changed(0, "zzzz"))
    assert not torch.equal(one[0], two[0])
    assert torch.equal(one[1:], two[1:])


@pytest.mark.parametrize("mode", ["masked", "strict"])
def test_the_image_for_masked_words_does_not_know_them(mode: str) -> None:
    model = tiny_model(mode).eval()
    passes = model.passes(images(4), samples())
    hide = model.heads["mlm"].hide
    place = int(passes.texts.once(hide).positions[0, 0]) - 1
    word = "abcd"
    other = changed(0, word[:place] + "z" + word[place + 1 :])
    assert int(model.passes(images(4), other).texts.once(hide).positions[0, 0]) - 1 == place
    assert torch.equal(seen_by(model, "mlm", samples()), seen_by(model, "mlm", other))


@pytest.mark.parametrize("mode", ["own_prefix", "strict"])
def test_the_image_for_a_prefix_does_not_know_the_rest(mode: str) -> None:
    model = tiny_model(mode).eval()
    given = int(model.passes(images(4), samples()).texts.once(model.heads["prefix_lm"].hide).lengths[2])
    other = changed(2, "ghijk"[: given - 1] + "z" * (6 - given))
    torch.testing.assert_close(seen_by(model, "prefix_lm", samples()), seen_by(model, "prefix_lm", other))


def test_strict_matching_selects_by_the_caption_of_each_pair() -> None:
    rows, texts = torch.tensor([0, 0]), torch.tensor([0, 3])
    pairs = {}
    for mode in ("strict", "shared"):
        model = tiny_model(mode).eval()
        pairs[mode] = model.passes(images(4), samples()).pairs(model.plan.keys["itm"], rows, texts)[0].embeds
    assert not torch.equal(pairs["strict"][0], pairs["strict"][1])
    assert torch.equal(pairs["shared"][0], pairs["shared"][1])


def test_no_rule_removes_nothing_without_text() -> None:
    visual = tiny_model("free_itc", "none").eval().encode(images(4))
    assert visual.selections == []
    assert visual.kept_patches().all()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"mode": "honest"}, "mode: must be one of shared, masked, own_prefix, free_itc, strict"),
        ({"without_text": "x"}, "cls, prompt, none"),
    ],
)
def test_unknown_settings_are_refused(kwargs: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Conditioning(**kwargs)  # type: ignore[arg-type]
