"""Attention masks for the places of a sequence that are left.

Shapes: B batch, H heads, W width of the whole sequence, n places that are left, t tokens since the prefill, Q tokens
that ask.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bus_toolkit.errors import ComponentError
from bus_toolkit.huggingface.layout import Layout


@dataclass(frozen=True)
class Call:
    """What a call of the language model is.

    Attributes:
        num_new: Tokens that are new, after a prefill; 0 in a prefill.
        num_later: All tokens since the prefill, the new ones included.
        flash: Whether attention takes masks (B, keys) alone.
    """

    num_new: int = 0
    num_later: int = 0
    flash: bool = False


def short_mask(mask: Any, layout: Layout, call: Call) -> Any:
    """Return the attention mask for the places that are left as keys and, in a prefill, as queries.

    Args:
        mask: ``None``; (B, W + t), which tokens may be read; (B or 1, 1 or H, Q, W + t), bool or added to the logits;
            or one of them for each kind of layer.
        layout: The places.
        call: Which tokens ask.

    Raises:
        ComponentError: A mask of another kind, or weights of keys beside a kernel that takes none.
    """
    if isinstance(mask, Mapping):
        return {name: short_mask(one, layout, call) for name, one in mask.items()}
    if mask is not None and not isinstance(mask, Tensor):
        raise ComponentError(
            f"reduce_tokens: attention masks must be tensors or None, got {type(mask).__name__}. Use "
            "model.set_attn_implementation('sdpa') or 'flash_attention_2'."
        )
    if call.flash if mask is None else mask.dim() == 2:
        return mask_of_keys(mask, layout)
    if mask is None and layout.valid is None and layout.bias is None:
        return None
    return _mask_of_pairs(mask, layout, call)


def mask_of_keys(mask: Tensor | None, layout: Layout) -> Tensor | None:
    """Return which keys may be read, (B, n + t), from the same of the whole sequence, (B, W + t) or ``None``.

    Raises:
        ComponentError: The places have weights as keys, which a mask (B, keys) does not say.
    """
    if layout.bias is not None:
        raise ComponentError(
            "reduce_tokens: a selector weighs tokens as keys, which this attention kernel cannot. Use "
            "model.set_attn_implementation('sdpa'), or a selector without weights."
        )
    if mask is None:
        return layout.valid
    kept = mask.gather(1, _columns(layout, mask.shape[1]))
    if layout.valid is None:
        return kept
    return kept * _over_later(layout.valid, kept.shape[1], True).to(kept.dtype)


def _columns(layout: Layout, total: int) -> Tensor:
    """Return the keys that are left, (B, n + t)."""
    later = torch.arange(layout.width, total, device=layout.places.device).expand(layout.places.shape[0], -1)
    return torch.cat([layout.places, later], dim=1)


def _over_later(of_places: Tensor, num_keys: int, value: Any) -> Tensor:
    """Return (B, n) as (B, n + t), with ``value`` for the t tokens since."""
    return F.pad(of_places, (0, num_keys - of_places.shape[1]), value=value)


def _mask_of_pairs(mask: Tensor | None, layout: Layout, call: Call) -> Tensor:
    mask = _causal(layout, call) if mask is None else _picked(mask, layout, call)
    count, num_keys = layout.places.shape[1], mask.shape[-1]
    if layout.valid is not None:
        readable = _over_later(layout.valid, num_keys, True)[:, None, None]
        if not call.num_new:  # padding reads itself: a row that reads nothing is NaN in some kernels
            readable = readable | torch.eye(count, dtype=torch.bool, device=mask.device)
        hidden = False if mask.dtype == torch.bool else torch.finfo(mask.dtype).min
        mask = torch.where(readable, mask, torch.full_like(mask, hidden))
    if layout.bias is not None:
        added = _over_later(layout.bias, num_keys, 0.0)[:, None, None]
        if mask.dtype == torch.bool:
            mask = torch.zeros_like(mask, dtype=added.dtype).masked_fill(~mask, torch.finfo(added.dtype).min)
        mask = mask + added.to(mask.dtype)
    return mask


def _causal(layout: Layout, call: Call) -> Tensor:
    """Return what transformers leaves out where every token reads all before it."""
    batch, count = layout.places.shape
    num_keys = count + call.num_later
    causal = torch.ones(num_keys, num_keys, dtype=torch.bool, device=layout.places.device).tril()
    return causal[-(call.num_new or count) :].expand(batch, 1, -1, -1)


def _picked(mask: Tensor, layout: Layout, call: Call) -> Tensor:
    columns = _columns(layout, mask.shape[-1])
    mask = mask.expand(layout.places.shape[0], -1, -1, -1)
    mask = mask.gather(3, columns[:, None, None].expand(-1, *mask.shape[1:3], -1))
    if call.num_new:
        return mask
    rows = layout.places[:, None, :, None]
    return mask.gather(2, rows.expand(-1, mask.shape[1], -1, mask.shape[3]))
