import math

import pytest

from bus_toolkit.caption_scores.cider_d import cider_d
from tests.caption_scores.corpus import CAPTIONS, REFERENCES

CANDIDATES = [caption.split() for caption in CAPTIONS]
WANTED = [[reference.split() for reference in references] for references in REFERENCES]


def test_equals_pycocoevalcap():
    scores = cider_d(CANDIDATES, WANTED)
    assert scores == pytest.approx(
        [1.8310738811355334, 1.7926621871539592, 2.4752539524608674, 3.4750139411605394, 0.8606924380253018, 0.0],
        abs=1e-12,
    )
    assert scores.mean() == pytest.approx(1.7391160666560337, abs=1e-12)


def test_by_hand():
    # Two images; "dog" and "cat" have weight log 2, "a" is in both and has none. The runs "a dog", "a cat" likewise.
    # First image: word and pair agree, there are no longer runs: (1 + 1 + 0 + 0) / 4 x 10.
    # Second: "cat" agrees with itself, "cat cat" is unknown, and the length differs by one: exp(-1 / 72) x 10 / 4, the
    # cosine being (w w) / (2 w w) = 1/2, since the weight of two cats is clipped at that of one.
    scores = cider_d([["a", "dog"], ["cat", "cat", "a"]], [[["a", "dog"]], [["a", "cat"]]])
    assert scores == pytest.approx([5.0, 10 / 4 * math.exp(-1 / 72) / 2])


def test_a_single_image_scores_zero():
    assert cider_d([WANTED[0][0]], [WANTED[0]]).tolist() == [0.0]


def test_two_images_that_share_no_word_and_are_reported_perfectly_score_ten():
    captions = [list("abcd"), list("efghi")]
    assert cider_d(captions, [[captions[0]], [captions[1], captions[1]]]) == pytest.approx([10.0, 10.0])
    assert cider_d(captions[::-1], [[captions[0]], [captions[1]]]).tolist() == [0.0, 0.0]


def test_the_order_of_images_and_references_does_not_matter():
    turned = cider_d(CANDIDATES[::-1], [wanted[::-1] for wanted in WANTED[::-1]])
    assert turned[::-1] == pytest.approx(cider_d(CANDIDATES, WANTED))


def test_a_wider_penalty_costs_less():
    narrow, wide = (cider_d(CANDIDATES, WANTED, sigma=sigma) for sigma in (1.0, 100.0))
    assert (narrow <= wide).all() and narrow.sum() < wide.sum()
