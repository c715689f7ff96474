"""The words of a caption as its scores count them, and runs of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

Tokens = Sequence[str]

# What the Penn Treebank cuts off the end of a word: it's -> it 's, don't -> do n't.
_CLITIC = re.compile(r"(?<=\w)(n't|'(?:s|m|d|re|ve|ll))(?!\w)")
# Clitics, numbers with inner marks (3.5, 1,000, 7:30), words with inner hyphens or apostrophes, signs that are read.
_TOKEN = re.compile(r"n't|'(?:s|m|d|re|ve|ll)(?!\w)|\d+(?:[.,:]\d+)+|[^\W_]+(?:[-'][^\W_]+)*|[$%&#@+=*]")


def caption_tokens(text: str) -> list[str]:
    """Return the lower-case words of a caption, without punctuation.

    COCO's evaluation (tylin/coco-caption:pycocoevalcap/tokenizer/ptbtokenizer.py) runs Stanford's Penn Treebank
    tokenizer, which needs Java, and drops punctuation. This follows its rules where captions meet them: clitics are cut
    off (``it 's``, ``do n't``), hyphenated words and numbers with inner marks stay whole. It leaves out the rare ones,
    such as ``cannot`` -> ``can not``, and abbreviations fall apart at their full stops.
    """
    return _TOKEN.findall(_CLITIC.sub(r" \1", text.lower().replace("\u2019", "'")))


def ngram_counts(tokens: Tokens, order: int) -> Counter[tuple[str, ...]]:
    """Return how often each run of ``order`` tokens occurs."""
    return Counter(tuple(tokens[start : start + order]) for start in range(len(tokens) - order + 1))
