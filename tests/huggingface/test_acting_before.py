"""A selector that acts before its block reads what that block's attention will use."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from typing_extensions import override

from bus_toolkit.errors import ComponentError
from bus_toolkit.huggingface import reduce_tokens
from bus_toolkit.selectors import BlockView, PatchSelector
from tests.huggingface.parts import ByText
from tests.huggingface.tiny import IMAGE, NUM_LAYERS, Tiny, build, generated, logits


class Ahead(ByText):
    site = "before_block"


class ByKeys(PatchSelector):
    """The lengths of the keys: the same with and without a cache."""

    site, reads_block = "before_block", True

    @override
    def score(self, view: BlockView) -> Tensor:
        return view.inside.keys().norm(dim=(2, 3))


@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl", "qwen3_vl", "internvl", "smolvlm", "paligemma"])
def test_the_row_is_that_of_the_block_itself(family: str) -> None:
    tiny = build(family)
    inputs = tiny.batch()
    wanted = logits(tiny.model, inputs)
    with reduce_tokens(tiny.model, Ahead(blocks=[3], keep_ratio=1.0)) as reduction:
        assert torch.equal(logits(tiny.model, inputs), wanted), "asking ahead changes nothing"
        (selection,) = reduction.selections
    tiny.model.set_attn_implementation("eager")
    with torch.no_grad():
        row = tiny.model(**inputs, output_attentions=True).attentions[2][:, :, -1].mean(dim=1)
    torch.testing.assert_close(
        selection.decision.scores, row[inputs["input_ids"] == IMAGE].unflatten(0, (2, tiny.tokens))
    )
    assert selection.block == 2, "after the second layer"


def test_the_cache_is_what_the_layers_fill(kind: Tiny) -> None:
    inputs = kind.batch()
    with reduce_tokens(kind.model, ByKeys(blocks=[2, NUM_LAYERS], keep_ratio=0.5)) as reduction:
        with_cache = generated(kind, inputs)
        assert reduction.counts == (4, 4)
        assert torch.equal(with_cache, generated(kind, inputs, use_cache=False))


def test_first_and_last_blocks_are_named(llava: Tiny) -> None:
    for block in (1, NUM_LAYERS + 1):
        with pytest.raises(ComponentError, match=f"must be in 2 to {NUM_LAYERS}, .* got {block}. Name another block."):
            reduce_tokens(llava.model, ByKeys(blocks=[block]))
    with pytest.raises(ComponentError, match="needs selectors that act after a layer, got ByKeys"):
        reduce_tokens(llava.model, vision=ByKeys(blocks=[2]))


def test_two_at_one_place_are_refused(llava: Tiny) -> None:
    with pytest.raises(ComponentError, match="must be at different blocks, got two at block 2"):
        reduce_tokens(llava.model, [ByKeys(blocks=[3]), ByText(blocks=[2])])


class Entered(ByText):
    """Remembers what it was shown."""

    @override
    def score(self, view: BlockView) -> Tensor:
        self.seen: tuple[Any, Any] = (view.inside.entered(), view)
        return super().score(view)


def test_what_entered_the_first_layer_is_there_for_what_is_left(llava: Tiny) -> None:
    inputs, embeds = llava.batch(), list[Tensor]()

    def watch(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        embeds.append(kwargs["inputs_embeds"])

    handle = llava.model.get_decoder().register_forward_pre_hook(watch, with_kwargs=True)
    selectors = [ByText(blocks=[1], keep_ratio=0.5), Entered(blocks=[3], keep_ratio=0.5)]
    with reduce_tokens(llava.model, selectors) as reduction:
        logits(llava.model, inputs)
        first = reduction.selections[0].decision.plan.keep_indices
    handle.remove()
    (patches, words), view = selectors[1].seen  # type: ignore[attr-defined]
    for row, ids in enumerate(inputs["input_ids"]):
        assert torch.equal(patches[row], embeds[0][row, ids == IMAGE][first[row]])
        after = torch.arange(len(ids)) > int((ids == IMAGE).nonzero().max())
        assert torch.equal(words[row][view.text.attention_mask[row]], embeds[0][row, after])
