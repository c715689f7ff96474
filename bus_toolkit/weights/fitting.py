"""Fit tables of positions to another number of positions; nothing else may have another shape."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bus_toolkit.ops.position_table import interpolate_positions
from bus_toolkit.weights.layouts import Layout, Target
from bus_toolkit.weights.patterns import matches
from bus_toolkit.weights.rotary import fit_angles

_PREFIX_COUNTS = (0, 1, 2)  # no token before the patches, a class token, and a distillation token beside it
_OTHER_ENTRIES = 3  # of a table of relative positions: from and to the class token, and to itself


class Misfit(Exception):
    """A tensor has another shape and cannot be brought into the right one; the message says why."""


def fit(name: str, tensor: Tensor, own: Tensor, module: nn.Module, target: Target, layout: Layout | None) -> Tensor:
    """Return ``tensor`` in the shape of ``own``.

    Position tables of images and tables of relative positions are interpolated (bicubic), the entries of prefix tokens
    kept; of the positions of a text the first rows are taken, which changes no result.

    Args:
        name: Name of the tensor in ``module``.
        tensor: The tensor of the source.
        own: The tensor of the module.
        module: For the patch grid.
        target: Which tensors are tables.
        layout: How many words the source's vocabulary has after ours.

    Raises:
        Misfit: It cannot be fitted.
    """
    if tensor.shape == own.shape:
        return tensor
    description = f"{name} has the shape {tuple(tensor.shape)}, the model {tuple(own.shape)}"
    if matches(name, target.grids) and tensor.shape[-1] == own.shape[-1] and tensor.dim() == own.dim():
        return _fit_grid(tensor, own, patch_grid(module, name), description)
    if matches(name, target.relative) and tensor.dim() == 2 and tensor.shape[1] == own.shape[1]:
        return _fit_relative(tensor, own, patch_grid(module, name), description)
    if matches(name, target.angles) and tensor.shape[1:] == own.shape[1:]:
        grid = patch_grid(module, name)
        fitted = fit_angles(tensor, grid, name[-3:]) if grid is not None else None
        return own if fitted is None else fitted
    if tensor.shape[1:] != own.shape[1:] or tensor.dim() != own.dim():
        raise Misfit(description)
    more = tensor.shape[0] - own.shape[0]
    if matches(name, target.rows):
        if more < 0:
            raise Misfit(f"{description}: it knows fewer positions; lower max_text_length")
        return tensor[: own.shape[0]]
    if matches(name, target.words):
        if layout is not None and more == layout.appended_words:
            return tensor[: own.shape[0]]
        raise Misfit(f"{description}: another vocabulary; use the tokenizer that belongs to these weights")
    raise Misfit(description)


def patch_grid(module: nn.Module, name: str) -> tuple[int, int] | None:
    """Return rows and columns of patches of the part of ``module`` with the table ``name``; ``None`` if not known."""
    part: Any = module
    for step in ["", *name.split(".")[:-1]]:
        part = getattr(part, step) if step else part
        if hasattr(part, "patch_resolution"):
            rows, columns = part.patch_resolution
            return int(rows), int(columns)
    return None


def _fit_grid(table: Tensor, own: Tensor, grid: tuple[int, int] | None, description: str) -> Tensor:
    flat = table.dim() == 2
    table, shaped = (table.unsqueeze(0), own.unsqueeze(0)) if flat else (table, own)
    source_prefix, own_prefix = _prefix_of(table.shape[1]), _prefix_of(shaped.shape[1], grid)
    if source_prefix is None or own_prefix is None:
        raise Misfit(f"{description}: positions are interpolated from a square grid only")
    if source_prefix == 0 and own_prefix == 1:  # a class token without a position is one whose position is zero
        table, source_prefix = torch.cat([torch.zeros_like(table[:, :1]), table], dim=1), 1
    if source_prefix != own_prefix:
        raise Misfit(f"{description}: {source_prefix} tokens before the patches have a position, here {own_prefix}")
    side = math.isqrt(shaped.shape[1] - own_prefix)
    fitted = interpolate_positions(table, own_prefix, shaped, grid or (side, side), antialias=False)
    return fitted.squeeze(0) if flat else fitted


def _prefix_of(rows: int, grid: tuple[int, int] | None = None) -> int | None:
    """Return how many rows of a table are before those of the patches; the grid is square where none is given."""
    if grid is not None:
        return rows - grid[0] * grid[1] if rows - grid[0] * grid[1] in _PREFIX_COUNTS else None
    return next((n for n in _PREFIX_COUNTS if rows > n and math.isqrt(rows - n) ** 2 == rows - n), None)


def _fit_relative(table: Tensor, own: Tensor, grid: tuple[int, int] | None, description: str) -> Tensor:
    """Return a table of relative positions (offsets + 3, heads) for another window.

    Bicubic over the plane of offsets, as in timm; BEiT's own interpolation on a geometric grid is left out.
    """
    side = math.isqrt(table.shape[0] - _OTHER_ENTRIES)
    own_side = math.isqrt(own.shape[0] - _OTHER_ENTRIES)
    size = (own_side, own_side) if grid is None else (2 * grid[0] - 1, 2 * grid[1] - 1)
    if side**2 != table.shape[0] - _OTHER_ENTRIES or size[0] * size[1] != own.shape[0] - _OTHER_ENTRIES:
        raise Misfit(f"{description}: relative positions are interpolated from a square window only")
    plane = table[:-_OTHER_ENTRIES].float().t().unflatten(1, (side, side)).unsqueeze(0)
    fitted = F.interpolate(plane, size=size, mode="bicubic", align_corners=False)
    return torch.cat([fitted.squeeze(0).flatten(1).t().to(table.dtype), table[-_OTHER_ENTRIES:]])
