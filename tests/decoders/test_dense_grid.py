"""The patch grid: cells like torch's, dropped patches apart, and what cannot be put on it."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from bus_toolkit.decoders.dense_grid import average_cells, dense_tokens, square_side
from bus_toolkit.errors import ComponentError
from bus_toolkit.structures import VisualTokens
from tests.decoders.tokens import grid_tokens


@pytest.mark.parametrize("grid", [(4, 4), (4, 6), (7, 5)])
@pytest.mark.parametrize("side", [1, 2, 3, 4])
def test_cells_of_a_full_grid_equal_torchs_adaptive_pooling(grid: tuple[int, int], side: int) -> None:
    dense, present = dense_tokens(grid_tokens(grid), "AveragePool")
    peer = F.adaptive_avg_pool2d(dense.transpose(1, 2).unflatten(2, grid), side).flatten(2).transpose(1, 2)
    torch.testing.assert_close(average_cells(dense, present, grid, side), peer)


def test_every_patch_has_the_token_it_ended_in() -> None:
    visual = grid_tokens((1, 4), num_prefix=2)
    shared = VisualTokens(visual.embeds, 2, (1, 4), origin=torch.tensor([[0, 0, -1, 2], [3, 2, 1, 0]]))
    dense, present = dense_tokens(shared, "AveragePool")
    patches = visual.embeds[:, 2:]
    zero = torch.zeros_like(patches[0, 0])
    assert torch.equal(dense[0], torch.stack([patches[0, 0], patches[0, 0], zero, patches[0, 2]]))
    assert torch.equal(dense[1], patches[1].flip(0))
    assert present.tolist() == [[True, True, False, True], [True] * 4]


@pytest.mark.parametrize(("count", "side"), [(1, 1), (4, 2), (144, 12)])
def test_the_side_of_a_square_number(count: int, side: int) -> None:
    assert square_side(count) == side


@pytest.mark.parametrize(("count", "nearest"), [(8, 9), (5, 4), (0, 1), (-4, 1)])
def test_other_numbers_are_refused_with_the_nearest_square(count: int, nearest: int) -> None:
    with pytest.raises(ValueError, match=f"num_queries: must be a square number .* got {count}. Write e.g. {nearest}"):
        square_side(count)


def test_more_cells_than_patches_are_refused_with_the_number_that_fits() -> None:
    dense, present = dense_tokens(grid_tokens((3, 5)), "AveragePool")
    with pytest.raises(ComponentError, match=r"num_queries: must be at most 9 .*3 x 5 patches\), got 16"):
        average_cells(dense, present, (3, 5), 4)


def test_tokens_of_another_decoder_are_refused() -> None:
    visual = VisualTokens(grid_tokens().embeds, 1, (4, 4))
    with pytest.raises(ComponentError, match="model.decoder: AveragePool works on the patch grid .* got None"):
        dense_tokens(visual, "AveragePool")
