"""Tokenizers: texts to ids."""

from bus_toolkit.tokenizers.wordpiece import CorpusTokenizer, WordPieceTokenizer

__all__ = [
    "CorpusTokenizer",
    "WordPieceTokenizer",
]
