"""Average pooling: means over the patches that are left."""

from __future__ import annotations

import pytest
import torch

from bus_toolkit.decoders.average_pool import AveragePool
from bus_toolkit.errors import ComponentError
from bus_toolkit.structures import VisualTokens
from tests.decoders.tokens import check_promises, grid_tokens


def test_a_cell_is_the_mean_of_its_patches_that_are_left() -> None:
    # Patches of a 4 x 4 grid by cell: 0 1 4 5 | 2 3 6 7 | 8 9 12 13 | 10 11 14 15.
    visual = grid_tokens(dropped=[[0, 5, 2, 3, 6, 7], [8, 9, 12, 10, 11, 14]])
    pooled = AveragePool(num_queries=4)(visual).embeds
    # Sample 0 has lost a whole cell; its patches 1 4 8 9 10 ... are tokens 0 1 2 3 4 ...
    left = visual.embeds[0, 1:]
    expected = [left[[0, 1]].mean(0), torch.zeros(32), left[[2, 3, 6, 7]].mean(0), left[[4, 5, 8, 9]].mean(0)]
    torch.testing.assert_close(pooled[0, 1:], torch.stack(expected))
    # Sample 1 keeps 0 to 7, then 13 (token 8) and 15 (token 9).
    left = visual.embeds[1, 1:]
    expected = [left[[0, 1, 4, 5]].mean(0), left[[2, 3, 6, 7]].mean(0), left[8], left[9]]
    torch.testing.assert_close(pooled[1, 1:], torch.stack(expected))


def test_a_fused_token_counts_once_for_each_patch_in_it() -> None:
    visual = grid_tokens((2, 2))
    fused = VisualTokens(visual.embeds[:, :3], 1, (2, 2), origin=torch.tensor([[0, 1, 1, 1], [0, 0, 0, 1]]))
    pooled = AveragePool(num_queries=1)(fused).embeds[:, 1]
    one, two = visual.embeds[:, 1], visual.embeds[:, 2]
    torch.testing.assert_close(pooled, torch.stack([(one + 3 * two)[0], (3 * one + two)[1]]) / 4)


def test_as_many_queries_as_patches_change_nothing() -> None:
    visual = grid_tokens()
    assert torch.equal(AveragePool(num_queries=16)(visual).embeds, visual.embeds)


def test_the_global_token_comes_through_and_other_prefix_tokens_do_not() -> None:
    visual = grid_tokens(num_prefix=3)
    pooled = AveragePool(num_queries=1)(visual).embeds
    assert torch.equal(pooled[:, 0], visual.embeds[:, 0])
    torch.testing.assert_close(pooled[:, 1], visual.embeds[:, 3:].mean(1))


@pytest.mark.parametrize("grid", [(4, 4), (4, 6), (5, 3)])
def test_it_keeps_its_promises(grid: tuple[int, int]) -> None:
    pool = AveragePool(num_queries=4)
    assert not list(pool.parameters())
    check_promises(pool, grid_tokens(grid, [[0, 1, 2], [4, 9, 10]]), 4)


def test_what_it_cannot_pool_is_refused() -> None:
    with pytest.raises(ValueError, match="num_queries: must be a square number"):
        AveragePool(num_queries=6)
    with pytest.raises(ComponentError, match="num_queries: must be at most 4"):
        AveragePool(num_queries=9)(grid_tokens((2, 8)))
    with pytest.raises(ComponentError, match="AveragePool works on the patch grid"):
        AveragePool(num_queries=4)(VisualTokens(grid_tokens().embeds, 1, (4, 4)))
