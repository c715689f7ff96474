import itertools

import pytest

from bus_toolkit.caption_scores.rouge_l import common_subsequence, rouge_l
from tests.caption_scores.corpus import CAPTIONS, REFERENCES

CANDIDATES = [caption.split() for caption in CAPTIONS]
WANTED = [[reference.split() for reference in references] for references in REFERENCES]


def test_equals_pycocoevalcap():
    expected = [0.75, 0.6256410256410255, 0.6288659793814433, 0.8645669291338582, 0.3824451410658307, 0.0]
    assert rouge_l(CANDIDATES, WANTED) == pytest.approx(expected, abs=1e-12)


def test_by_hand():
    # "a b d" is shared: precision 3/4, recall 3/5, (1 + 1.44) P R / (R + 1.44 P).
    assert rouge_l(["abxd"], [["abcde"]]) == pytest.approx([2.44 * 0.75 * 0.6 / (0.6 + 1.44 * 0.75)])
    # Precision from the first reference (2 of 2), recall from the second (1 of 1).
    assert rouge_l(["ab"], [["abcd", "b"]]) == pytest.approx([1.0])


def test_the_shared_sequence_is_the_longest_of_all():
    def subsequences(text):
        return {picked for size in range(len(text) + 1) for picked in itertools.combinations(text, size)}

    for one, two in itertools.product(["abcab", "bca", "aaab", "c", ""], repeat=2):
        assert common_subsequence(one, two) == max(map(len, subsequences(one) & subsequences(two)))


def test_a_caption_that_is_a_reference_scores_one_and_an_empty_one_nothing():
    assert rouge_l([wanted[-1] for wanted in WANTED], WANTED) == pytest.approx([1.0] * len(WANTED))
    assert rouge_l([[]], [[["a"], []]]).tolist() == [0.0]
