"""Rows of a batch, repeated for the several texts of their image."""

from __future__ import annotations

from typing import overload

from torch import Tensor


@overload
def repeat_rows(rows: Tensor, times: int) -> Tensor: ...
@overload
def repeat_rows(rows: Tensor | None, times: int) -> Tensor | None: ...
def repeat_rows(rows: Tensor | None, times: int) -> Tensor | None:
    """Return every row of a tensor (B, ...) ``times`` times in a row, (B * times, ...); nothing of nothing.

    One time is the tensor itself, without a copy.
    """
    return rows if rows is None or times == 1 else rows.repeat_interleave(times, dim=0)
