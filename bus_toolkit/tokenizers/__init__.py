"""Tokenizers: texts to ids."""

from bus_toolkit.tokenizers.base import TextTokenizer
from bus_toolkit.tokenizers.corpus import CorpusTokenizer
from bus_toolkit.tokenizers.folder import FolderTokenizer
from bus_toolkit.tokenizers.wordpiece import WordPieceTokenizer

__all__ = [
    "CorpusTokenizer",
    "FolderTokenizer",
    "TextTokenizer",
    "WordPieceTokenizer",
]
