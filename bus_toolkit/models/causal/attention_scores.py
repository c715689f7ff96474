"""What questions attend to in the image, in layers of a language model, as scores that boxes can train.

Shapes: B rows, T questions of a row, W width of a sequence, V visual tokens of a row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from bus_toolkit.errors import ConfigError, Problem
from bus_toolkit.huggingface.attention_rows import attention_rows
from bus_toolkit.huggingface.checkpointing import Uncheckpointed
from bus_toolkit.huggingface.layer_arguments import of_attention
from bus_toolkit.huggingface.recorded_attention import AttentionRecorder

_TINY = 1e-12  # a share of attention that is none


class AttentionScores:
    """Read the attention of the last word of each question from layers of a language model.

    That row of the map, the mean of the heads, is what FastV and PyramidDrop choose by. Its logarithm is a score: the
    softmax over the visual tokens is the share of each in the attention that goes to them. Queries and keys of a layer
    are computed once more for it, in training alone; no map is computed.

    Args:
        decoder: The language model without its head, which has ``layers``.
        layers: Which of them, counted from 1.
        num_whole: How many layers at the beginning read all visual tokens.

    Raises:
        ConfigError: A layer that there is not, or one in which visual tokens may be missing.
    """

    def __init__(self, decoder: Any, layers: Sequence[int], num_whole: int) -> None:
        if any(not 1 <= layer <= num_whole for layer in layers):
            text = (
                f"must name layers of the language model that read all visual tokens, 1 to {num_whole}, got "
                f"{list(layers)}. Leave out those after a selection."
            )
            raise ConfigError(Problem("model.attention_layers", text))
        self._decoder, self.layers = decoder, [decoder.layers[layer - 1] for layer in layers]
        asked = [layer.self_attn for layer in self.layers]
        self._recorder = AttentionRecorder([], str(decoder.config._attn_implementation), asked)
        self._uncheckpointed = Uncheckpointed(self.layers)

    @contextmanager
    def reading(self, is_visual: Tensor, ends: Tensor) -> Iterator[list[Tensor]]:
        """Fill a list with the scores (B, T, V) of each layer while the language model reads.

        Args:
            is_visual: bool (B, W), where the visual tokens are.
            ends: int64 (B, T), the last place of each question; below 0 for none, whose scores mean nothing.
        """
        found: list[Tensor] = []

        def note(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            states = args[0] if args else kwargs["hidden_states"]
            read = {"hidden_states": layer.input_layernorm(states), **of_attention(kwargs)}
            used = self._recorder.ahead(layer.self_attn, lambda: layer.self_attn(**read))()
            rows = torch.arange(len(states), device=states.device)
            given = attention_rows(used, rows, ends.clamp(min=0))  # (B, T, W)
            of_visual = given.transpose(1, 2)[is_visual].unflatten(0, (len(states), -1))  # (B, V, T)
            found.append(of_visual.transpose(1, 2).clamp(min=_TINY).log())

        handles = [layer.register_forward_pre_hook(note, with_kwargs=True) for layer in self.layers]
        self._recorder.open()
        self._uncheckpointed.begin(self._decoder)
        try:
            yield found
        finally:
            self._uncheckpointed.end()
            self._recorder.close()
            for handle in handles:
                handle.remove()
