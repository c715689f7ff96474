from __future__ import annotations

import pytest
import torch

from bus_toolkit.ops import AbsolutePositions, at_least_float32, at_least_float32_dtype
from bus_toolkit.ops.collective import mean_over_ranks
from bus_toolkit.ops.patch_grid import patch_centres, shares_of_box
from bus_toolkit.ops.patch_labels import boxes_to_patch_labels

LOW = (torch.float16, torch.bfloat16, torch.bool, torch.int64)


@pytest.mark.parametrize("dtype", LOW)
def test_half_precision_bool_and_integers_become_float32(dtype: torch.dtype) -> None:
    tensor = torch.ones(2, dtype=dtype)
    assert at_least_float32(tensor).dtype == at_least_float32_dtype(tensor) == torch.float32


@pytest.mark.parametrize("dtype", (torch.float32, torch.float64))
def test_what_is_precise_enough_is_given_back_itself(dtype: torch.dtype) -> None:
    tensor = torch.ones(2, dtype=dtype)
    assert at_least_float32(tensor) is tensor
    assert at_least_float32_dtype(tensor) == dtype


def test_a_mean_of_nothing_is_zero_with_weights_of_lower_precision_than_the_values() -> None:
    values = torch.ones(3, dtype=torch.float64, requires_grad=True)
    mean = mean_over_ranks(values, torch.zeros(3))
    mean.backward()
    assert mean == 0.0 and values.grad is not None and values.grad.eq(0).all()


def test_a_mean_of_half_precision_is_taken_in_float32() -> None:
    # Sums in bfloat16 stop at 256, where the next number is 258.
    assert mean_over_ranks(torch.ones(400, dtype=torch.bfloat16), torch.ones(400, dtype=torch.bfloat16)) == 1.0


def test_shares_of_boxes_in_float64_sum_to_one_to_the_last_digits() -> None:
    boxes = torch.tensor([[0.1, 0.2, 0.7, 0.95]], dtype=torch.float64)
    assert abs(shares_of_box(boxes, (3, 7)).sum().item() - 1.0) < 1e-15
    assert patch_centres((3, 7), boxes.device, torch.float64)[0, 0].item() == 0.5 / 7


def test_labels_of_boxes_in_float64_are_not_rounded_first() -> None:
    boxes = torch.tensor([[0.0, 0.0, 8.0 + 1e-9, 8.0]], dtype=torch.float64)
    # A sliver of the second patch: in float32 it would be gone.
    assert boxes_to_patch_labels(boxes, (8, 16), 8).tolist() == [[True, True]]


def test_a_position_table_in_float64_is_interpolated_in_float64() -> None:
    table = torch.full((1, 17, 2), 1.0 / 3.0, dtype=torch.float64)
    fitted = AbsolutePositions("pos_embed", (2, 2), 1).fit(table, torch.zeros(1, 5, 2), None)
    assert fitted.dtype == torch.float64 and (fitted - 1.0 / 3.0).abs().max() < 1e-15
