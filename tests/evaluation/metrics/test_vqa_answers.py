"""The official accuracy and clean-up, by hand and beside a slow version of both."""

import itertools

import pytest

from bus_toolkit.data.annotations.answer_forms import normalise_answer
from bus_toolkit.errors import DataError
from bus_toolkit.evaluation.metrics.vqa_answers import answer_accuracy, answer_shares


def official(answer, people):
    """Return the accuracy as the official code computes it: each person is left out once."""
    scores = []
    for place in range(len(people)):
        others = [other for index, other in enumerate(people) if index != place]
        scores.append(min(1.0, others.count(answer) / 3))
    return sum(scores) / len(scores)


@pytest.mark.parametrize("same", range(11))
def test_accuracy_of_ten_people_is_the_official_one(same):
    people = ["red"] * same + ["blue"] * (10 - same)
    assert answer_accuracy("red", answer_shares(people)) == pytest.approx(official("red", people))


@pytest.mark.parametrize(("same", "accuracy"), [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)])
def test_accuracy_by_hand(same, accuracy):
    # One of ten: nine of the ten ways to leave one out still hold it, and give 1/3 each.
    assert answer_accuracy("a", {"a": same / 10}) == pytest.approx(accuracy)


def test_an_only_answer_is_right_or_wrong():
    assert answer_accuracy("red", answer_shares(["red"])) == 1.0
    assert answer_accuracy("blue", answer_shares(["red"])) == 0.0


@pytest.mark.parametrize("people", [2, 3, 4, 5, 7, 12])
def test_other_numbers_of_people_count_by_share_and_more_agreement_never_hurts(people):
    scores = [answer_accuracy("a", {"a": n / people}) for n in range(people + 1)]
    assert scores[0] == 0.0 and scores[-1] == 1.0
    assert all(one <= two for one, two in itertools.pairwise(scores))
    # Shares that ten people can have give their value.
    for n in range(people + 1):
        if n * 10 % people == 0:
            assert scores[n] == pytest.approx(
                official("a", ["a"] * (n * 10 // people) + ["b"] * (10 - n * 10 // people))
            )


def test_people_who_mean_the_same_are_counted_together():
    shares = answer_shares(["two", "2", "The 2", "three"])
    assert shares == pytest.approx({"2": 0.75, "3": 0.25})
    assert answer_shares(["a dog", "dog"], [0.2, 0.3]) == pytest.approx({"dog": 0.5})


@pytest.mark.parametrize("answer", ["", " ", "\u200b"])
@pytest.mark.parametrize("people", [["a"], ["the"], ["?"], [""]])
def test_an_empty_prediction_is_never_right(answer, people):
    assert answer_accuracy(normalise_answer(answer), answer_shares(people * 10)) == 0.0


def test_answers_that_the_clean_up_would_empty_stay_different():
    shares = answer_shares(["a"] * 10)
    assert answer_accuracy(normalise_answer("A"), shares) == 1.0
    assert answer_accuracy(normalise_answer("the"), shares) == 0.0


@pytest.mark.parametrize("weights", [[9, 1], [0.5], [1.5, -0.5], [float("nan"), 0.5]])
def test_weights_that_are_no_shares_are_refused(weights):
    with pytest.raises(DataError, match="gt_answer_weight: must be one share an answer, 1 or less together, got"):
        answer_shares(["red", "blue"], weights)
