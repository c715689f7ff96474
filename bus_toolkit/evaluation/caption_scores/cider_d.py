"""CIDEr-D: the agreement of a caption with its references in the words that distinguish images."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from bus_toolkit.evaluation.caption_scores.tokens import Tokens, ngram_counts

Weights = dict[tuple[str, ...], float]


def cider_d(
    candidates: Sequence[Tokens], references: Sequence[Sequence[Tokens]], *, sigma: float = 6.0, max_order: int = 4
) -> np.ndarray:
    """Return CIDEr-D of each image, float64 (I,), in [0, 10]; that of a corpus is the mean.

    Vedantam et al., arXiv 1411.5726, in the robust variant that COCO reports: cosine similarities of tf-idf weights of
    runs of 1 to ``max_order`` words, the caption's weights clipped at the reference's, less a Gaussian penalty on the
    difference in length; the mean over orders and references, times 10. Document frequencies are those of these
    references (tylin/coco-caption:pycocoevalcap/cider/cider_scorer.py): a run in every image weighs nothing, so the
    score of a single image is 0.

    Args:
        candidates: One caption an image.
        references: The reference captions of each image.
        sigma: Width of the penalty, in words.
        max_order: The longest runs.
    """
    scores = np.zeros(len(candidates))
    for order in range(1, max_order + 1):
        idf = _InverseFrequency(references, order)
        for image, (caption, wanted) in enumerate(zip(candidates, references, strict=True)):
            own = idf.weights(caption)
            for reference in wanted:
                penalty = math.exp(-((len(caption) - len(reference)) ** 2) / (2 * sigma**2))
                scores[image] += penalty * _clipped_cosine(own, idf.weights(reference)) / len(wanted)
    return 10.0 * scores / max_order


class _InverseFrequency:
    """How few of the images have a run of words among their references, on a log scale."""

    def __init__(self, references: Sequence[Sequence[Tokens]], order: int) -> None:
        self.order = order
        self.log_images = math.log(max(1, len(references)))
        self.images_with: Counter[tuple[str, ...]] = Counter()
        for wanted in references:
            self.images_with.update({run for reference in wanted for run in ngram_counts(reference, order)})

    def weights(self, tokens: Tokens) -> Weights:
        """Return the tf-idf weight of each run of the tokens."""
        counts = ngram_counts(tokens, self.order)
        return {
            run: count * (self.log_images - math.log(max(1, self.images_with[run]))) for run, count in counts.items()
        }


def _clipped_cosine(caption: Weights, reference: Weights) -> float:
    norms = math.hypot(*caption.values()) * math.hypot(*reference.values())
    shared = math.fsum(min(caption[run], reference[run]) * reference[run] for run in caption.keys() & reference.keys())
    return shared / norms if norms else 0.0
