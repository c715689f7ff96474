"""What leaves a language model after a selection, in the width that went in."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from bus_toolkit.errors import ComponentError
from bus_toolkit.huggingface.layout import Layout
from bus_toolkit.huggingface.prefill import Prefill


def spread_outputs(output: Any, prefill: Prefill) -> Any:
    """Return an output of transformers whose states have the whole width; attention maps stay those of what is left.

    Raises:
        ComponentError: A tuple.
    """
    if isinstance(output, tuple):
        raise ComponentError(
            "reduce_tokens: the language model must return an output object, got a tuple. Leave return_dict at True in "
            "the config of the language model; the model itself may return tuples."
        )
    output.last_hidden_state = _spread(output.last_hidden_state, prefill.left)
    hidden_states = getattr(output, "hidden_states", None)
    if hidden_states is not None:
        # The first is the input of layer 0, each other one the output of the layer before it.
        output.hidden_states = tuple(
            _spread(states, prefill.left_at(max(number - 1, 0))) for number, states in enumerate(hidden_states)
        )
    return output


def _spread(states: Tensor | None, layout: Layout) -> Tensor | None:
    # Only some hidden states may have been asked for.
    if states is None or not layout.has_left_out:
        return states
    return layout.spread(states)
