"""Sizes of images that a model says, and those that its positions show."""

from __future__ import annotations

import pytest
import torch

from bus_toolkit.huggingface.families import family_of
from tests.huggingface.tiny import IMAGE, VIDEO, build


@pytest.mark.parametrize("family", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
def test_positions_show_the_grids_that_the_model_was_given(family: str) -> None:
    tiny = build(family)
    start, end = tiny.around
    images = torch.tensor([[1, 4, 8], [1, 2, 6], [1, 8, 2]])  # of 2 x 4, 1 x 3 and 4 x 1 tokens
    rows = [
        [5, *start, *[IMAGE] * 8, *end, 6, *start, *[IMAGE] * 3, *end, 7],
        [0, 0, 0, 0, 0, 0, 0, 0, 5, *start, *[IMAGE] * 4, *end, 7],
    ]
    ids = torch.tensor([rows[0], [0] * (len(rows[0]) - len(rows[1])) + rows[1]])
    arguments = {"image_grid_thw": images, "attention_mask": (ids != 0).long(), **tiny.types(ids)}
    positions, _ = tiny.model.model.get_rope_index(ids, **arguments)
    family_said = family_of(tiny.model).images
    wanted = family_said(tiny.model.config, arguments, ids)
    assert wanted == [(2, 4), (1, 3), (4, 1)]
    assert family_said(tiny.model.config, {"position_ids": positions}, ids) == wanted


def test_frames_of_a_video_are_apart() -> None:
    tiny = build("qwen2_5_vl")
    start, end = tiny.around
    ids = torch.tensor([[5, *start, *[VIDEO] * 12, *end, 7]])
    arguments = {"video_grid_thw": torch.tensor([[3, 4, 4]]), **tiny.types(ids)}
    positions, _ = tiny.model.model.get_rope_index(ids, second_per_grid_ts=torch.ones(1), **arguments)
    family_said = family_of(tiny.model).images
    assert family_said(tiny.model.config, arguments, ids) == [(2, 2)] * 3
    assert family_said(tiny.model.config, {"position_ids": positions}, ids) == [(2, 2)] * 3
