"""Cells of about the same size: a partition of the grid into exactly so many, with centres inside."""

from __future__ import annotations

import pytest
import torch

from bus_toolkit.ops.even_cells import even_cells


def test_a_quarter_is_two_by_two_and_a_ninth_three_by_three() -> None:
    cells, centres = even_cells((4, 6), 6)
    assert cells.unflatten(0, (4, 6)).tolist() == [[0, 0, 1, 1, 2, 2]] * 2 + [[3, 3, 4, 4, 5, 5]] * 2
    assert centres.tolist() == [0, 2, 4, 12, 14, 16]
    assert even_cells((6, 6), 4)[1].tolist() == [7, 10, 25, 28]


def test_half_of_the_patches_are_pairs_and_a_prime_number_of_cells_differs_by_one_row_or_column() -> None:
    assert torch.bincount(even_cells((12, 12), 72)[0]).unique().tolist() == [2]
    # 4 bands of 3 rows; in them 3, 4, 3 and 3 cells, 3 or 4 columns wide.
    assert sorted(set(torch.bincount(even_cells((12, 12), 13)[0]).tolist())) == [9, 12]


@pytest.mark.parametrize("grid", [(1, 7), (5, 3), (4, 4), (6, 9)])
def test_every_number_of_cells_is_a_partition_into_rectangles_with_their_centres(grid: tuple[int, int]) -> None:
    rows, columns = grid
    for count in range(1, rows * columns + 1):
        cells, centres = even_cells(grid, count)
        assert cells[centres].tolist() == list(range(count)), "each cell has its centre, in order"
        assert cells.min() == 0 and cells.max() == count - 1
        on_grid = cells.unflatten(0, grid)
        for cell in range(count):
            inside = (on_grid == cell).nonzero()
            (top, left), (bottom, right) = inside.min(dim=0).values.tolist(), inside.max(dim=0).values.tolist()
            assert len(inside) == (bottom - top + 1) * (right - left + 1)
            assert divmod(int(centres[cell]), columns) == ((top + bottom) // 2, (left + right) // 2)
