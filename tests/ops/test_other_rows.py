"""Rows that show another image."""

from __future__ import annotations

import pytest
import torch

from bus_toolkit.ops.other_rows import other_rows


def test_the_next_row_with_another_image_is_searched_cyclically() -> None:
    assert other_rows(torch.tensor([5, 5, 6, 5])).tolist() == [2, 2, 3, 2]


@pytest.mark.parametrize("ids", [[3], [3, 3, 3]])
def test_a_batch_of_one_image_has_no_other(ids: list[int]) -> None:
    assert other_rows(torch.tensor(ids)).tolist() == [-1] * len(ids)
