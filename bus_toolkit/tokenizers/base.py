"""The base of all tokenizers: texts to token ids and back, and counts of what was cut or unknown."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from tokenizers import Encoding, Tokenizer
from torch.nn.functional import pad

from bus_toolkit.blank_texts import is_blank
from bus_toolkit.errors import ConfigError, DataError
from bus_toolkit.structures import TokenBatch
from bus_toolkit.tokenizers.spacing import join_words
from bus_toolkit.tokenizers.survey import TextCounts

_log = logging.getLogger(__name__)


def _without_threads() -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


# A forked worker has none of the threads of its parent, and a batch of texts would wait for them for ever. The library
# guards against that only while the variable is not set, and mmpretrain's tokenizers set it to true.
os.register_at_fork(after_in_child=_without_threads)


class Marks(NamedTuple):
    """Entries of a vocabulary that are no words: padding, an unknown word, start and end of a text, a hidden word.

    ``unknown`` is empty where every text is made of known entries.
    """

    pad: str = "[PAD]"
    unknown: str = "[UNK]"
    start: str = "[CLS]"
    end: str = "[SEP]"
    mask: str = "[MASK]"


SPECIAL_TOKENS = Marks()


class TextsSeen(NamedTuple):
    """What a tokenizer has counted: texts that were cut, words, and those of them that were ``[UNK]``."""

    cut: int
    words: int
    unknown: int


class TextTokenizer:
    """Base of all tokenizers: ``[CLS] words [SEP]``, padded to the longest text of a batch, or to one of few lengths.

    A text is data: ``[SEP]`` or ``[MASK]`` that somebody wrote in it are brackets and a word, never a special token.
    (Hugging Face's tokenizers take them for the token.)

    Args:
        backend: A tokenizer whose vocabulary has the special tokens.
        max_length: Most tokens of a text, ``[CLS]`` and ``[SEP]`` included; longer texts are cut.
        marks: The special tokens, BERT's if not given.
        lengths: Texts of a batch are padded to the smallest of these that holds them all, else to ``max_length``, so
            that a compiled model meets few shapes. Padding counts in no loss; figures differ as sums in another order
            do, and by the dropout of a text encoder, which draws for padding, too. Empty: the longest text.

    Attributes:
        num_truncated: Texts cut so far.
        num_words: Tokens of the texts so far, without ``[CLS]``, ``[SEP]`` and padding.
        num_unknown: Those of them that were ``[UNK]``.
        warns: Whether the first text that is cut and the first unknown words are logged. A training, which counts both
            before it starts, sets it to false.

    Raises:
        ConfigError: ``max_length`` below 3, or ``lengths`` that do not ascend from 3 to below it.
        DataError: A special token is missing from the vocabulary.
    """

    def __init__(
        self, backend: Tokenizer, *, max_length: int, marks: Marks = SPECIAL_TOKENS, lengths: Sequence[int] = ()
    ) -> None:
        name = type(self).__name__
        if max_length < 3:
            raise ConfigError(f"{name}.max_length: must be at least 3 ([CLS], a word, [SEP]), got {max_length}.")
        ascending = [2, *lengths, max_length]
        if any(one >= next_one for one, next_one in pairwise(ascending)):
            raise ConfigError(
                f"{name}.lengths: must ascend, from 3 to below max_length ({max_length}), got {list(lengths)}. Longer "
                "texts are padded to max_length."
            )
        # No text has an id of -1.
        ids = [backend.token_to_id(token) if token else -1 for token in marks]
        missing = [token for token, number in zip(marks, ids, strict=True) if number is None]
        if missing:
            raise DataError(f"{name}: the vocabulary has no {', '.join(missing)}. Put all of {', '.join(marks)} in it.")
        self.pad_token_id, self.unk_token_id, self.cls_token_id, self.sep_token_id, self.mask_token_id = ids
        self.max_length, self.lengths = max_length, tuple(lengths)
        self.warns = True
        self.num_truncated = self.num_words = self.num_unknown = 0
        self._backend, self._marks = backend, marks
        self._vocab_size = backend.get_vocab_size()  # it counts all entries
        backend.encode_special_tokens = True
        backend.enable_truncation(max_length)
        backend.enable_padding(pad_id=self.pad_token_id, pad_token=marks.pad)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a copy; the backend does not keep this setting."""
        self.__dict__.update(state)
        self._backend.encode_special_tokens = True

    @property
    def vocab_size(self) -> int:
        """Number of token ids."""
        return self._vocab_size

    @property
    def special_ids(self) -> list[int]:
        """Ids of padding, unknown, ``[CLS]``, ``[SEP]`` and ``[MASK]``."""
        ids = (self.pad_token_id, self.unk_token_id, self.cls_token_id, self.sep_token_id, self.mask_token_id)
        return [number for number in dict.fromkeys(ids) if number >= 0]

    @property
    def continuation_ids(self) -> list[int]:
        """Ids that continue the word of the token before; empty where a word is a token."""
        return []

    def ids_of_words(self, words: Sequence[str]) -> list[int]:
        """Return the id of each word.

        Raises:
            DataError: A word that is no entry of the vocabulary.
        """
        ids = [self._backend.token_to_id(word) for word in words]
        missing = [word for word, number in zip(words, ids, strict=True) if number is None]
        if missing:
            raise DataError(f"{type(self).__name__}: {missing[0]!r} is no entry of the vocabulary. Name whole entries.")
        return [number for number in ids if number is not None]

    def __call__(self, texts: Sequence[str]) -> TokenBatch:
        """Return token ids int64 (B, L) and which of them are text, bool (B, L).

        Raises:
            DataError: No text at all, or one without a single word.
        """
        if not texts:
            raise DataError(f"{type(self).__name__}: needs at least one text, got none.")
        for text in texts:
            if is_blank(text):
                raise DataError(f"{type(self).__name__}: a caption is empty, got {text!a}. Remove it from the data.")
        encoded = self._encode(texts)
        self._count_truncated(sum(bool(encoding.overflowing) for encoding in encoded))
        self._count_unknown(texts, encoded)
        ids = torch.tensor([encoding.ids for encoding in encoded])
        mask = torch.tensor([encoding.attention_mask for encoding in encoded], dtype=torch.bool)
        missing = self.padded_length(ids.shape[1]) - ids.shape[1]
        if not missing:
            return TokenBatch(ids, mask)
        return TokenBatch(pad(ids, (0, missing), value=self.pad_token_id), pad(mask, (0, missing), value=False))

    def padded_length(self, longest: int) -> int:
        """Return to how many tokens the texts of a batch are padded whose longest one has so many."""
        if not self.lengths:
            return longest
        return next((length for length in self.lengths if length >= longest), self.max_length)

    def counted_apart(self, texts: Sequence[str]) -> tuple[TokenBatch, TextsSeen]:
        """Return ids and mask as a call does, and what was counted, which does not count here (see ``add``)."""
        before = self.num_truncated, self.num_words, self.num_unknown
        tokens = self(texts)
        after = self.num_truncated, self.num_words, self.num_unknown
        self.num_truncated, self.num_words, self.num_unknown = before
        return tokens, TextsSeen(*(now - then for now, then in zip(after, before, strict=True)))

    def add(self, seen: TextsSeen) -> None:
        """Count what a copy of this tokenizer has seen in another process."""
        self.num_truncated += seen.cut
        self.num_words += seen.words
        self.num_unknown += seen.unknown

    def _encode(self, texts: Sequence[str]) -> list[Encoding]:
        """Return the encoded texts; one of which the vocabulary's rules leave nothing is an unknown word."""
        encoded = self._backend.encode_batch(list(texts))
        gone = [sum(encoding.attention_mask) <= 2 for encoding in encoded]
        if not any(gone) or not self._marks.unknown:
            return encoded
        length = max(3, *(len(encoding.ids) for encoding in encoded))  # 3: if nothing is left of any
        return [self._unknown(length) if nothing else one for one, nothing in zip(encoded, gone, strict=True)]

    def _unknown(self, length: int) -> Encoding:
        """Return a text of one unknown word, padded."""
        self._backend.encode_special_tokens = False
        try:
            encoding = self._backend.encode(self._marks.unknown)
        finally:
            self._backend.encode_special_tokens = True
        encoding.pad(length, pad_id=self.pad_token_id, pad_token=self._marks.pad)
        return encoding

    def survey(self, texts: Sequence[str]) -> TextCounts:
        """Return how many of some texts would be cut, and which of their words are unknown; blank ones count nothing.

        Nothing is logged and the tokenizer's own counts stay as they are.
        """
        seen = [text for text in texts if not is_blank(text)]
        counts = TextCounts(len(seen))
        for text, encoding in zip(seen, self._encode(seen) if seen else (), strict=True):
            counts.cut += bool(encoding.overflowing)
            # A word may be several tokens, of which none is unknown, or one that is.
            counts.words += len({word for word in encoding.word_ids if word is not None})
            counts.unknown.update(self._unknown_words(text, encoding))
        return counts

    def same_ids(self, texts: Sequence[str]) -> list[tuple[str, str]]:
        """Return the pairs of texts that become the same ids, each with the first such text."""
        first: dict[tuple[int, ...], str] = {}
        pairs = []
        for text, encoding in zip(texts, self._encode(texts), strict=True):
            known = first.setdefault(tuple(encoding.ids[: sum(encoding.attention_mask)]), text)
            if known != text:
                pairs.append((known, text))
        return pairs

    def _count_truncated(self, count: int) -> None:
        if self.warns and count and not self.num_truncated:
            _log.warning(
                "%s: a caption is longer than max_length=%d tokens and was cut; further ones are only counted",
                type(self).__name__,
                self.max_length,
            )
        self.num_truncated += count

    @property
    def unknown_share(self) -> float:
        """Share of the words so far that are not in the vocabulary, from 0 to 1."""
        return self.num_unknown / max(self.num_words, 1)

    def _count_unknown(self, texts: Sequence[str], encoded: Sequence[Encoding]) -> None:
        unknown = sum(encoding.ids.count(self.unk_token_id) for encoding in encoded)
        if self.warns and unknown and not self.num_unknown:
            _log.warning(
                "%s: words are not in the vocabulary and are read as [UNK]: %s; further ones are only counted",
                type(self).__name__,
                self.survey(texts).examples(),
            )
        self.num_unknown += unknown
        self.num_words += sum(sum(encoding.attention_mask) - 2 for encoding in encoded)

    def _unknown_words(self, text: str, encoding: Encoding) -> list[str]:
        pairs = zip(encoding.ids, encoding.offsets, strict=True)
        # What nothing is left of was encoded as the entry [UNK] itself, whose offsets are not those of the text.
        return [text[start:end] or text for number, (start, end) in pairs if number == self.unk_token_id]

    def convert_ids_to_tokens(self, ids: Iterable[int]) -> list[str]:
        """Return the vocabulary entry of each id."""
        return [self._backend.id_to_token(int(number)) for number in ids]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ids without special tokens, spaced as English is (``bus_toolkit.tokenizers.spacing``).

        Words come back as they were encoded, in the letters that the vocabulary has (such as lower case without
        accents): "10:30", "men's" and "$5" in one piece.
        """
        special = set(self.special_ids)
        return join_words(self._whole_words([int(number) for number in ids if int(number) not in special]))

    def _whole_words(self, ids: list[int]) -> list[str]:
        """Return the words and marks that ids mean; a tokenizer that splits words puts them together again."""
        return self.convert_ids_to_tokens(ids)
