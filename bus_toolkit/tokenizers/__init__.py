"""Tokenizers: texts to ids."""

from bus_toolkit.tokenizers.wordpiece import CorpusTokenizer, TextTokenizer, WordPieceTokenizer

__all__ = [
    "CorpusTokenizer",
    "TextTokenizer",
    "WordPieceTokenizer",
]
