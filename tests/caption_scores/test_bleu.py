import math

import pytest

from bus_toolkit.caption_scores.bleu import corpus_bleu
from tests.caption_scores.corpus import CAPTIONS, REFERENCES

CANDIDATES = [caption.split() for caption in CAPTIONS]
WANTED = [[reference.split() for reference in references] for references in REFERENCES]


def test_equals_pycocoevalcap():
    assert corpus_bleu(CANDIDATES, WANTED) == pytest.approx(
        [0.6811183497712802, 0.5727353686479655, 0.40483766164155927, 0.29119081154608284], abs=1e-12
    )


def test_by_hand():
    # Of "the the the cat" two words count ("the" is clipped at 1) and one pair of three, with no missing length.
    bleu = corpus_bleu([["the", "the", "the", "cat"]], [[["the", "cat", "sat", "down"]]])
    assert bleu[:2] == pytest.approx([2 / 4, math.sqrt(2 / 4 * 1 / 3)])
    # Two right words where four were wanted: exp(1 - 4 / 2).
    assert corpus_bleu([["the", "cat"]], [[["the", "cat", "sat", "down"]]])[0] == pytest.approx(math.exp(-1.0))


def test_the_closest_reference_sets_the_length_and_the_shorter_of_two():
    # Lengths 2 and 4 are equally close to 3: no penalty.
    assert corpus_bleu([["a", "b", "c"]], [[["a", "b"], ["a", "b", "c", "d"]]])[0] == pytest.approx(1.0)


def test_a_caption_that_is_a_reference_scores_one():
    assert corpus_bleu([wanted[0] for wanted in WANTED], WANTED) == pytest.approx([1.0] * 4)


def test_the_order_of_images_and_references_does_not_matter():
    turned = corpus_bleu(CANDIDATES[::-1], [wanted[::-1] for wanted in WANTED[::-1]])
    assert turned == pytest.approx(corpus_bleu(CANDIDATES, WANTED))


def test_nothing_shared_and_nothing_said_score_nothing():
    for caption in (["zebra"] * 5, []):
        assert corpus_bleu([caption] * len(WANTED), WANTED) == pytest.approx([0.0] * 4, abs=1e-12)
