"""Helpers that heads share."""

from __future__ import annotations

import pytest
import torch

from bus_toolkit.heads.base import other_rows
from bus_toolkit.heads.itm import ITMHead


def test_the_next_row_with_another_image_is_found_cyclically() -> None:
    assert other_rows(torch.tensor([5, 5, 6, 5])).tolist() == [2, 2, 3, 2]


@pytest.mark.parametrize("ids", [[3], [3, 3, 3]])
def test_a_batch_of_one_image_has_no_other(ids: list[int]) -> None:
    assert other_rows(torch.tensor(ids)).tolist() == [-1] * len(ids)


@pytest.mark.parametrize("kwargs", [{"weight": -1.0}, {"start_epoch": -0.5}])
def test_negative_weight_or_start_is_refused(kwargs: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="weight and start_epoch: must be 0 or more"):
        ITMHead(text_dim=8, **kwargs)
