"""Several samples in one row (modelscope/ms-swift, issue 4439): refused, since one would choose for another."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from bus_toolkit.errors import DataError
from bus_toolkit.huggingface import reduce_tokens
from tests.huggingface.parts import ByPlace
from tests.huggingface.tiny import Tiny, build

MESSAGE = "a row must hold one sample, got several one after the other"


def packed(tiny: Tiny, *rows: list[int]) -> dict[str, Any]:
    """Return samples in one row, with the positions that each has alone."""
    inputs = {"input_ids": torch.tensor([sum(rows, [])]), **tiny.pixels([len(rows)]), "use_cache": False}
    return {**inputs, **tiny.types(inputs["input_ids"])}


def alone(tiny: Tiny, row: list[int]) -> Tensor:
    """Return the positions of a row, (W,) or (3, W)."""
    if "image_grid_thw" not in tiny.pixels([1]):
        return torch.arange(len(row))
    inputs = {**tiny.types(torch.tensor([row])), "image_grid_thw": tiny.pixels([1])["image_grid_thw"]}
    return tiny.model.model.get_rope_index(torch.tensor([row]), **inputs)[0][:, 0]


@pytest.mark.parametrize(("where", "block"), [("selectors", 2), ("projected", 1)])
@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl"])
def test_positions_that_begin_again_are_refused(family: str, where: str, block: int) -> None:
    tiny = build(family)
    rows = [tiny.row(), tiny.row(question=(20, 21))]
    positions = torch.cat([alone(tiny, row) for row in rows], dim=-1)
    positions = positions[None] if positions.dim() == 1 else positions[:, None]
    selector = ByPlace(blocks=[block], keep_ratio=0.5)
    with reduce_tokens(tiny.model, **{where: selector}), torch.no_grad():
        with pytest.raises(DataError, match=MESSAGE):
            tiny.model(**packed(tiny, *rows), position_ids=positions)
        tiny.model(**packed(tiny, rows[0]), position_ids=positions[..., : len(rows[0])])  # one sample is none of it


def test_a_sample_of_one_token_and_ends_that_are_given_are_found(llava: Tiny) -> None:
    row = llava.row()
    inputs = packed(llava, row)
    inputs["input_ids"] = torch.tensor([[9, *row]])
    positions = torch.tensor([[0, *range(len(row))]])
    with reduce_tokens(llava.model, ByPlace(blocks=[2], keep_ratio=0.5)), torch.no_grad():
        with pytest.raises(DataError, match=MESSAGE):
            llava.model(**inputs, position_ids=positions)
        with pytest.raises(DataError, match=MESSAGE):
            llava.model(**inputs, cu_seq_lens_q=torch.tensor([0, 1, len(row) + 1]))


def test_padding_is_no_sample(llava: Tiny) -> None:
    inputs = llava.batch()
    mask = inputs["attention_mask"]
    positions = (mask.cumsum(dim=1) - 1).masked_fill(mask == 0, 1)  # as generate makes them
    with reduce_tokens(llava.model, ByPlace(blocks=[2], keep_ratio=0.5)) as reduction, torch.no_grad():
        llava.model(**inputs, position_ids=positions)
        # Masks of pairs, as a cache of one length has them, do not say which places are padding.
        width = mask.shape[1]
        causal = torch.ones(width, width, dtype=torch.bool).tril() & mask[:, None, None].bool()
        llava.model(**{**inputs, "attention_mask": causal | torch.eye(width).bool()}, position_ids=positions)
    assert reduction.counts == (8, 8)
