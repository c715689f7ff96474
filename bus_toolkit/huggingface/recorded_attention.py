"""Queries and keys that an attention layer of transformers uses, for selectors that ask for a row of its map.

transformers calls attention by a name in ``AttentionInterface`` (sdpa, flash_attention_2, ...). While somebody listens,
the function of that name is one that does the same and notes what it is given. The name stays, so that masks and
kernels are those of the model; no map is computed for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from bus_toolkit.errors import ComponentError


@dataclass(frozen=True)
class RecordedAttention:
    """What an attention layer used: H heads, Hk key heads (each for H / Hk of them), n tokens, E = width of a head.

    Attributes:
        queries: (B, H, n, E), positions applied.
        keys: (B, Hk, n, E), positions applied.
        mask: What the layer was given: ``None``, (B, n), or (B or 1, 1 or H, n or 1, n), bool or added to the logits.
        scale: Factor of the logits.
        causal: Whether a token reads those before it alone, where ``mask`` is ``None`` or (B, n).
    """

    queries: Tensor
    keys: Tensor
    mask: Any
    scale: float
    causal: bool


class AttentionRecorder:
    """Listens to attention layers of one model.

    Args:
        layers: Attention layers of transformers.
        implementation: The name of their attention function, such as ``sdpa``.
        asked: Attention layers that are asked what they would use, before they run.
    """

    def __init__(self, layers: list[nn.Module], implementation: str, asked: Sequence[nn.Module] = ()) -> None:
        self._layers, self._implementation = layers, implementation
        self._listens = bool(layers or asked)
        self._is_open = False

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        if self._is_open:  # a copy listens by itself, also in another process
            self._is_open = False
            self.open()

    def open(self) -> None:
        """Begin; a name that ``AttentionInterface`` does not have, such as ``eager``, leaves nothing to listen to."""
        if self._listens and self._implementation in ALL_ATTENTION_FUNCTIONS:
            _wrap(self._implementation)
            self._is_open = True

    def close(self) -> None:
        """End; the attention function is what it was, once nobody listens to it."""
        self.forget()
        if self._is_open:
            _unwrap(self._implementation)
            self._is_open = False

    def begin(self) -> None:
        """Note what the next calls use."""
        for layer in self._layers:
            _notes[layer] = None

    def forget(self) -> None:
        """Note nothing any more, and let go of what was."""
        for layer in self._layers:
            _notes.pop(layer, None)

    def take(self, layer: nn.Module) -> Callable[[], RecordedAttention]:
        """Let go of what ``layer`` used, and return a function that returns it.

        That raises ``ComponentError`` if the layer has not called the attention function.
        """
        found = _notes.pop(layer, None)

        def used() -> RecordedAttention:
            if found is None:
                raise self._not_recorded(layer)
            return found

        return used

    def ahead(self, layer: nn.Module, run: Callable[[], object]) -> Callable[[], RecordedAttention]:
        """Return a function that returns what ``layer`` would use if ``run`` called it; no attention is computed.

        That raises ``ComponentError`` if the layer does not call the attention function.
        """

        def used() -> RecordedAttention:
            _asked.add(layer)
            try:
                run()
            except _Noted as noted:
                return noted.used
            finally:
                _asked.discard(layer)
            raise self._not_recorded(layer)

        return used

    def _not_recorded(self, layer: nn.Module) -> ComponentError:
        return ComponentError(
            f"reduce_tokens: a selector reads the attention of {type(layer).__name__}, which did not call the "
            f"attention function {self._implementation!r} that the model had when it was reduced, or called none by a "
            "name. Call model.set_attn_implementation('sdpa') before reduce_tokens."
        )


class _Noted(Exception):
    """Ends the call of a layer that is only asked what it would use."""

    def __init__(self, used: RecordedAttention) -> None:
        super().__init__()
        self.used = used


_asked: WeakSet[nn.Module] = WeakSet()
_notes: WeakKeyDictionary[nn.Module, RecordedAttention | None] = WeakKeyDictionary()


def _wrap(implementation: str) -> None:
    function = ALL_ATTENTION_FUNCTIONS[implementation]
    if not isinstance(function, _Recording):
        function = _Recording(function)
        AttentionInterface.register(implementation, function)
    function.listeners += 1


def _unwrap(implementation: str) -> None:
    function = ALL_ATTENTION_FUNCTIONS[implementation]
    if not isinstance(function, _Recording):  # somebody has registered another since
        return
    function.listeners -= 1
    if not function.listeners:
        AttentionInterface.register(implementation, function.function)


class _Recording:
    """An attention function that also notes what it is given."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.listeners = function, 0

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
        if module in _notes or module in _asked:
            scale = kwargs.get("scaling") or query.shape[-1] ** -0.5
            causal = kwargs.get("is_causal")
            causal = getattr(module, "is_causal", True) if causal is None else causal
            used = RecordedAttention(query, key, attention_mask, scale, bool(causal))
            if module in _asked:
                raise _Noted(used)
            _notes[module] = used
        return self.function(module, query, key, value, attention_mask, *args, **kwargs)
