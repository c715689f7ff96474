"""Position tables on another grid: what is interpolated, what is kept, what is refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bus_toolkit.ops.rotary import RotaryAngles, eva02_angles
from bus_toolkit.weights.fitting import Fitting, Misfit
from bus_toolkit.weights.layouts import Target
from tests.weights.sources import beit, vit

TARGET = Target("any", grids=("pos",), relative=("rel",), rows=("rows",), words=("words",))


def fitted(name: str, tensor: torch.Tensor, *shape: int, module: nn.Module | None = None) -> torch.Tensor:
    return Fitting(module or nn.Module(), TARGET).fit(name, tensor, torch.zeros(shape))


def test_a_tensor_of_the_same_shape_is_returned_as_it_is() -> None:
    tensor = torch.randn(2, 3)
    assert fitted("other", tensor, 2, 3) is tensor


@pytest.mark.parametrize("prefix", [0, 1, 2])
def test_prefix_tokens_keep_their_positions_and_the_grid_is_resampled(prefix: int) -> None:
    table = torch.randn(1, prefix + 9, 4)
    out = fitted("pos", table, 1, prefix + 25, 4)
    assert torch.equal(out[:, :prefix], table[:, :prefix])
    grid = table[:, prefix:].transpose(1, 2).unflatten(2, (3, 3))
    expected = F.interpolate(grid, size=(5, 5), mode="bicubic", align_corners=False).flatten(2).transpose(1, 2)
    torch.testing.assert_close(out[:, prefix:], expected)


def test_a_table_without_a_batch_dimension_is_resampled_alike() -> None:
    table = torch.randn(10, 4)
    torch.testing.assert_close(fitted("pos", table, 26, 4), fitted("pos", table.unsqueeze(0), 1, 26, 4).squeeze(0))


def test_a_grid_that_is_not_square_comes_from_the_module() -> None:
    module = vit(img_size=(32, 64))
    out = fitted("pos", torch.randn(1, 10, 4), 1, 33, 4, module=module)
    assert out.shape == (1, 33, 4)


def test_a_class_token_without_a_position_has_the_position_zero() -> None:
    table = torch.randn(1, 9, 4)
    out = fitted("pos", table, 1, 10, 4)
    assert not out[:, 0].any() and torch.equal(out[:, 1:], table)


@pytest.mark.parametrize(
    ("name", "shape", "own", "said"),
    [
        ("pos", (1, 10, 4), (1, 9, 4), "1 tokens before the patches have a position in it, 0 in the model"),
        (
            "pos",
            (1, 13, 4),
            (1, 17, 4),
            "a grid that is not known and not square, 12 rows, the model of 4 x 4",
        ),
        ("pos", (1, 10, 3), (1, 17, 4), r"pos has the shape \(1, 10, 3\), the model \(1, 17, 4\)"),
        ("rel", (11, 2), (28, 2), "positions of a grid that is not known and not square, 8 rows, the model of 3 x 3"),
        ("rows", (4, 2), (5, 2), "it knows fewer positions; lower max_text_length"),
        ("rows", (5, 3), (5, 2), "rows has the shape"),
        ("words", (5, 2), (4, 2), "another vocabulary"),
        ("words", (4, 2), (5, 2), "another vocabulary"),
        ("other", (4, 2), (3, 2), "other has the shape"),
    ],
)
def test_what_cannot_be_fitted_says_why(name: str, shape: tuple[int, ...], own: tuple[int, ...], said: str) -> None:
    with pytest.raises(Misfit, match=said):
        fitted(name, torch.zeros(shape), *own)


def test_the_first_positions_of_a_text_are_taken() -> None:
    table = torch.randn(9, 2)
    assert torch.equal(fitted("rows", table, 4, 2), table[:4])


def test_relative_positions_are_resampled_and_those_of_the_class_token_kept() -> None:
    ramp = torch.linspace(0, 1, 9).repeat(9, 1)  # 5 x 5 patches have 9 x 9 offsets; the value grows with the column
    table = torch.cat([ramp.reshape(81, 1), torch.tensor([[7.0], [8.0], [9.0]])])
    out = fitted("rel", table, 5 * 5 + 3, 1)
    assert out[-3:].flatten().tolist() == [7.0, 8.0, 9.0]
    plane = out[:-3].reshape(5, 5)
    assert (plane.diff(dim=1) > 0).all() and torch.allclose(plane, plane[:1].expand(5, -1), atol=1e-6)
    assert plane[2, 2].item() == pytest.approx(0.5)


def test_the_tables_of_a_window_that_is_not_square_have_its_size() -> None:
    module = beit(img_size=(32, 64))
    own = module.layers[0].attn.relative_position_bias_table
    out = fitted("rel", torch.randn(9 * 9 + 3, own.shape[1]), *own.shape, module=module)
    assert out.shape == own.shape


def test_angles_of_eva02_follow_the_grid_and_others_are_the_models_own() -> None:
    angles, own = eva02_angles((3, 3), 8, "cos"), torch.zeros(8, 8)
    table = RotaryAngles("freqs_cos", (2, 4))
    assert torch.equal(table.fit(angles, own, None), eva02_angles((2, 4), 8, "cos"))
    assert torch.equal(table.fit(eva02_angles((4, 2), 8, "cos"), own, (4, 2)), eva02_angles((2, 4), 8, "cos"))
    assert torch.equal(table.fit(torch.ones(9, 8), own, None), own)


def test_angles_of_eva02_are_those_of_its_formula() -> None:
    angles = eva02_angles((2, 4), 8, "sin")
    # Row 1 of 2 is at position 16 / 2 = 8, column 3 of 4 at 12; the frequencies are 1 and 10000 ** -0.5 = 0.01.
    expected = torch.tensor([8.0, 8.0, 0.08, 0.08, 12.0, 12.0, 0.12, 0.12]).sin()
    torch.testing.assert_close(angles[7], expected)


@pytest.mark.parametrize(
    ("tensor", "dtype", "said"),
    [
        (torch.ones(2, 2, dtype=torch.int8), torch.float32, "other holds int8, the model float32; quantised weights"),
        (torch.eye(2).to_sparse(), torch.float32, "other is sparse or quantised in it, and dense in the model"),
        (torch.quantize_per_tensor(torch.eye(2), 0.1, 0, torch.qint8), torch.float32, "other is sparse or quantised"),
        (
            1e6 * torch.eye(2),
            torch.float16,
            r"other holds 1e\+06, above what float16 of the model can hold; use bfloat16",
        ),
    ],
)
def test_values_that_the_model_cannot_hold_are_refused(tensor: torch.Tensor, dtype: torch.dtype, said: str) -> None:
    with pytest.raises(Misfit, match=said):
        Fitting(nn.Module(), TARGET).fit("other", tensor, torch.zeros(2, 2, dtype=dtype))


def test_infinities_and_half_precision_are_copied() -> None:
    mask = torch.full((2, 2), -torch.inf)
    assert Fitting(nn.Module(), TARGET).fit("other", mask, mask.half()) is mask
    half = torch.ones(2, 2, dtype=torch.bfloat16)
    assert fitted("other", half, 2, 2) is half
