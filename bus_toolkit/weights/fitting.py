"""Fit tables of positions to another number of positions; nothing else may have another shape."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone
from bus_toolkit.ops.position_table import AbsolutePositions, Grid, PositionMisfit, PositionTable, RelativePositions
from bus_toolkit.ops.rotary import RotaryAngles
from bus_toolkit.weights.layouts import Layout, Target
from bus_toolkit.weights.patterns import matches

_PREFIX_COUNTS = (0, 1, 2)  # no token before the patches, a class token, and a distillation token beside it
_OTHER_ENTRIES = 3  # of a table of relative positions: from and to the class token, and to itself


class Misfit(Exception):
    """A tensor has another shape and cannot be brought into the right one; the message says why."""


@dataclass(frozen=True)
class Fitting:
    """What decides how tensors of a source are brought into the shapes of a module.

    Attributes:
        module: Gets them.
        target: Which of its tensors are tables, for those that ``tables`` does not have.
        layout: How many words the source's vocabulary has after ours.
        tables: Tables of positions by name, as the adapters of its backbones describe them.
    """

    module: nn.Module
    target: Target
    layout: Layout | None = None
    tables: Mapping[str, PositionTable] = field(default_factory=dict)

    def fit(self, name: str, tensor: Tensor, own: Tensor, grid: Grid | None = None) -> Tensor:
        """Return ``tensor`` in the shape of ``own``.

        Tables of positions of images are interpolated as ``ops/position_table.py`` says; of the positions of a text the
        first rows are taken, which changes no result.

        Args:
            name: Name of the tensor in the module.
            tensor: The tensor of the source.
            own: The tensor of the module.
            grid: Rows and columns of patches of the source; ``None`` where not known.

        Raises:
            Misfit: It cannot be fitted, or holds what the tensor of the module cannot.
        """
        _check_values(name, tensor, own)
        table = self._table(name, tensor, own)
        if table is not None:
            return _fit_table(table, tensor, own, grid)
        if tensor.shape == own.shape:
            return tensor
        description = f"{name} has the shape {tuple(tensor.shape)}, the model {tuple(own.shape)}"
        if tensor.shape[1:] != own.shape[1:] or tensor.dim() != own.dim():
            raise Misfit(description)
        more = tensor.shape[0] - own.shape[0]
        if matches(name, self.target.rows):
            if more < 0:
                raise Misfit(f"{description}: it knows fewer positions; lower max_text_length")
            return tensor[: own.shape[0]]
        if matches(name, self.target.words):
            if self.layout is not None and more == self.layout.appended_words:
                return tensor[: own.shape[0]]
            raise Misfit(f"{description}: another vocabulary; use the tokenizer that belongs to these weights")
        raise Misfit(description)

    def notes(self, name: str, tensor: Tensor, own: Tensor) -> list[str]:
        """Return what the user should know of a tensor that was interpolated."""
        table = self._table(name, tensor, own)
        return [table.note] if table is not None and table.note else []

    def _table(self, name: str, tensor: Tensor, own: Tensor) -> PositionTable | None:
        """Return how a tensor of positions is laid out; ``None`` if it is none, or if nobody knows its grid."""
        if name in self.tables:
            return self.tables[name]
        if tensor.dim() != own.dim() or tensor.dim() < 2:
            return None
        grid = patch_grid(self.module, name)
        if matches(name, self.target.grids):
            others = _prefix_of(own.shape[-2], grid)
            side = math.isqrt(own.shape[-2] - (others or 0))
            return None if others is None else AbsolutePositions(name, grid or (side, side), others)
        if matches(name, self.target.relative):
            side = (math.isqrt(own.shape[0] - _OTHER_ENTRIES) + 1) // 2
            return RelativePositions(name, grid or (side, side), _OTHER_ENTRIES)
        if matches(name, self.target.angles) and grid is not None:
            return RotaryAngles(name, grid)
        return None


def _check_values(name: str, tensor: Tensor, own: Tensor) -> None:
    """Refuse values that copying would change in their meaning, or could not copy.

    Raises:
        Misfit: Of a sparse or quantised tensor, of whole numbers that need a scale, of numbers too large for the model.
    """
    if tensor.layout != own.layout or tensor.is_quantized:
        raise Misfit(f"{name} is sparse or quantised in it, and dense in the model; save it dense, as floats")
    if not own.is_floating_point() or not tensor.numel() or tensor.is_meta:
        return
    if not tensor.is_floating_point():
        raise Misfit(
            f"{name} holds {_name(tensor)}, the model {_name(own)}; quantised weights mean nothing without their "
            "scales, take those in floats"
        )
    largest = torch.finfo(own.dtype).max
    if torch.finfo(tensor.dtype).max > largest:
        values = tensor.detach().abs()
        top = float(values.where(values.isfinite(), 0.0).max())
        if top > largest:
            raise Misfit(
                f"{name} holds {top:.3g}, above what {_name(own)} of the model can hold; use bfloat16 or float32"
            )


def _name(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def tables_of(module: nn.Module) -> dict[str, PositionTable]:
    """Return the tables of positions of all token-reducing backbones in ``module``, by their names there."""
    tables = {}
    for path, part in module.named_modules():
        if isinstance(part, TokenReducingBackbone):
            start = f"{path}.vit." if path else "vit."
            tables.update({start + table.name: table.below(start) for table in part.adapter.position_tables()})
    return tables


def tables_of_part(model: nn.Module, path: str) -> dict[str, PositionTable]:
    """Return the tables of positions of the transformer at ``path`` by its own names; none of any other part."""
    above = model.get_submodule(path.rpartition(".")[0])
    if not isinstance(above, TokenReducingBackbone) or not path.endswith(".vit"):
        return {}
    return {table.name: table for table in above.adapter.position_tables()}


def index_names(tables: Mapping[str, PositionTable]) -> set[str]:
    """Return the names of the buffers that index tables of relative positions; a module makes them for its own grid."""
    return {table.index for table in tables.values() if isinstance(table, RelativePositions) and table.index}


def patch_grid(module: nn.Module, name: str) -> Grid | None:
    """Return rows and columns of patches of the part of ``module`` with the table ``name``; ``None`` if not known."""
    part: Any = module
    for step in ["", *name.split(".")[:-1]]:
        part = getattr(part, step) if step else part
        if hasattr(part, "patch_resolution"):
            rows, columns = part.patch_resolution
            return int(rows), int(columns)
    return None


def _fit_table(table: PositionTable, tensor: Tensor, own: Tensor, grid: Grid | None) -> Tensor:
    """Fit a table of positions, unless the grid of the source can only be guessed.

    Raises:
        Misfit: It cannot be fitted, or is of one of two grids.
    """
    rows, columns = table.grid
    if grid is None and tensor.dim() == own.dim() and table.is_ambiguous(tensor):
        raise Misfit(
            f"{table.name} has as many positions as {rows} x {columns} patches, and as a square image; the file does "
            f"not say which; write grid: [{rows}, {columns}] or the square one beside checkpoint"
        )
    try:
        return table.fit(tensor, own, grid)
    except PositionMisfit as error:
        raise Misfit(str(error)) from error


def _prefix_of(rows: int, grid: Grid | None) -> int | None:
    """Return how many rows of a table are before those of the patches; the grid is square where none is given."""
    if grid is not None:
        return rows - grid[0] * grid[1] if rows - grid[0] * grid[1] in _PREFIX_COUNTS else None
    return next((n for n in _PREFIX_COUNTS if rows > n and math.isqrt(rows - n) ** 2 == rows - n), None)
