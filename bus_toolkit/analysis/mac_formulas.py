"""What torch's counter gets wrong or leaves out, in its unit: two for each multiply-accumulate operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import torch

Shape = Sequence[int]


def _convolution_backward(
    grad_shape: Shape,
    input_shape: Shape,
    weight_shape: Shape,
    _bias_sizes: Any,
    _stride: Any,
    _padding: Any,
    _dilation: Any,
    transposed: bool,
    _output_padding: Any,
    _groups: int,
    output_mask: Sequence[bool],
    **_: Any,
) -> int:
    """Return as much as the forward pass for each of the two gradients that is asked for, input and weight.

    Every product of the forward pass, an input number times a weight, comes back once in each gradient. torch 2.14
    multiplies by the channels of all groups (pytorch/pytorch issue 119806).
    """
    # The weight (channels out, channels in of a group, ...) is applied once at each place of the output; that of a
    # transposed convolution (channels in, channels out of a group, ...) at each place of the input.
    places = (input_shape if transposed else grad_shape)[2:]
    return 2 * input_shape[0] * prod(places) * prod(weight_shape) * sum(output_mask[:2])


def _product_with_vector(matrix_shape: Shape, _vector_shape: Shape, **_: Any) -> int:
    return 2 * prod(matrix_shape)


def _sum_and_product_with_vector(_sum_shape: Shape, matrix_shape: Shape, _vector_shape: Shape, **_: Any) -> int:
    return 2 * prod(matrix_shape)


def _sum_of_products(_sum_shape: Shape, left_shape: Shape, right_shape: Shape, **_: Any) -> int:
    return 2 * prod(left_shape) * right_shape[-1]


def _sum_of_triples(
    first_shape: Shape,
    second_shape: Shape,
    third_shape: Shape,
    first_expanded: Sequence[int],
    second_expanded: Sequence[int],
    third_expanded: Sequence[int],
    *_: Any,
    **__: Any,
) -> int:
    """Return one for each term of the sum that ``nn.Bilinear`` is: features of both sides times outputs times rows."""
    shapes = (first_shape, second_shape, third_shape)
    full = [
        _with_ones(shape, places)
        for shape, places in zip(shapes, (first_expanded, second_expanded, third_expanded), strict=True)
    ]
    return 2 * prod(max(sizes) for sizes in zip(*full, strict=True))


def _with_ones(shape: Shape, places: Sequence[int]) -> list[int]:
    sizes = list(shape)
    for place in sorted(places):
        sizes.insert(place, 1)
    return sizes


_ATEN = torch.ops.aten
# As torch's counter wants them: shapes in place of tensors, and ``out_shape`` by name.
FORMULAS: Mapping[Any, Callable[..., int]] = {
    _ATEN.convolution_backward: _convolution_backward,
    _ATEN.mv: _product_with_vector,
    _ATEN.dot: _product_with_vector,
    _ATEN.addmv: _sum_and_product_with_vector,
    _ATEN.addbmm: _sum_of_products,
    _ATEN._trilinear: _sum_of_triples,
}
