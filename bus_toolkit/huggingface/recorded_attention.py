"""Queries and keys that an attention layer of transformers has just used, for selectors that ask for a row of its map.

transformers calls attention by a name in ``AttentionInterface`` (sdpa, flash_attention_2, ...). The function of that name
is replaced by one that does the same and, for a layer that is listened to, keeps its queries and keys until the next
selection. The name stays, so that masks and kernels are those of the model; no map is computed for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from bus_toolkit.errors import ComponentError


@dataclass(frozen=True)
class RecordedAttention:
    """What an attention layer used: H heads, Hk key heads (each for H / Hk of them), n tokens, E = width of a head.

    Attributes:
        queries: (B, H, n, E), positions applied.
        keys: (B, Hk, m, E), positions applied.
        mask: What the layer was given: ``None``, (B, m), or (B or 1, 1 or H, n, m), bool or added to the logits.
        scale: Factor of the logits.
        causal: Whether a token reads those before it alone, where ``mask`` is ``None`` or (B, m).
    """

    queries: Tensor
    keys: Tensor
    mask: Any
    scale: float
    causal: bool


_records: WeakKeyDictionary[nn.Module, list[RecordedAttention]] = WeakKeyDictionary()


def is_recordable(implementation: str) -> bool:
    """Return whether attention of that name can be listened to."""
    return implementation in ALL_ATTENTION_FUNCTIONS


def listen(attention: nn.Module, implementation: str) -> None:
    """Keep what ``attention`` uses from its next call on.

    Args:
        attention: An attention layer of transformers.
        implementation: The name of its attention function, such as ``sdpa``.

    Raises:
        ComponentError: Its attention has no name in ``AttentionInterface``, as ``eager`` has none.
    """
    if not is_recordable(implementation):
        raise ComponentError(
            f"reduce_tokens: a selector reads the attention of {type(attention).__name__}, whose implementation is "
            f"{implementation!r}. Load the model with attn_implementation='sdpa', or call "
            "model.set_attn_implementation('sdpa')."
        )
    function = ALL_ATTENTION_FUNCTIONS[implementation]
    if not isinstance(function, _Recording):
        AttentionInterface.register(implementation, _Recording(function))
    _records[attention] = []


def stop_listening(attention: nn.Module) -> None:
    """Keep nothing of ``attention`` any more."""
    _records.pop(attention, None)


def recorded(attention: nn.Module) -> RecordedAttention:
    """Return what ``attention`` used last.

    Raises:
        ComponentError: It has not been called through ``AttentionInterface``.
    """
    found = _records.get(attention)
    if not found:
        raise ComponentError(
            f"reduce_tokens: a selector reads the attention of {type(attention).__name__}, which did not call an "
            "attention function by its name. Call model.set_attn_implementation('sdpa') before reduce_tokens."
        )
    return found[-1]


def forget(attention: nn.Module) -> None:
    """Let go of the tensors of the last call."""
    if attention in _records:
        _records[attention].clear()


class _Recording:
    """An attention function that also keeps what it is given, for layers that are listened to."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(
        self,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Any,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        kept = _records.get(module)
        if kept is not None and query.shape[2] > 1:
            scale = kwargs.get("scaling") or query.shape[-1] ** -0.5
            causal = kwargs.get("is_causal")
            causal = getattr(module, "is_causal", True) if causal is None else causal
            kept[:] = [RecordedAttention(query, key, attention_mask, scale, bool(causal))]
        return self._function(module, query, key, value, attention_mask, *args, **kwargs)
