"""The words of a caption as its scores count them, and runs of them."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from bus_toolkit.accents import without_accents

Tokens = Sequence[str]

# What the Penn Treebank cuts apart: it's -> it 's, don't -> do n't, rock'n'roll -> rock 'n' roll, cannot -> can not.
_CLITIC = re.compile(r"(?<=\w)(n't|'(?:s|m|d|re|ve|ll))(?!\w)")
_AND = re.compile(r"(?<=\w)'n'(?=\w)")
_TWO_WORDS = re.compile(r"\b(?:(can)(not)|(gon|wan)(na)|(got)(ta)|(gim|lem)(me))\b")
# How it writes brackets, money and fractions; COCO's list of punctuation leaves out the brackets in capitals alone.
_WRITTEN = {
    "\u2019": "'",
    "\u20ac": "$",
    "\u00a3": "#",
    "\u2044": "/",
    "(": " -lrb- ",
    ")": " -rrb- ",
    "[": " -lsb- ",
    "]": " -rsb- ",
    "{": " -lcb- ",
    "}": " -rcb- ",
    **{part: unicodedata.normalize("NFKC", part).replace("\u2044", "/") for part in "\u00bc\u00bd\u00be\u2153\u2154"},
}
_SPELLING = str.maketrans(_WRITTEN)
# Vowel signs and the like belong to the word, but are no letters to `re`: Devanagari, Tamil, Khmer ...
_MARKS = "".join(chr(code) for code in range(0x900, 0x1D00) if unicodedata.category(chr(code)) in ("Mc", "Mn"))
_WORD = rf"[^\W_][\w{_MARKS}]*"
# Of scripts without spaces between words each character counts as one: Thai to Myanmar, Khmer, kana, Chinese.
_CHARACTER = re.compile(
    rf"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u9fff\uf900-\ufaff"
    rf"\U00020000-\U0002fa1f][{_MARKS}]*"
)
_PART = rf"{_WORD}(?:-[^\W\d_]+){{0,2}}"
_TOKEN = re.compile(
    "|".join(
        (
            r"-[lr][rsc]b-",
            r"(?:(?:https?|ftp)://|www\.)[^\s\"']*[^\s\"'.,;:!?]",  # addresses
            r"[\w.+-]*\w@\w[\w-]*(?:\.\w[\w-]*)+",
            rf"{_WORD}(?:[.-]{_WORD})*\.(?:com|org|net|edu|gov|uk|de|fr)(?!\w)",
            r"n't|'(?:s|m|d|re|ve|ll)(?!\w)",  # clitics
            r"(?<!\w)'(?:\d\ds?|n')(?!\w)",  # '90s, 'n'
            r"(?<!\w)(?:[^\W\d_]\.){2,}",  # u.s., a.m.
            r"(?<!\w)(?:(?:mr|mrs|ms|dr|st|jr|sr|vs|prof|etc|inc)\.|no\.(?=\s?\d))",
            rf"{_PART}(?:/{_PART}){{1,2}}",  # black/white, 1/2, 5/6/2010
            r"\d+(?:[.,:]\d+)+",  # 3.5, 1,000, 7:30
            r"[^\W\d_]+&[^\W\d_]+",  # at&t
            r"@\w+",
            rf"{_WORD}(?:(?:-|'(?!\d)){_WORD})*",  # words with inner hyphens and apostrophes
            r"[$%&#@+=*/\\~\u00b0\u00a5]",
        )
    )
)


def caption_tokens(text: str) -> list[str]:
    """Return the lower-case words of a caption, without punctuation.

    COCO's evaluation (tylin/coco-caption:pycocoevalcap/tokenizer/ptbtokenizer.py) runs Stanford's Penn Treebank
    tokenizer, which needs Java, and drops punctuation. This follows its rules where captions meet them: clitics are cut
    off (``it 's``, ``do n't``); hyphenated words, numbers with inner marks, words with slashes, addresses,
    abbreviations with points and ``'90s`` stay whole; brackets are ``-lrb-`` and ``-rrb-``. Rare ones are left out,
    such as ``'tis`` -> ``'t is``.

    Ours: where no spaces part the words (Chinese, Japanese, Thai ...), each character is a token, as in sacreBLEU's
    ``zh``; a whole caption as one word would score 0 unless it is right to the letter. Accents are left out on both
    sides of a comparison, since many vocabularies cannot write them.
    """
    plain = without_accents(text.lower().translate(_SPELLING))
    if not plain.isascii():
        plain = _CHARACTER.sub(r" \g<0> ", plain)
    return _TOKEN.findall(_TWO_WORDS.sub(_apart, _AND.sub(" 'n' ", _CLITIC.sub(r" \1", plain))))


def _apart(match: re.Match[str]) -> str:
    return " ".join(part for part in match.groups() if part)


def ngram_counts(tokens: Tokens, order: int) -> Counter[tuple[str, ...]]:
    """Return how often each run of ``order`` tokens occurs."""
    return Counter(tuple(tokens[start : start + order]) for start in range(len(tokens) - order + 1))
