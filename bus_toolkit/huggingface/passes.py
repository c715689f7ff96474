"""In which pass of a language model a layer runs: checkpointing runs layers again, and their hooks with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from bus_toolkit.errors import ComponentError
from bus_toolkit.huggingface.attention_masks import Call
from bus_toolkit.huggingface.prefill import Prefill


@dataclass(frozen=True)
class Pass:
    """One pass of the language model.

    Attributes:
        prefill: What is known of its visual tokens; ``None`` for texts alone.
        call: Which tokens it reads.
    """

    prefill: Prefill | None = None
    call: Call = Call()


class Passes:
    """The pass that runs now, and earlier ones whose layers may run again in the backward pass.

    A pass is known by its rotary tables: they are made once, and every layer gets them each time that it runs.
    """

    def __init__(self) -> None:
        self.now: Pass | None = None
        self._by_table = WeakTensorKeyDictionary()

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy of a model is in no pass.
        return type(self), ()

    def of_layer(self, arguments: Mapping[str, Any]) -> Pass:
        """Return the pass that a layer with these arguments runs in.

        Raises:
            ComponentError: No pass is known.
        """
        tables = arguments.get("position_embeddings")
        table = tables[0] if isinstance(tables, tuple) else tables
        if isinstance(table, Tensor) and table in self._by_table:
            return self._by_table[table]
        if self.now is None:
            raise ComponentError(
                "reduce_tokens: a layer must run inside its language model, got a call of the layer alone. Call the "
                "model, or remove() the reduction first."
            )
        if isinstance(table, Tensor):
            self._by_table[table] = self.now
        return self.now
