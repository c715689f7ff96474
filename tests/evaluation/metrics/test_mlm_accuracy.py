import pytest

from bus_toolkit.errors import ConfigError
from bus_toolkit.evaluation import MLMAccuracy

KINDS = {"colour": ["red", "green", "blue", "grey"], "shape": ["circle", "square"]}


def _evaluate(kinds, samples):
    metric = MLMAccuracy(kinds)
    metric.process(None, samples)
    return metric.evaluate(len(samples))


def _sample(words, right):
    targets = list(range(len(words)))
    return {
        "mlm_words": words,
        "mlm_targets": targets,
        "mlm_predictions": [target if ok else -1 for target, ok in zip(targets, right, strict=True)],
    }


def test_each_kind_has_its_accuracy_and_its_chance():
    samples = [
        _sample(["red", "circle", "of"], [True, False, True]),
        _sample(["blue", "square"], [False, True]),
        _sample(["green"], [True]),
    ]
    metrics = _evaluate(KINDS, samples)
    assert metrics == {
        "mlm/accuracy": pytest.approx(4 / 6),
        # Three hidden colours at 1/4 and two shapes at 1/2.
        "mlm/chance": pytest.approx((3 * 0.25 + 2 * 0.5) / 5),
        "mlm/accuracy_colour": pytest.approx(2 / 3),
        "mlm/chance_colour": 0.25,
        "mlm/accuracy_shape": 0.5,
        "mlm/chance_shape": 0.5,
        "mlm/accuracy_other": 1.0,
    }


def test_without_kinds_there_is_one_number():
    assert _evaluate(None, [_sample(["red", "of"], [True, False])]) == {"mlm/accuracy": 0.5}


def test_a_kind_that_does_not_occur_is_not_reported():
    assert "mlm/accuracy_shape" not in _evaluate(KINDS, [_sample(["red"], [True])])


def test_captions_without_a_hidden_word_are_left_out():
    assert _evaluate(KINDS, [_sample([], []), {"text": "a"}]) == {}


def test_a_word_in_two_kinds_is_refused():
    with pytest.raises(ConfigError, match="'red' in 'colour' and 'mood'. Remove one of them."):
        MLMAccuracy({"colour": ["red"], "mood": ["red"]})


@pytest.mark.parametrize("words", [[], "red"])
def test_a_kind_needs_a_list_of_words(words):
    with pytest.raises(ConfigError, match="word_kinds.colour: must be a list of words"):
        MLMAccuracy({"colour": words})
