"""A head of a plugin hides words in its own way: what each mode promises about them, on every path to that head.

``shared`` and ``free_itc`` show it the caption, so its answer can be read off the selection; ``masked`` and ``strict``
promise that it cannot, to the last bit. The heads here use nothing but the interface that plugins/README.md describes.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from bus_toolkit.errors import ComponentError, ConfigError
from bus_toolkit.heads import HeadOutput, ITCHead, ITMHead, MLMHead, PrefixLMHead, VLPHead
from bus_toolkit.models import ConditioningMode, conditioning, register_mode
from bus_toolkit.selectors import LookAheadSelector, TextGuidedAttentionSelector, TextSemanticPatchSelector
from bus_toolkit.structures import Condition, Masked, TokenBatch
from tests.tiny import WIDTH, images
from tests.tiny_model import LETTERS, sample, samples, tiny_model

WITHOUT_TEXT = ("cls", "prompt", "none")
KEEPS_IT_HIDDEN, SHOWS_IT = ("masked", "strict"), ("shared", "free_itc")
MASK_ID = LETTERS.mask_id


class Blanked(NamedTuple):
    """Captions with the last letter hidden: ``tokens``, and which place it has."""

    tokens: TokenBatch
    places: Tensor


class LastLetter(VLPHead):
    """Guess the last letter; it is replaced by the mask token. ``seen`` holds all that the image could give away."""

    sees = Condition.MASKED
    provides = (Condition.MASKED,)

    def hide(self, batch):
        ids, mask = batch.tokens
        places = mask.sum(dim=1, keepdim=True) - 2  # before [SEP]
        return Blanked(TokenBatch(ids.scatter(1, places, MASK_ID), mask), places)

    def loss(self, step):
        visual, momentum = step.visual(), step.momentum
        rows = torch.arange(step.batch.num_captions)
        self.seen = {
            "embeds": visual.embeds,
            "kept": visual.kept_patches(),
            "pairs": step.pairs(rows, rows.flip(0))[0].embeds,
            "same pairs": step.pairs(rows, rows)[0].embeds,
            "hidden text": step.text_of(self.hide).pooled,
        }
        for selection in [*visual.selections, *step.selections()]:
            self.seen[f"scores {len(self.seen)}"] = selection.decision.scores
            self.seen[f"keep_indices {len(self.seen)}"] = selection.decision.plan.keep_indices
        if momentum is not None:
            self.seen["momentum"] = momentum.visual.embeds
        return HeadOutput({"last_letter": visual.cls.square().mean()})


class CutOff(LastLetter):
    """Hide the last letter and [SEP] by cutting the text there: its texts are shorter than the captions."""

    def hide(self, batch):
        ids, mask = batch.tokens
        shorter = mask & (torch.arange(ids.shape[1]) < mask.sum(dim=1, keepdim=True) - 2)
        longest = int(shorter.sum(dim=1).max())
        return Blanked(TokenBatch(ids[:, :longest], shorter[:, :longest]), shorter.sum(dim=1, keepdim=True))


def others(**heads: VLPHead) -> dict[str, VLPHead]:
    """Return a contrast with a queue and a matching beside these heads."""
    itc = ITCHead(embed_dim=WIDTH, text_dim=WIDTH, feature_dim=16, queue_size=4)
    return {"itc": itc, "itm": ITMHead(text_dim=WIDTH), **heads}


def seen(last: str, mode: str, kind: type[LastLetter] = LastLetter, **settings) -> dict[str, Tensor]:
    """Return what the head sees in the second training step, if the first caption ends in ``last``."""
    torch.manual_seed(0)
    rows = samples()
    rows[0].set_field(f"abc{last}", "text", dtype=None)
    rows += settings.pop("region_rows", [])
    heads = others(**settings.pop("heads", {}), last_letter=kind())
    model = tiny_model(mode, heads=heads, momentum={"decay": 0.9}, **settings)
    torch.manual_seed(1)
    for iteration in range(2):  # the queue of the contrast holds features of the first step
        model.set_progress(1.0, iteration)
        model.loss(images(len(rows)), rows)
        model.after_step()
    return model.heads["last_letter"].seen


def assert_hidden(one: dict[str, Tensor], two: dict[str, Tensor]) -> None:
    assert one.keys() == two.keys()
    assert [name for name in one if not torch.equal(one[name], two[name])] == []


@pytest.mark.parametrize("kind", [LastLetter, CutOff])
@pytest.mark.parametrize("without_text", WITHOUT_TEXT)
@pytest.mark.parametrize("mode", KEEPS_IT_HIDDEN)
def test_the_hidden_word_cannot_be_read_off_the_selection(mode, without_text, kind):
    one, two = (seen(last, mode, kind, without_text=without_text) for last in "dz")
    assert any(name.startswith("keep_indices") for name in one) and "momentum" in one
    assert_hidden(one, two)


@pytest.mark.parametrize("mode", SHOWS_IT)
def test_modes_that_show_the_caption_give_it_away(mode):
    one, two = (seen(last, mode) for last in "dz")
    shown = [name for name in one if not torch.equal(one[name][0], two[name][0])]
    assert "embeds" in shown and [name for name in shown if name.startswith("scores")]
    assert torch.equal(one["hidden text"], two["hidden text"]), "it hides the word; the selection gives it away"
    assert all(torch.equal(one[name][1:], two[name][1:]) for name in one if name not in ("pairs", "same pairs"))


def selectors(name: str) -> list:
    return {
        "TRIPS": lambda: [TextGuidedAttentionSelector(blocks=[2, 3], embed_dim=WIDTH, text_dim=WIDTH)],
        "ELIP": lambda: [LookAheadSelector(blocks=[2], embed_dim=WIDTH, text_dim=WIDTH, look_ahead=1)],
        "two": lambda: [TextSemanticPatchSelector(blocks=[1, 3], embed_dim=WIDTH, text_dim=WIDTH)],
        "none": list,
    }[name]()


@pytest.mark.parametrize("name", ["TRIPS", "ELIP", "two"])
@pytest.mark.parametrize("mode", KEEPS_IT_HIDDEN)
def test_nor_off_that_of_other_selectors(mode, name):
    assert_hidden(*(seen(last, mode, selectors=selectors(name)) for last in "dz"))


@pytest.mark.parametrize("mode", KEEPS_IT_HIDDEN)
def test_nor_off_what_a_decoder_made_that_reads_the_text(mode):
    one, two = (seen(last, mode, selectors=selectors("none"), text_in_memory=True) for last in "dz")
    assert_hidden(one, two)
    shown, changed = (seen(last, "shared", selectors=selectors("none"), text_in_memory=True) for last in "dz")
    assert not torch.equal(shown["embeds"][0], changed["embeds"][0])


@pytest.mark.parametrize("kind", [LastLetter, CutOff])
@pytest.mark.parametrize("mode", KEEPS_IT_HIDDEN)
def test_nor_where_rows_of_regions_follow(mode, kind):
    rows = [sample("opqr", 4, region_only=True)]
    assert_hidden(*(seen(last, mode, kind, region_rows=list(rows)) for last in "dz"))


def test_nor_beside_another_head_that_hides_other_words():
    beside = {"mlm": MLMHead(text_dim=WIDTH, vocabulary=LETTERS), "prefix_lm": PrefixLMHead()}
    assert_hidden(*(seen(last, "strict", heads=dict(beside)) for last in "dz"))


def test_a_mode_of_a_plugin_keeps_it_hidden_where_it_says_so(monkeypatch):
    monkeypatch.setattr(conditioning, "_MODES", dict(conditioning._MODES))
    register_mode("hidden", ConditioningMode({Condition.MASKED: Condition.MASKED}, otherwise=Condition.CAPTION))
    assert_hidden(*(seen(last, "hidden") for last in "dz"))


@pytest.mark.parametrize("condition", [Condition.CAPTION, Condition.OTHER_CAPTION, Condition.PREFIX])
@pytest.mark.parametrize("mode", KEEPS_IT_HIDDEN)
@pytest.mark.parametrize("ask", ["visual", "selections"])
def test_it_cannot_ask_for_another_text_in_training(mode, condition, ask):
    class Asks(LastLetter):
        def loss(self, step):
            getattr(step, ask)(condition)
            raise AssertionError

    with pytest.raises(ComponentError, match=f"last_letter .Asks.: sees masked .* cannot ask for {condition.value}"):
        seen("d", mode, Asks)


@pytest.mark.parametrize("mode", ["masked", "free_itc", "strict"])
def test_momentum_images_that_the_caption_selects_are_refused(mode):
    """Every head can read them; ``masked`` used to let the hidden word through here."""
    with pytest.raises(
        ConfigError, match=rf"^model.momentum.selection: with 'same' the caption selects, which .*{mode}"
    ):
        tiny_model(mode, heads=others(last_letter=LastLetter()), momentum={"selection": "same"})


def test_one_mode_shows_the_momentum_images_under_the_caption():
    torch.manual_seed(0)
    model = tiny_model("shared", heads=others(last_letter=LastLetter()), momentum={"selection": "same"})
    model.loss(images(4), samples())
    assert "momentum" in model.heads["last_letter"].seen


class Sees(LastLetter):
    sees = "masked"


class Provides(LastLetter):
    provides = Condition.MASKED


class Forgets(VLPHead):
    sees = Condition.MASKED
    hide = LastLetter.hide


class Misnames(VLPHead):
    sees = Condition.MASKED
    provide = (Condition.MASKED,)


class Sees2(VLPHead):
    see = Condition.MASKED


class HasNone(VLPHead):
    sees = Condition.MASKED
    provides = (Condition.MASKED,)


class Gives(LastLetter):
    provides = (Condition.CAPTION,)


TYPOS = [
    (Sees, "Sees.sees must be one of Condition.FREE, .*, got 'masked'. Correct the class"),
    (Provides, "Provides.provides must be a tuple of .*, got <Condition.MASKED: 'masked'>. Correct the class"),
    (Forgets, "Forgets has a method hide.batch., and its `provides` holds neither .*: images would be encoded under"),
    (Misnames, "Misnames.provide declares nothing under this name. Did you mean 'provides'"),
    (Sees2, "Sees2.see declares nothing under this name. Did you mean 'sees'"),
    (HasNone, "HasNone provides a text and has no method hide.batch., which makes it. Implement it"),
    (Gives, "Gives.provides can hold Condition.MASKED and Condition.PREFIX of the conditions, got Condition.CAPTION"),
]


@pytest.mark.parametrize("mode", [*KEEPS_IT_HIDDEN, *SHOWS_IT])
@pytest.mark.parametrize(("kind", "message"), TYPOS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_head_with_a_typo_is_refused_in_every_mode(kind, message, mode):
    heads = others(mlm=MLMHead(text_dim=WIDTH, vocabulary=LETTERS), mine=kind())
    with pytest.raises(ConfigError, match=f"(?m)^model.heads.mine: {message}"):
        tiny_model(mode, heads=heads)


@pytest.mark.parametrize(
    ("made", "got"),
    [
        (lambda batch: None, "NoneType"),
        (lambda batch: batch.tokens.input_ids, r"Tensor int64 \(4, 7\)"),
        (lambda batch: Blanked(TokenBatch(*(part[:3] for part in batch.tokens)), None), r"Tensor int64 \(3, 7\)"),
        (
            lambda batch: Masked(TokenBatch(*batch.tokens[:1], batch.tokens[1].long()), *[None] * 3),
            ".* and Tensor int64",
        ),
    ],
)
def test_a_hide_that_returns_no_texts_is_named(made, got):
    class Wrong(LastLetter):
        def hide(self, batch):
            return made(batch)

    with pytest.raises(ComponentError, match=f"Wrong.hide must return an object whose `tokens` are .* got {got}"):
        seen("d", "strict", Wrong)
