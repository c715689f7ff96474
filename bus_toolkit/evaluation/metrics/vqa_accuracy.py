"""Accuracy of answers to questions about images, beside what the question alone would give."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from bus_toolkit.data.annotations.answer_forms import normalise_answer
from bus_toolkit.evaluation.metrics.base import SampleMetric, has
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

    def summarise(self, rows: list[dict]) -> dict[str, float]:
        """Return the accuracy, that of each type, and the baseline."""
        scores = [answer_accuracy(row["answer"], row["shares"]) for row in rows]
        guesses = most_frequent_answers(rows)
        guessed = [answer_accuracy(guesses[row["question_type"]], row["shares"]) for row in rows]
        return {
            "accuracy": _mean(scores),
            **_by_type("answer", [row["answer_type"] for row in rows], scores),
            **_by_type("question", [row["question_type"] for row in rows], scores),
            "by_question_type": _mean(guessed),
            "num_questions": float(len(rows)),
        }


def most_frequent_answers(rows: Iterable[Mapping]) -> dict[str, str]:
    """Return for each question type the answer with the largest share; of several, the first in alphabetical order."""
    totals: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        totals[row["question_type"]].update(row["shares"])
    return {kind: min(counts, key=lambda answer: (-counts[answer], answer)) for kind, counts in totals.items()}


def _by_type(prefix: str, types: Sequence[str], scores: Sequence[float]) -> dict[str, float]:
    """Return the mean score of each type; letters and digits of its name stay, all else becomes one underscore."""
    grouped: dict[str, list[float]] = {}
    for kind, score in zip(types, scores, strict=True):
        grouped.setdefault(kind, []).append(score)
    names = {kind: re.sub(r"\W+", "_", kind).strip("_") for kind in sorted(grouped)}
    return {f"{prefix}_{name}": _mean(grouped[kind]) for kind, name in names.items() if name}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
