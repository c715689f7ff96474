"""Rows that hold several samples one after the other, which selection does not know.

Training without padding puts samples into one row and begins their positions again with each, or says where they end.
A selection would rank images of one sample by the question of another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from bus_toolkit.errors import DataError


def check_not_packed(callers: Mapping[str, Any], positions: Tensor | None, readable: Tensor) -> None:
    """Refuse rows of several samples.

    Args:
        callers: What the model was called with.
        positions: (B or 1, W), or (3 or 4, B, W), whose first axis is the text's or time; ``None``: they count up.
        readable: bool (B, W), False for padding.

    Raises:
        DataError: Ends of samples are given, or positions begin again in a row.
    """
    packed = any(callers.get(name) is not None for name in ("cu_seq_lens_q", "cu_seq_lens_k"))
    mask = callers.get("attention_mask")
    says_padding = mask is None or (isinstance(mask, Tensor) and mask.dim() == 2)  # positions fall after padding, too
    if not packed and says_padding and positions is not None and callers.get("position_ids") is not None:
        packed = _begins_again(positions, readable)
    if packed:
        raise DataError(
            "reduce_tokens: a row must hold one sample, got several one after the other (positions that begin again, "
            "or cu_seq_lens). Pad rows to one length in place of packing them, or leave the block of reduce_tokens."
        )


def _begins_again(positions: Tensor, readable: Tensor) -> bool:
    axes = positions if positions.dim() == 3 else positions.unsqueeze(0)
    first = axes[0].expand_as(readable)
    falls = first[:, 1:] < first[:, :-1]
    # A sample of one token is followed by the same position.
    starts = (axes == 0).all(dim=0).expand_as(readable)[:, 1:]
    return bool(((falls | starts) & readable[:, 1:] & readable[:, :-1]).any())
