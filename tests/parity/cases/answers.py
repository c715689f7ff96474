"""VQA: how answers are cleaned and scored, beside the official evaluation (as salesforce-lavis has it)."""

from __future__ import annotations

import random
from types import SimpleNamespace

from bus_toolkit.data.annotations.answer_forms import normalise_answer
from bus_toolkit.evaluation.metrics.vqa_answers import answer_accuracy, answer_shares
from tests.parity.comparison import Comparison, Measured
from tests.parity.peers import load_file

WORDS = (
    "yes no a the an two ten none 3 10,000 3.5 $5 50% dont isn't couldnt've red left-hand black/white t-shirt o'clock "
    "10:30 (maybe) [sic] who? it's men's dogs ; and, @home a.m. #1 + = _ `x` Red TWO The"
).split()


def _answers(count: int, seed: int = 0) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, k=draw.randint(1, 4))) for _ in range(count)]


def _official(rows: dict[int, tuple[str, list[str]]]) -> dict[int, float]:
    module = load_file("lavis", "common/vqa_tools/vqa_eval.py")
    kinds = {"question_type": "what", "answer_type": "other"}
    people = {
        n: {**kinds, "answers": [{"answer": a, "answer_id": k} for k, a in enumerate(said)]}
        for n, (_, said) in rows.items()
    }
    given = {n: {"answer": answer} for n, (answer, _) in rows.items()}
    official = module.VQAEval(
        SimpleNamespace(qa=people, getQuesIds=lambda: list(people)), SimpleNamespace(qa=given), n=12
    )
    official.evaluate(list(people))
    return {n: score / 100 for n, score in official.evalQA.items()}


def _clean(*, emptied: bool) -> Measured:
    """Compare cleaned answers, those of which the official cleaning leaves nothing apart."""
    official = load_file("lavis", "common/vqa_tools/vqa_eval.py").VQAEval()
    theirs = {answer: official.processDigitArticle(official.processPunctuation(answer)) for answer in _answers(5000)}
    return Measured.equality(
        (normalise_answer(answer), cleaned) for answer, cleaned in theirs.items() if bool(cleaned) is not emptied
    )


def _accuracy(words: tuple[str, ...], count: int) -> Measured:
    draw = random.Random(1)
    rows = {n: (draw.choice(words), draw.choices(words, k=10)) for n in range(count)}
    theirs = _official(rows)
    ours = {n: answer_accuracy(normalise_answer(answer), answer_shares(said)) for n, (answer, said) in rows.items()}
    return Measured.numbers((ours[n], theirs[n]) for n in rows)


def _clean_accuracy() -> Measured:
    """Answers that cleaning leaves as they are, so that nothing but the counting is compared."""
    cleaned = [normalise_answer(answer) for answer in _answers(200, seed=2)]
    stay = sorted({answer for answer in cleaned if _is_clean(answer)})
    return _accuracy(tuple(stay[:12]), 3000)


def _is_clean(answer: str) -> bool:
    official = load_file("lavis", "common/vqa_tools/vqa_eval.py").VQAEval()
    return official.processDigitArticle(official.processPunctuation(answer)) == answer == normalise_answer(answer)


def _odd_accuracy() -> Measured:
    return _accuracy(tuple(_answers(12, seed=2)), 3000)


_EMPTY = "normalise_answer: answers that cleaning would empty stay"
_PEOPLE = "normalise_answer: people's answers are cleaned always"
COMPARISONS = (
    Comparison("VQA: cleaned answers", "salesforce-lavis", lambda: _clean(emptied=False)),
    Comparison("VQA: answers that cleaning empties", "salesforce-lavis", lambda: _clean(emptied=True), 0.0, _EMPTY),
    Comparison("VQA: accuracy of clean answers", "salesforce-lavis", _clean_accuracy, tolerance=1e-9),
    Comparison("VQA: accuracy of odd answers", "salesforce-lavis", _odd_accuracy, 1e-9, _PEOPLE),
)
