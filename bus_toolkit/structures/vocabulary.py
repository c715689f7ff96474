"""The token ids of a tokenizer, as heads get them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bus_toolkit.errors import ComponentError

_TOKENIZER_CONTRACT = (
    *("vocab_size", "pad_token_id", "cls_token_id", "sep_token_id", "mask_token_id"),
    *("special_ids", "max_length", "ids_of_words"),
)


@dataclass(frozen=True)
class Vocabulary:
    """The token ids of a tokenizer, as heads get them.

    Attributes:
        size: Number of ids, V.
        pad_id: Padding.
        cls_id: What a text starts with.
        sep_id: What ends it.
        mask_id: What replaces a hidden word.
        special_ids: All ids that are no words, the four above included.
        max_length: Most tokens of a text, start and end included.
        ids_of_words: Returns the id of each word; raises ``DataError`` for one that is no entry.
        continuation_ids: Ids that continue the word of the token before; empty where a word is a token.
    """

    size: int
    pad_id: int
    cls_id: int
    sep_id: int
    mask_id: int
    special_ids: tuple[int, ...]
    max_length: int
    ids_of_words: Callable[[Sequence[str]], list[int]]
    continuation_ids: tuple[int, ...] = ()

    @classmethod
    def of(cls, tokenizer: Any) -> Vocabulary:
        """Return that of a tokenizer.

        Raises:
            ComponentError: The tokenizer does not have all attributes of its contract.
        """
        missing = [name for name in _TOKENIZER_CONTRACT if not hasattr(tokenizer, name)]
        if missing:
            raise ComponentError(
                f"model.tokenizer: {type(tokenizer).__name__} needs {', '.join(_TOKENIZER_CONTRACT)} as attributes, "
                f"got none named {', '.join(missing)}. Add them to the class."
            )
        size, pad, start, end, mask, special, longest, ids = (getattr(tokenizer, name) for name in _TOKENIZER_CONTRACT)
        pieces = tuple(getattr(tokenizer, "continuation_ids", ()))
        return cls(size, pad, start, end, mask, tuple(special), longest, ids, pieces)

    @property
    def never_written(self) -> tuple[int, ...]:
        """Ids that a written text cannot contain: all special ones but the end."""
        return tuple(number for number in self.special_ids if number != self.sep_id)
