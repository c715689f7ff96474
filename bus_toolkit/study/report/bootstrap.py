"""Paired bootstrap of shares over images and seeds.

Questions about one image are not independent, so whole images are drawn, as clusters. All arms see the same draws, so
differences are paired. Runs of one arm differ by their seed, so the seeds are drawn, too, where there are several:
the same ones for two arms that are compared. Intervals are percentiles (the plain bootstrap of Efron). With three
seeds the spread between trainings is known roughly at best: our intervals are then too narrow rather than too wide.

Where all images agree, draws have no spread: 300 images with right answers only would give [100, 100]. But images of
which none is among 300 may be up to ``unseen_share(300)`` = 1.2 % of all: the limit of Clopper and Pearson for no event
(the "rule of three", here at 95 % on two sides). In this case the interval reaches to the value that there would be if
such a share of images, with as many questions each as the others, had all answers wrong, or all right; for a
difference, as far apart as can be (our choice). As soon as one image differs, the interval is that of the draws.

Suffixes of names: R draws, I images, C columns (one run under one kind of text), S seeds, N questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
DRAWS = 10_000
LEVEL = 0.95
_CHUNK = 1_000


@dataclass(frozen=True)
class Estimate:
    """A value in per cent or percentage points, with its 95 % interval.

    Attributes:
        mean: As observed.
        low: Lower end; NaN if nothing could be drawn, or the value is known without any.
        high: Upper end.
    """

    mean: float
    low: float
    high: float


class ImageDraws:
    """Draws of images with replacement: how often each image is in each draw.

    Args:
        num_images: Images to draw from, each time as many.
        draws: How many times.
        seed: Of the draws; the same seed gives the same intervals.
    """

    def __init__(self, num_images: int, draws: int = DRAWS, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.seed = seed
        # An image is drawn once on average; more than 255 times has a probability below 1e-300.
        self.counts_RI = np.empty((draws, num_images), np.uint8)
        for start in range(0, draws, _CHUNK):
            size = min(_CHUNK, draws - start)
            drawn = rng.integers(0, num_images, (size, num_images))
            drawn += np.arange(size)[:, None] * num_images
            counts = np.bincount(drawn.ravel(), minlength=size * num_images)
            self.counts_RI[start : start + size] = counts.reshape(size, num_images)

    def sums(self, values_CI: NDArray[np.float32]) -> Array:
        """Return the sum of each column over the images of each draw, (R, C).

        Values are counts of questions: whole numbers, so sums in float32 are exact.
        """
        chunks = range(0, len(self.counts_RI), _CHUNK)
        sums = [self.counts_RI[i : i + _CHUNK].astype(np.float32) @ values_CI.T for i in chunks]
        return np.concatenate(sums).astype(np.float64)

    def seeds(self, num_seeds: int) -> Array:
        """Return how often each seed is in each draw, (R, S); always once if there is only one."""
        draws = len(self.counts_RI)
        if num_seeds == 1:
            return np.ones((draws, 1))
        rng = np.random.default_rng((self.seed, num_seeds))
        drawn = rng.integers(0, num_seeds, (draws, num_seeds))
        return np.stack([(drawn == seed).sum(1) for seed in range(num_seeds)], axis=1).astype(np.float64)


def sum_by_image(values_CN: NDArray[np.bool_], image_N: NDArray[np.intp], num_images: int) -> NDArray[np.float32]:
    """Return how many questions of each image are true in each column, (C, I); ``image_N`` is each one's image."""
    rows = [np.bincount(image_N, weights=row, minlength=num_images) for row in values_CN]
    return np.stack(rows).astype(np.float32)


@dataclass(frozen=True)
class Share:
    """Right answers out of the questions asked, as observed and in each draw, of the seeds of one arm.

    Attributes:
        right_S: Right answers of each seed.
        asked_S: Questions of each seed.
        images_S: Images that they are about.
        right_RS: Right answers in each draw of images.
        asked_RS: Questions in each draw of images.
    """

    right_S: Array
    asked_S: Array
    images_S: Array
    right_RS: Array
    asked_RS: Array

    @property
    def num_images(self) -> int:
        """Images that it is known from: those of the seed with most of them."""
        return int(self.images_S.max())

    def observed(self) -> float:
        """Return the share over all seeds, in per cent."""
        return 100 * self.right_S.sum() / self.asked_S.sum() if self.asked_S.sum() else float("nan")

    def drawn(self, seeds_RS: Array) -> Array:
        """Return the share in each draw of images and seeds, in per cent, (R,); NaN where none was asked."""
        asked_R = (self.asked_RS * seeds_RS).sum(1)
        right_R = (self.right_RS * seeds_RS).sum(1)
        return 100 * np.divide(right_R, asked_R, out=np.full_like(asked_R, np.nan), where=asked_R > 0)

    def of(self, seeds: Sequence[int]) -> Share:
        """Return the share of the seeds at these positions."""
        at = list(seeds)
        return Share(self.right_S[at], self.asked_S[at], self.images_S[at], self.right_RS[:, at], self.asked_RS[:, at])


def unseen_share(num_images: int) -> float:
    """Return the largest share of images of a kind that may be in none of ``num_images``, at 95 % of both sides."""
    return float(1 - ((1 - LEVEL) / 2) ** (1 / num_images)) if num_images else 1.0


def estimate(share: Share, draws: ImageDraws) -> Estimate:
    """Return a share with its interval, in per cent."""
    drawn_R = share.drawn(draws.seeds(len(share.right_S)))
    return _interval(share.observed(), drawn_R, share.num_images, least=0.0)


def estimate_difference(share: Share, other: Share, draws: ImageDraws) -> Estimate:
    """Return ``share`` minus ``other`` with its interval, in points; both of the same seeds in the same order."""
    seeds_RS = draws.seeds(len(share.right_S))
    drawn_R = share.drawn(seeds_RS) - other.drawn(seeds_RS)
    num_images = min(share.num_images, other.num_images)
    return _interval(share.observed() - other.observed(), drawn_R, num_images, least=-100.0)


def _interval(observed: float, drawn_R: Array, num_images: int, *, least: float) -> Estimate:
    """Return the percentiles of the draws; without a spread, what so many images cannot exclude of [least, 100]."""
    drawn_R = drawn_R[~np.isnan(drawn_R)]
    if np.isnan(observed) or not len(drawn_R):
        return Estimate(float(observed), float("nan"), float("nan"))
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(drawn_R, (tail, 1 - tail))
    if low == high:
        unseen = unseen_share(num_images)
        low, high = observed - unseen * (observed - least), observed + unseen * (100.0 - observed)
    return Estimate(float(observed), float(low), float(high))
