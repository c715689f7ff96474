"""The bootstrap against slow versions and values worked out by hand."""

from __future__ import annotations

import numpy as np
from pytest import approx

from bus_toolkit.study.report.bootstrap import (
    Estimate,
    ImageDraws,
    Share,
    estimate,
    estimate_difference,
    sum_by_image,
    unseen_share,
)


def share_of(right_SN: list[list[int]], image_N: list[int], draws: ImageDraws) -> Share:
    right = np.array(right_SN, bool)
    images = np.array(image_N)
    num_images = draws.counts_RI.shape[1]
    right_SI = sum_by_image(right, images, num_images)
    asked_SI = sum_by_image(np.ones_like(right), images, num_images)
    asked_S = np.full(len(right), float(right.shape[1]))
    images_S = (asked_SI > 0).sum(1).astype(float)
    return Share(right.sum(1).astype(float), asked_S, images_S, draws.sums(right_SI), draws.sums(asked_SI))


def test_each_draw_has_as_many_images_as_there_are_and_each_is_as_likely():
    counts = ImageDraws(7, draws=4000, seed=3).counts_RI
    assert (counts.sum(1) == 7).all()
    assert np.abs(counts.mean(0) - 1).max() < 0.06
    assert counts.var(0).mean() == approx(6 / 7, abs=0.05)  # binomial: n p (1 - p) with n = 7, p = 1/7


def test_a_draw_is_the_accuracy_of_the_images_in_it():
    """Slow and obvious: repeat each image's questions as often as it was drawn, take the mean."""
    image_N = [0, 0, 1, 2, 2, 2, 3]
    right_SN = [[1, 0, 1, 1, 1, 0, 0], [0, 0, 1, 0, 1, 1, 1]]
    draws = ImageDraws(4, draws=50, seed=1)
    seeds_RS = draws.seeds(2)
    got = share_of(right_SN, image_N, draws).drawn(seeds_RS)
    for row, counts in enumerate(draws.counts_RI):
        verdicts = []
        for seed, times in enumerate(seeds_RS[row]):
            for _ in range(int(times)):
                for image, right in zip(image_N, right_SN[seed], strict=True):
                    verdicts += [right] * int(counts[image])
        assert got[row] == approx(100 * np.mean(verdicts))


def test_two_images_give_the_interval_that_one_works_out_by_hand():
    """One image all right, one all wrong: 0, 50, 100 % with probabilities 1/4, 1/2, 1/4."""
    draws = ImageDraws(2, draws=4000)
    value = estimate(share_of([[1, 0]], [0, 1], draws), draws)
    assert (value.mean, value.low, value.high) == (50.0, 0.0, 100.0)


def test_many_questions_give_the_interval_of_a_binomial():
    right = np.random.default_rng(0).random(900) < 0.5
    draws = ImageDraws(900, draws=4000)
    value = estimate(share_of([right.astype(int).tolist()], list(range(900)), draws), draws)
    half = 196 * (right.mean() * (1 - right.mean()) / 900) ** 0.5
    assert value.high - value.mean == approx(half, rel=0.08)
    assert value.mean - value.low == approx(half, rel=0.08)


def test_questions_about_one_image_count_as_one_where_they_agree():
    right = (np.random.default_rng(0).random(100) < 0.5).astype(int)
    draws = ImageDraws(100, draws=2000)
    single = estimate(share_of([right.tolist()], list(range(100)), draws), draws)
    tripled = estimate(share_of([np.repeat(right, 3).tolist()], np.repeat(np.arange(100), 3).tolist(), draws), draws)
    assert tripled == single


def test_differences_are_paired():
    """An arm that is right wherever the other one is and on 3 of 100 more questions is never below it."""
    right = (np.random.default_rng(0).random(100) < 0.5).astype(int)
    better = right.copy()
    better[np.flatnonzero(right == 0)[:3]] = 1
    draws = ImageDraws(100, draws=2000)
    ours, theirs = (share_of([verdicts.tolist()], list(range(100)), draws) for verdicts in (better, right))
    difference = estimate_difference(ours, theirs, draws)
    assert difference.mean == approx(3.0) and difference.low >= 0.0
    assert estimate_difference(ours, ours, draws) == estimate_difference(theirs, theirs, draws)


def test_where_all_images_agree_the_interval_has_the_width_that_so_many_cannot_exclude():
    """Were 1.22 % of all images wrong, 300 of them would be right with a probability of 0.9878^300 = 0.025."""
    draws = ImageDraws(300, draws=50)
    images = np.repeat(np.arange(300), 2).tolist()
    right, wrong = (share_of([[answer] * 600], images, draws) for answer in (1, 0))
    assert unseen_share(300) == approx(0.0122, abs=5e-5) and (1 - unseen_share(300)) ** 300 == approx(0.025)
    assert estimate(right, draws) == Estimate(100.0, approx(98.78, abs=0.01), 100.0)
    assert estimate(wrong, draws) == Estimate(0.0, 0.0, approx(1.22, abs=0.01))
    assert estimate_difference(right, right, draws) == Estimate(0.0, approx(-1.22, abs=0.01), approx(1.22, abs=0.01))
    assert estimate_difference(right, wrong, draws) == Estimate(100.0, approx(97.56, abs=0.01), 100.0)


def test_as_soon_as_one_image_differs_the_interval_is_that_of_the_draws():
    """One of 300 is in a draw as often as a Poisson variable of mean 1: 0 to 3 times."""
    draws = ImageDraws(300, draws=4000)
    value = estimate(share_of([[1] * 299 + [0]], list(range(300)), draws), draws)
    assert value == Estimate(approx(99.667, abs=1e-3), 99.0, 100.0)


def test_few_images_say_little():
    draws = ImageDraws(3, draws=20)
    assert estimate(share_of([[1, 1, 1]], [0, 1, 2], draws), draws).low == approx(100 * 0.025 ** (1 / 3))
    assert unseen_share(0) == 1.0


def test_seeds_that_differ_widen_the_interval():
    draws = ImageDraws(200, draws=2000)
    same = [[1] * 100 + [0] * 100] * 2
    apart = [[1] * 140 + [0] * 60, [1] * 60 + [0] * 140]
    narrow, wide = (estimate(share_of(right, list(range(200)), draws), draws) for right in (same, apart))
    assert narrow.mean == wide.mean == 50.0
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


def test_the_same_seed_draws_the_same_and_no_questions_are_no_number():
    first, second = ImageDraws(5, draws=20, seed=4), ImageDraws(5, draws=20, seed=4)
    assert (first.counts_RI == second.counts_RI).all() and (first.seeds(3) == second.seeds(3)).all()
    empty = Share(np.zeros(1), np.zeros(1), np.zeros(1), np.zeros((20, 1)), np.zeros((20, 1)))
    assert np.isnan(estimate(empty, first).mean) and np.isnan(estimate(empty, first).low)
