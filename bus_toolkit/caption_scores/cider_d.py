"""CIDEr-D: the agreement of a caption with its references in the words that distinguish images."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from bus_toolkit.caption_scores.tokens import Tokens, ngram_counts

Weights = dict[tuple[str, ...], float]


def cider_d(
    candidates: Sequence[Tokens],
    references: Sequence[Sequence[Tokens]],
    *,
    frequencies: DocumentFrequencies | None = None,
    sigma: float = 6.0,
    max_order: int = 4,
) -> np.ndarray:
    """Return CIDEr-D of each image, float64 (I,), in [0, 10]; that of a corpus is the mean.

    Vedantam et al., arXiv 1411.5726, in the robust variant that COCO reports: cosine similarities of tf-idf weights of
    runs of 1 to ``max_order`` words, the caption's weights clipped at the reference's, less a Gaussian penalty on the
    difference in length; the mean over orders and references, times 10. Unless given, document frequencies are those of
    these references (tylin/coco-caption:pycocoevalcap/cider/cider_scorer.py): a run in every image weighs nothing, so
    the score of a single image is 0.

    Args:
        candidates: One caption an image.
        references: The reference captions of each image.
        frequencies: Of other captions, such as those of a training; they go up to ``max_order``.
        sigma: Width of the penalty, in words.
        max_order: The longest runs.
    """
    scores = np.zeros(len(candidates))
    frequencies = frequencies or DocumentFrequencies(references, max_order=max_order)
    for order in range(1, max_order + 1):
        for image, (caption, wanted) in enumerate(zip(candidates, references, strict=True)):
            own = frequencies.weights(caption, order)
            for reference in wanted:
                penalty = math.exp(-((len(caption) - len(reference)) ** 2) / (2 * sigma**2))
                scores[image] += penalty * _clipped_cosine(own, frequencies.weights(reference, order)) / len(wanted)
    return 10.0 * scores / max_order


class DocumentFrequencies:
    """In how many of the images each run of words occurs among the references.

    Runs of a single image are not kept: they weigh as much as unknown ones, and in a large corpus are most of all.

    Args:
        references: The reference captions of each image.
        max_order: The longest runs.
    """

    def __init__(self, references: Iterable[Sequence[Tokens]], *, max_order: int = 4) -> None:
        num_images = 0
        images_with: Counter[tuple[str, ...]] = Counter()
        for wanted in references:
            num_images += 1
            images_with.update(
                {run for text in wanted for order in range(1, max_order + 1) for run in ngram_counts(text, order)}
            )
        self._log_images = math.log(max(1, num_images))
        self._log_counts = {run: math.log(count) for run, count in images_with.items() if count > 1}

    def weights(self, tokens: Tokens, order: int) -> Weights:
        """Return the tf-idf weight of each run of ``order`` tokens."""
        counts = ngram_counts(tokens, order)
        return {run: count * (self._log_images - self._log_counts.get(run, 0.0)) for run, count in counts.items()}


def _clipped_cosine(caption: Weights, reference: Weights) -> float:
    norms = math.hypot(*caption.values()) * math.hypot(*reference.values())
    shared = math.fsum(min(caption[run], reference[run]) * reference[run] for run in caption.keys() & reference.keys())
    return shared / norms if norms else 0.0
