import logging

import pytest
from mmpretrain.evaluation.metrics.vqa import VQAAcc

from bus_toolkit.evaluation import VQAAccuracy
from bus_toolkit.evaluation.metrics.vqa_accuracy import most_frequent_answers


def _evaluate(samples):
    metric = VQAAccuracy()
    metric.process(None, samples)
    return metric.evaluate(len(samples))


def _sample(predicted, answers, kind="colour", answer_type="other", **fields):
    return {
        "pred_answer": predicted,
        "answers": answers,
        "question_type": kind,
        "answer_type": answer_type,
        **fields,
    }


SAMPLES = [
    _sample("Red.", ["red"] * 10),  # 1
    _sample("blue", ["blue"] * 2 + ["red"] * 8),  # 0.6
    _sample("two", ["2"] * 3 + ["3"] * 7, "how many", "number"),  # 0.9
    _sample("no", ["yes"] * 10, "is there", "yes/no"),  # 0
]


def test_accuracy_over_all_questions_and_by_kind():
    metrics = _evaluate(SAMPLES)
    expected = {
        "accuracy": (1 + 0.6 + 0.9 + 0) / 4,
        "answer_other": 0.8,
        "answer_number": 0.9,
        "answer_yes_no": 0.0,
        "question_colour": 0.8,
        "question_how_many": 0.9,
        "question_is_there": 0.0,
        # red for colours (1 and 1), 3 for numbers (1), yes (1)
        "by_question_type": 1.0,
        "num_questions": 4.0,
    }
    assert metrics == pytest.approx({f"vqa/{name}": value for name, value in expected.items()})


def test_the_baseline_gives_each_type_its_most_frequent_answer():
    samples = [_sample("x", [answer]) for answer in ("red", "red", "blue", "green")]
    samples += [_sample("x", [answer], "size") for answer in ("small", "large")]
    metrics = _evaluate(samples)
    assert metrics["vqa/by_question_type"] == pytest.approx((2 + 1) / 6)
    assert metrics["vqa/accuracy"] == 0.0


def test_of_several_most_frequent_answers_the_first_by_alphabet_is_taken():
    rows = [{"question_type": "a", "shares": {"y": 0.5, "x": 0.5}}, {"question_type": "b", "shares": {"z": 1.0}}]
    assert most_frequent_answers(rows) == {"a": "x", "b": "z"}


@pytest.mark.parametrize("same", [0, 4, 5, 10])
def test_agrees_with_mmpretrain_where_the_official_rule_does(same):
    """Its ``min(n / 3, 1)`` leaves nobody out, which is higher for one to three people of ten."""
    weights = [same / 10, 1 - same / 10]
    sample = {"pred_answer": "A Dog", "gt_answer": ["dog", "two cats"], "gt_answer_weight": weights}
    theirs = VQAAcc()
    theirs.process(None, [sample])
    assert theirs.evaluate(1)["VQA/acc"] / 100 == pytest.approx(_evaluate([sample])["vqa/accuracy"])


def test_weights_serve_where_the_peoples_answers_are_not_there():
    sample = {"pred_answer": "cat", "gt_answer": ["dog", "cat"], "gt_answer_weight": [0.8, 0.2]}
    assert _evaluate([sample])["vqa/accuracy"] == pytest.approx(0.6)
    assert _evaluate([{"pred_answer": "a cat", "gt_answer": "cat"}])["vqa/accuracy"] == 1.0


def test_answers_win_over_the_listed_ones_that_training_uses():
    sample = _sample("cat", ["cat"] * 10, gt_answer=["dog"], gt_answer_weight=[1.0])
    assert _evaluate([sample])["vqa/accuracy"] == 1.0


def test_questions_without_types_are_in_the_whole_alone():
    metrics = _evaluate([{"pred_answer": "a cat", "answers": ["cat"]}])
    assert set(metrics) == {"vqa/accuracy", "vqa/by_question_type", "vqa/num_questions"}


@pytest.mark.parametrize("sample", [{"pred_answer": "cat"}, {"answers": ["cat"]}, {"pred_answer": "c", "answers": []}])
def test_questions_without_answers_cannot_be_scored(sample, caplog):
    with caplog.at_level(logging.WARNING, "bus_toolkit"):
        assert _evaluate([sample]) == {}
    assert "None of 1 samples has pred_answer (a model with a VQAHead) and answers" in caplog.text


def test_the_few_questions_without_answers_are_left_out():
    assert _evaluate([*SAMPLES, {"pred_answer": "cat"}]) == _evaluate(SAMPLES)
