"""Captions, as far as the token ids of a training."""

import sys
from functools import cache

from bus_toolkit.data.datasets.bad_samples import BadSample
from bus_toolkit.data.datasets.base import check_caption
from bus_toolkit.tokenizers import CorpusTokenizer, WordPieceTokenizer
from tests.fuzz.mutation import SCALARS
from tests.fuzz.target import Target

_ALPHABETS = (
    "abc ",
    " \t\n\r\x0b\x1c\x85\xa0\u2028\u3000",
    "\x00\x01\x1b\x7f\x80\x9b",
    "\u200b\u200c\u200d\u2060\ufeff\xad\u202a\u202b\u202e\u2066\u2069\u061c\u200e",
    "\u0301\u0489\u064b\u0e31\u20e3\ufe0f",
    "\u3164\u2800\ufffc\ufffd\u115f",
    "\ud800\udfff\udc80",
    "漢字かな한글العربية",
    "👩🏽🚀🇩🇪\U000e0067\U000e007f",
    "\ue000\U000f0000\uffff\U0010ffff\u0378",
    "[SEP][MASK]##",
)


@cache
def _tokenizers():
    return [WordPieceTokenizer(max_length=16), CorpusTokenizer(max_length=16)]


def _caption(rng):
    kind = rng.random()
    if kind < 0.02:
        text = rng.choice(("w", "a b ", "\u200b", "漢", "\ufdfa")) * rng.choice((10_000, 50_000, 200_000))
    elif kind < 0.1:
        text = rng.choice(SCALARS)
    elif kind < 0.3:
        text = "".join(chr(rng.randrange(sys.maxunicode + 1)) for _ in range(rng.randrange(1, 12)))
    else:
        chosen = [rng.choice(_ALPHABETS) for _ in range(rng.choice((1, 1, 2, 3)))]
        text = "".join(rng.choice(rng.choice(chosen)) for _ in range(rng.randrange(12)))
    return text.encode("utf-8", "surrogatepass")


def _tokenize(data, folder):
    text = data.decode("utf-8", "surrogatepass")
    check_caption({"img_path": "0.png", "text": text})
    for tokenizer in _tokenizers():
        tokenizer([text])


TARGETS = (Target("captions", _caption, _tokenize, (BadSample,), _tokenizers),)
