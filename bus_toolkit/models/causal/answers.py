"""A causal language model that reads visual tokens among words: logits of what is to be learned, and written answers.

Shapes: B rows, W width, V visual tokens of a row, D width of the language model, T tokens to be learned.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor

from bus_toolkit.models.causal.inner_selection import InnerSelection
from bus_toolkit.models.causal.prompts import Prompts
from bus_toolkit.models.causal.sight import Sight
from bus_toolkit.structures import Vocabulary
from bus_toolkit.text_decoders.causal_base import CausalLanguageModel


@dataclass(frozen=True)
class Writing:
    """How answers are searched for.

    Args:
        max_new_tokens: Most tokens of an answer, its end mark included.
        num_beams: Beginnings that are followed at a time; 1 is greedy search.

    Raises:
        ValueError: A number below 1.
    """

    max_new_tokens: int = 20
    num_beams: int = 1

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) < 1:
                raise ValueError(f"{field.name}: must be at least 1, got {getattr(self, field.name)}.")


class Reader:
    """Let a language model read images and words.

    Args:
        language_model: The part.
        selection: The selectors between its layers.
    """

    def __init__(self, language_model: CausalLanguageModel, selection: InnerSelection) -> None:
        self._part, self.selection = language_model, selection

    def logits(self, prompts: Prompts, sight: Sight) -> Tensor:
        """Return the logits (T, V) of the tokens to be learned."""
        rows, places, _ = prompts.targets
        arguments = self._arguments(prompts, sight, 1)
        # Places of which no token is learned in any row do not go through the head.
        logits = self._part.model(**arguments, use_cache=False, logits_to_keep=prompts.asked).logits  # (B, A, V)
        return logits[rows, places]

    def write(self, prompts: Prompts, sight: Sight, writing: Writing, vocabulary: Vocabulary) -> Tensor:
        """Return the ids of an answer to each row, int64 (B, L), with padding after its end."""
        arguments = self._arguments(prompts, sight, writing.num_beams)
        return self._part.write(
            arguments["inputs_embeds"],
            arguments["attention_mask"],  # positions are counted from it there, in the same way
            end_id=vocabulary.sep_id,
            pad_id=vocabulary.pad_id,
            banned_ids=vocabulary.never_written,
            **vars(writing),
        )

    def read(self, prompts: Prompts, sight: Sight) -> Tensor:
        """Run the language model for what its selectors decide, and return the logits (B, 1, V) at the last place."""
        return self._part.model(**self._arguments(prompts, sight, 1), use_cache=False, logits_to_keep=1).logits

    def _arguments(self, prompts: Prompts, sight: Sight, copies: int) -> dict[str, Any]:
        embeds = self._part.model.get_input_embeddings()(prompts.ids)  # (B, W, D)
        embeds = embeds.masked_scatter(prompts.is_visual.unsqueeze(-1), sight.tokens.to(embeds.dtype))
        mask, is_whole = prompts.readable, not prompts.is_padded
        if sight.readable is not None:
            mask, is_whole = mask.masked_scatter(prompts.is_visual, sight.readable), False
        # What cannot be read takes no position, so that answers are at the same ones in training and writing.
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        self.selection.begin(prompts, positions, sight.grid, copies)
        return {
            "inputs_embeds": embeds,
            "position_ids": positions,
            "attention_mask": None if is_whole else mask.long(),
        }
