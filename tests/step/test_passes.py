"""Which passes run, which text reaches each of them, and what they cost."""

from __future__ import annotations

import pytest
import torch
from mmpretrain.structures import DataSample

from bus_toolkit.models import VLPModel
from bus_toolkit.step import PassKey
from bus_toolkit.step.pass_key import PassCount, total_counts
from bus_toolkit.structures import Condition, TextTokens
from tests.tiny import images
from tests.tiny_model import sample, samples, tiny_heads, tiny_model

# Texts that reach the backbone in a training step with all five objectives, by mode.
CONDITIONS = {
    "shared": ["caption"],
    "masked": ["masked"],
    "free_itc": ["caption", "free"],
    "strict": ["caption_scores", "free", "masked", "pairs", "prefix"],
}


def trained(mode: str, rows: list[DataSample] | None = None, **settings: object) -> tuple[VLPModel, list[TextTokens]]:
    """Return a model after one step, and the text of each pass that it ran after the first blocks."""
    model = tiny_model(mode, **settings)  # type: ignore[arg-type]
    seen: list[TextTokens] = []
    run = model.backbone.forward_conditioned

    def spy(shared: object, text: TextTokens, **options: object) -> object:
        seen.append(text)
        return run(shared, text, **options)

    model.backbone.forward_conditioned = spy  # type: ignore[method-assign]
    model.loss(images(4), rows or samples())
    return model, seen


@pytest.mark.parametrize("mode", CONDITIONS)
def test_each_condition_is_encoded_once(mode: str) -> None:
    model, seen = trained(mode)
    assert sorted(model.token_counts) == CONDITIONS[mode]
    assert len(seen) == len(CONDITIONS[mode])


@pytest.mark.parametrize("mode", CONDITIONS)
def test_the_blocks_before_the_first_selector_run_once(mode: str) -> None:
    model, calls = tiny_model(mode), []
    model.backbone.vit.layers[0].register_forward_hook(lambda *args: calls.append(1))
    model.loss(images(4), samples())
    assert len(calls) == 1


def test_the_texts_that_reach_the_passes_are_those_of_the_mode() -> None:
    for mode in CONDITIONS:
        model, seen = trained(mode)
        texts = model.passes(images(4), samples()).texts
        masked = texts.text_of(model.heads["mlm"].hide)
        prefix = texts.text_of(model.heads["prefix_lm"].hide)
        known = {"caption": texts.captions, "masked": masked, "prefix": prefix}
        names = set()
        for text in seen:
            if text is None:
                names.add("free")
            elif len(text.pooled) == 12:  # B pairs, B with a wrong text, B with a wrong image
                names.add("pairs")
                assert torch.equal(text.pooled[:4], texts.captions.pooled)
            else:
                names |= {name for name, wanted in known.items() if torch.equal(text.embeds, wanted.embeds)}
        assert names == {name.removesuffix("_scores") for name in CONDITIONS[mode]}


def test_counts_are_those_of_every_pass_and_not_of_the_last() -> None:
    """Strict without any selection in a text-free pass: 16 patches and [CLS] are left, elsewhere half and [CLS]."""
    model, _ = trained("strict", without_text="none")
    counts = model.token_counts
    assert counts["free"].rows == 4 and "block 2" not in counts["free"].tokens
    assert counts["masked"].tokens["block 2"] == 8 + 1 + 1  # kept patches, the fused token, [CLS]
    assert counts["pairs"].rows == 12 and counts["pairs"].tokens == counts["masked"].tokens
    assert counts["free"].tokens["decoder"] > counts["masked"].tokens["decoder"]
    assert counts["caption_scores"] == PassCount(4, {"block 2": 10})


def test_counts_of_groups_add_their_rows() -> None:
    one, two = PassCount(3, {"decoder": 5}), PassCount(2, {"decoder": 5})
    assert total_counts([{"free": one}, {"free": two, "pairs": one}]) == {
        "free": PassCount(5, {"decoder": 5}),
        "pairs": one,
    }


def test_a_model_that_reads_no_text_has_one_pass() -> None:
    model, seen = trained("strict", selectors=[])
    assert list(model.token_counts) == ["free"] and seen == [None]


def test_region_rows_are_scored_and_go_no_further() -> None:
    model, _ = tiny_model("shared"), None
    rows = [*samples(), sample("xyz", 9, region_only=True)]
    model.loss(images(5), rows)
    assert model.token_counts["caption"].rows == 4
    assert model.token_counts["caption_scores"].rows == 5


def test_pairs_are_not_encoded_again_where_the_mode_does_not_ask_for_it() -> None:
    model = tiny_model("shared").eval()
    passes = model.passes(images(4), samples())
    visual = passes.visual(PassKey(Condition.CAPTION))
    paired, text = passes.pairs(PassKey(Condition.CAPTION), torch.tensor([0, 0, 3]), torch.tensor([0, 2, 3]))
    assert torch.equal(paired.embeds, visual.embeds[[0, 0, 3]])
    assert torch.equal(text.pooled, passes.texts.captions.pooled[[0, 2, 3]])
    assert set(passes.counts) == {"caption"}


def test_what_a_head_hides_is_drawn_once() -> None:
    heads, calls = tiny_heads(), []
    model = tiny_model("masked", heads=heads)
    mask = model.heads["mlm"].mask
    model.heads["mlm"].mask = lambda *args: (calls.append(1), mask(*args))[1]
    model.loss(images(4), samples())
    assert len(calls) == 1
