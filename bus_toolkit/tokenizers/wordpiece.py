"""BERT's WordPieces, on the compiled ``tokenizers`` library; nothing is ever downloaded."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import BertWordPieceTokenizer
from typing_extensions import override

from bus_toolkit.errors import DataError
from bus_toolkit.home import expand_home
from bus_toolkit.tokenizers.base import TextTokenizer
from bus_toolkit.tokenizers.vocabularies import SHIPPED, read_vocabulary

BERT_VOCABULARY = SHIPPED / "bert_base_uncased.txt"


class WordPieceTokenizer(TextTokenizer):
    """Split lower-cased text into BERT's WordPieces (arXiv 1810.04805). Slot: ``model.tokenizer``.

    Args:
        vocab_file: One entry a line; ``None`` for the vocabulary of BERT-base uncased (30,522 entries) that ships with
            the toolkit.
        max_length: Most tokens of a text, ``[CLS]`` and ``[SEP]`` included.
        lengths: Pad to one of these, ascending, that holds all texts of a batch, or to ``max_length``: few shapes for a
            compiled model. ``[]`` pads to the longest text.
        lowercase: Lower-case the text and strip accents.

    Raises:
        DataError: The file is missing or has no special token.
    """

    def __init__(
        self,
        *,
        vocab_file: str | None = None,
        max_length: int = 64,
        lengths: Sequence[int] = (),
        lowercase: bool = True,
    ) -> None:
        path = BERT_VOCABULARY if vocab_file is None else expand_home(vocab_file)
        vocabulary = read_vocabulary(path)
        try:
            backend = BertWordPieceTokenizer(vocabulary, lowercase=lowercase)._tokenizer
        except TypeError as error:
            raise DataError(
                f"WordPieceTokenizer: {path}: {error}. Use a vocabulary of BERT, one entry a line."
            ) from error
        super().__init__(backend, max_length=max_length, lengths=lengths)
        self._continuation_ids = [number for entry, number in vocabulary.items() if entry.startswith("##")]

    @property
    @override
    def continuation_ids(self) -> list[int]:
        return self._continuation_ids

    @override
    def _whole_words(self, ids: list[int]) -> list[str]:
        words: list[str] = []
        for token in self.convert_ids_to_tokens(ids):
            if token.startswith("##") and words:
                words[-1] += token.removeprefix("##")
            else:
                words.append(token.removeprefix("##"))
        return words
