"""BLEU, ROUGE-L, CIDEr-D and the words they count."""

from __future__ import annotations

import random
from functools import cache

from bus_toolkit.caption_scores.bleu import corpus_bleu
from bus_toolkit.caption_scores.cider_d import cider_d
from bus_toolkit.caption_scores.rouge_l import rouge_l
from bus_toolkit.caption_scores.tokens import caption_tokens
from tests.parity.comparison import Comparison, Measured

WORDS = "a the dog cat red ball man on left of and two runs sits near tree with under car house".split()
ODD = "don't it's (left) black/white 7:30 t-shirt mr. u.s. \"quoted\" 3.5 rock'n'roll , . ! $5 50% co-op cannot".split()


@cache
def _corpus(images: int = 400) -> tuple[list[list[str]], list[list[list[str]]]]:
    draw = random.Random(0)
    references = [
        [draw.choices(WORDS, k=draw.randint(4, 14)) for _ in range(draw.randint(1, 6))] for _ in range(images)
    ]
    captions = []
    for wanted in references:
        caption = list(draw.choice(wanted))
        for _ in range(draw.randint(0, 5)):
            caption[draw.randrange(len(caption))] = draw.choice(WORDS)
        captions.append(caption[: draw.randint(2, 14)])
    return captions, references


def _coco_form() -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    captions, references = _corpus()
    wanted = {n: [" ".join(words) for words in texts] for n, texts in enumerate(references)}
    return wanted, {n: [" ".join(words)] for n, words in enumerate(captions)}


def _bleu() -> Measured:
    from pycocoevalcap.bleu.bleu import Bleu

    theirs, _ = Bleu(4).compute_score(*_coco_form(), verbose=0)
    return Measured.numbers(zip(corpus_bleu(*_corpus()), theirs, strict=True))


def _bleu_of_sacrebleu() -> Measured:
    from sacrebleu.metrics import BLEU

    captions, references = _corpus()
    most = max(map(len, references))
    streams = [[" ".join(texts[k]) if k < len(texts) else None for texts in references] for k in range(most)]
    bleu = BLEU(tokenize="none", smooth_method="none", force=True)
    theirs = bleu.corpus_score([" ".join(caption) for caption in captions], streams).score / 100
    return Measured.numbers([(corpus_bleu(captions, references)[-1], theirs)])


def _rouge() -> Measured:
    from pycocoevalcap.rouge.rouge import Rouge

    _, theirs = Rouge().compute_score(*_coco_form())
    return Measured.numbers([(rouge_l(*_corpus()), theirs)])


def _cider() -> Measured:
    from pycocoevalcap.cider.cider import Cider

    _, theirs = Cider().compute_score(*_coco_form())
    return Measured.numbers([(cider_d(*_corpus()), theirs)])


def _tokens(words: list[str]) -> Measured:
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    draw = random.Random(3)
    texts = [" ".join(draw.choices(words, k=draw.randint(3, 9))) for _ in range(1000)]
    theirs = PTBTokenizer().tokenize({n: [{"caption": text}] for n, text in enumerate(texts)})
    return Measured.equality((" ".join(caption_tokens(text)), theirs[n][0]) for n, text in enumerate(texts))


_PTB = "caption_tokens: rare rules of the Penn Treebank are left out"
COMPARISONS = (
    Comparison("BLEU-1 to BLEU-4", "pycocoevalcap", _bleu, tolerance=1e-12),
    Comparison("BLEU-4", "sacrebleu", _bleu_of_sacrebleu, tolerance=1e-9),
    Comparison("ROUGE-L", "pycocoevalcap", _rouge, tolerance=1e-12),
    Comparison("CIDEr-D", "pycocoevalcap", _cider, tolerance=1e-9),
    Comparison("words of captions", "pycocoevalcap", lambda: _tokens(WORDS), needs_java=True),
    Comparison("words of odd captions", "pycocoevalcap", lambda: _tokens([*WORDS, *ODD]), 0.0, _PTB, needs_java=True),
)
