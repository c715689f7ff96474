"""BLEU: the share of a caption's runs of words that a reference has too."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from bus_toolkit.caption_scores.tokens import Tokens, ngram_counts

# Those of tylin/coco-caption:pycocoevalcap/bleu/bleu_scorer.py, so that corpora without a single match agree as well.
_TINY, _SMALL = 1e-15, 1e-9


def corpus_bleu(
    candidates: Sequence[Tokens], references: Sequence[Sequence[Tokens]], max_order: int = 4
) -> list[float]:
    """Return BLEU-1 to BLEU-``max_order`` of a corpus.

    Papineni et al., ACL 2002: the geometric mean of the clipped precisions, summed over the corpus before dividing,
    times the brevity penalty, for which each caption counts the reference closest to it in length (the shorter of two).

    Args:
        candidates: One caption an image.
        references: The reference captions of each image.
        max_order: The longest runs.
    """
    matches, totals = [0] * max_order, [0] * max_order
    length = closest = 0
    for caption, wanted in zip(candidates, references, strict=True):
        length += len(caption)
        closest += min((len(reference) for reference in wanted), key=lambda size: (abs(size - len(caption)), size))
        for place in range(max_order):
            counts = ngram_counts(caption, place + 1)
            most: Counter[tuple[str, ...]] = Counter()
            for reference in wanted:
                most |= ngram_counts(reference, place + 1)
            matches[place] += (counts & most).total()
            totals[place] += counts.total()
    ratio = (length + _TINY) / (closest + _SMALL)
    brevity = math.exp(min(0.0, 1.0 - 1.0 / ratio))
    scores, product = [], 1.0
    for place in range(max_order):
        product *= (matches[place] + _TINY) / (totals[place] + _SMALL)
        scores.append(brevity * product ** (1.0 / (place + 1)))
    return scores
