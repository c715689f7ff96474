"""Accuracy of answers to questions about images, beside what the question alone would give."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from typing_extensions import override

from bus_toolkit.data.annotations.answer_forms import normalise_answer
from bus_toolkit.evaluation.metrics.base import SampleMetric, has
from bus_toolkit.evaluation.metrics.kinds import by_kind
from bus_toolkit.evaluation.metrics.vqa_answers import answer_accuracy, answer_shares
from bus_toolkit.registry import METRICS


@METRICS.register_module()
class VQAAccuracy(SampleMetric):
    """Measure VQA's accuracy of the predicted answers, over all questions and by kind.

    The people's answers are the field ``answers`` (of ``QuestionAnswers``), or ``gt_answer`` with ``gt_answer_weight``;
    ``bus_toolkit.data.annotations.answer_forms`` says how answers are compared; an empty prediction is never right.

    Keys under ``vqa/``: ``accuracy``; ``answer_<type>`` for each answer type of the data (``answer_yes_no``,
    ``answer_number``, ``answer_other``); ``question_<type>`` for each question type; ``by_question_type``, what a
    guesser reaches that sees no image and gives each question the most frequent answer of its type in this data; and
    ``num_questions``. The guesser knows the answers of the data that it is measured on, which favours it. Goes into
    ``val_evaluator``.
    """

    default_prefix = "vqa"
    needs = "pred_answer (a model with a VQAHead) and answers (VQA v2's test questions have none)"
    reads = ("pred_answer",)

    def row(self, sample: dict) -> dict:
        """Return the cleaned prediction, the shares of the people's answers, and the types of one sample."""
        weights = None
        answers = sample.get("answers")
        if answers is None:
            answers, weights = sample.get("gt_answer"), sample.get("gt_answer_weight")
        if not has(sample, "pred_answer") or not answers:
            return {}
        return {
            "answer": normalise_answer(str(sample["pred_answer"])),
            "shares": answer_shares([answers] if isinstance(answers, str) else answers, weights),
            "answer_type": sample.get("answer_type") or "",
            "question_type": sample.get("question_type") or "",
        }

    @override
    def verdicts(self, row: dict) -> Iterator[dict[str, Any]]:
        # The accuracy itself, a fraction where people disagree: the mean of all lines is the metric.
        shares = row["shares"]
        best = min(shares, key=lambda answer: (-shares[answer], answer))
        yield {"prediction": row["answer"], "answer": best, "correct": answer_accuracy(row["answer"], shares)}

    def summarise(self, rows: list[dict]) -> dict[str, float]:
        """Return the accuracy, that of each type, and the baseline."""
        scores = [answer_accuracy(row["answer"], row["shares"]) for row in rows]
        guesses = most_frequent_answers(rows)
        guessed = [answer_accuracy(guesses[row["question_type"]], row["shares"]) for row in rows]
        return {
            "accuracy": _mean(scores),
            **_by_type("answer", rows, scores),
            **_by_type("question", rows, scores),
            "by_question_type": _mean(guessed),
            "num_questions": float(len(rows)),
        }


def most_frequent_answers(rows: Iterable[Mapping]) -> dict[str, str]:
    """Return for each question type the answer with the largest share; of several, the first in alphabetical order."""
    totals: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        totals[row["question_type"]].update(row["shares"])
    return {kind: min(counts, key=lambda answer: (-counts[answer], answer)) for kind, counts in totals.items()}


def _by_type(prefix: str, rows: Iterable[Mapping], scores: Iterable[float]) -> dict[str, float]:
    """Return the mean score of each answer type or question type."""
    grouped = by_kind([row[f"{prefix}_type"] for row in rows], scores)
    return {f"{prefix}_{name}": _mean(of_type) for name, of_type in grouped.items()}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
