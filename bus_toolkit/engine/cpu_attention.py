"""How attention is computed under the CPU's autocast, whose fused kernel is slow in bfloat16."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

CpuAttention = Literal["fused", "fused_float32", "unfused"]
CPU_ATTENTION: tuple[CpuAttention, ...] = ("fused", "fused_float32", "unfused")


def cpu_attention(kind: CpuAttention) -> AbstractContextManager[Any]:
    """Return the region in which calls of torch's ``scaled_dot_product_attention`` are computed as ``kind`` says.

    torch's fused kernel takes about twice as long in bfloat16 as in float32 on a CPU, most of it in the backward pass,
    so that autocast saves nothing where attention is a large share of the work. Calls inside torch's own
    ``nn.MultiheadAttention`` (of ``QFormer`` and ``Resampler``) are not seen and stay as they are.

    Args:
        kind: ``fused``: torch's kernel in the precision of autocast. ``fused_float32``: the same kernel in float32.
            ``unfused``: two matrix products in the precision of autocast with the softmax in float32 between them; the
            fastest for narrow models on few tokens, at the memory of all attention maps, (B, H, L, S) a layer.
    """
    return nullcontext() if kind == "fused" else _OtherAttention(_float32 if kind == "fused_float32" else _unfused)


class _OtherAttention(TorchFunctionMode):
    """Replace one function of torch inside the region, whichever library calls it."""

    def __init__(self, attend: Callable[..., Tensor]) -> None:
        super().__init__()
        self._attend = attend

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is F.scaled_dot_product_attention:
            return self._attend(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _float32(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, *args: Any, **settings: Any
) -> Tensor:
    mask = attn_mask.float() if attn_mask is not None and attn_mask.is_floating_point() else attn_mask
    with torch.autocast("cpu", enabled=False):
        mixed = F.scaled_dot_product_attention(query.float(), key.float(), value.float(), mask, *args, **settings)
    return mixed.to(query.dtype)


def _unfused(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    **settings: Any,
) -> Tensor:
    if is_causal or settings.get("enable_gqa"):
        return _float32(query, key, value, attn_mask, dropout_p=dropout_p, is_causal=is_causal, scale=scale, **settings)
    # The factor goes to the queries (B, H, L, E), the smaller side: the logits are (B, H, L, S).
    logits = (query * (query.shape[-1] ** -0.5 if scale is None else scale)) @ key.transpose(-2, -1)
    blind = None  # rows that may read nothing: the kernel gives 0 there, a softmax alone would give NaN
    if attn_mask is not None:
        is_bool = attn_mask.dtype is torch.bool
        rows = ~(attn_mask if is_bool else attn_mask > float("-inf")).any(dim=-1, keepdim=True)
        blind = rows if rows.any() else None
        if blind is not None:
            attn_mask = attn_mask | blind if is_bool else attn_mask.masked_fill(blind, 0.0)
        logits = logits.masked_fill(~attn_mask, float("-inf")) if is_bool else logits + attn_mask
    weights = logits.softmax(dim=-1)  # in float32 under autocast
    if blind is not None:
        weights = weights.masked_fill(blind, 0.0)
    return (F.dropout(weights, dropout_p) if dropout_p else weights).to(value.dtype) @ value
