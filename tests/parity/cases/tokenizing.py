"""WordPieces: ids, and text from ids."""

from __future__ import annotations

import random
import unicodedata
from typing import Any

from bus_toolkit.tokenizers.wordpiece import BERT_VOCABULARY, WordPieceTokenizer
from tests.parity.comparison import Comparison, Measured

WORDS = (
    "a dog's 10:30 t-shirt $5 50% café naïve 犬と猫 Привет don't (left) unbelievably photosynthesis e.g. 3.5 I'm #tag "
    "snow-covered @home https://x.org/a?b=1 [MASK] \u200bzero tab\tnew \u00e9 İstanbul ß 🐕 re-enter UPPER"
).split(" ")


def _texts(count: int = 5000) -> list[str]:
    draw = random.Random(0)
    texts = []
    for _ in range(count):
        words = draw.choices(WORDS, k=draw.randint(1, 8))
        if draw.random() < 0.3:  # any characters of the first plane that are no surrogates
            words.append("".join(chr(draw.choice((draw.randint(32, 0xD7FF), draw.randint(33, 126)))) for _ in range(5)))
        texts.append(" ".join(words))
    return [text for text in texts if any(unicodedata.category(char)[0] in "LNPS" for char in text)]


def _theirs(name: str) -> Any:
    import transformers as hf

    return getattr(hf, name)(str(BERT_VOCABULARY), do_lower_case=True)


def _ids(name: str) -> Measured:
    ours, theirs, texts = WordPieceTokenizer(max_length=512), _theirs(name), _texts()
    ours.warns = False
    # Special tokens in a text are plain text for us, so that no caption can hide its words.
    texts = [text for text in texts if "[MASK]" not in text]
    batches = [ours([text]).input_ids[0].tolist() for text in texts]
    return Measured.equality(zip(batches, theirs(texts).input_ids, strict=True))


def _decoded() -> Measured:
    ours, theirs = WordPieceTokenizer(max_length=512), _theirs("BertTokenizerFast")
    ours.warns = False
    plain = random.Random(1)
    words = "a dog runs in the snow covered street unbelievably fast two red balls".split()
    texts = [" ".join(plain.choices(words, k=7)) for _ in range(1000)]
    ids = [ours([text]).input_ids[0].tolist() for text in texts]
    return Measured.equality((ours.decode(row), theirs.decode(row, skip_special_tokens=True)) for row in ids)


def _decoded_odd(*, spaces: bool) -> Measured:
    ours, theirs = WordPieceTokenizer(max_length=512), _theirs("BertTokenizerFast")
    ours.warns = False
    ids = [ours([text]).input_ids[0].tolist() for text in _texts(1000)]
    pairs = [(ours.decode(row), theirs.decode(row, skip_special_tokens=True)) for row in ids]
    return Measured.equality(pairs if spaces else [tuple(text.replace(" ", "") for text in pair) for pair in pairs])


_SLOW = "its fast one, which gives our ids, differs from it as well"
_SPACES = "TextTokenizer.decode: inner marks are joined"
COMPARISONS = (
    Comparison("WordPiece ids", "transformers", lambda: _ids("BertTokenizerFast")),
    Comparison("WordPiece ids, the slow tokenizer", "transformers", lambda: _ids("BertTokenizer"), 0.0, _SLOW),
    Comparison("text of ids, plain words", "transformers", _decoded),
    Comparison("text of ids, with marks", "transformers", lambda: _decoded_odd(spaces=True), 0.0, _SPACES),
    Comparison("text of ids, with marks, no spaces", "transformers", lambda: _decoded_odd(spaces=False)),
)
