"""The list of answers that a model chooses from, and which of the people's answers are on it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

from bus_toolkit.data.annotations.answer_forms import normalise_answer
from bus_toolkit.data.annotations.question_forms import Question
from bus_toolkit.errors import DataError
from bus_toolkit.heads.answers import read_answers

_log = logging.getLogger(__name__)


class AllowedAnswers:
    """The answers of a file; without one, every answer.

    Args:
        path: A text file with one answer a line, or a JSON list; ``None`` allows all.
        name: The data set, for messages.

    Raises:
        DataError: The file cannot be read, or is no list of distinct answers.
    """

    def __init__(self, path: str | None, name: str) -> None:
        self.path, self.name = path, name
        self._class_of: dict[str, int] = {}
        self._by_form: dict[str, str] = {}
        if path is None:
            return
        try:
            answers = read_answers(path)
        except ValueError as error:
            raise DataError(f"{name}.answers_file: {error}") from error
        self._class_of = {answer: place for place, answer in enumerate(answers)}
        for answer in answers:
            self._by_form.setdefault(normalise_answer(answer), answer)

    def form_of(self, answer: str) -> str | None:
        """Return an answer as the list has it: the same one, else the first that VQA's evaluation counts as the same.

        ``None`` if there is neither.
        """
        if self.path is None or answer in self._class_of:
            return answer
        return self._by_form.get(normalise_answer(answer))

    def class_of(self, answer: str) -> int | None:
        """Return the place of an answer in the list, from 0; ``None`` if it is not on it."""
        return self._class_of.get(self.form_of(answer) or "")

    def refuse_without_answers(self, file: str) -> None:
        """Refuse a list for questions that have no answers.

        Raises:
            DataError: There is a list.
        """
        if self.path is not None:
            raise DataError(f"{self.name}.answers_file: {file} has no answers to choose from. Leave it out.")

    def answered(self, questions: Sequence[Question], file: str) -> list[Question]:
        """Return the questions that keep an answer, and log how many do not; one with a ``problem`` stays.

        Args:
            questions: Of one file.
            file: That file, for messages.

        Raises:
            DataError: None of them keeps an answer.
        """
        if self.path is None:
            return list(questions)
        kept = [q for q in questions if q.problem or any(self.form_of(answer) is not None for answer in q.answers)]
        lost = Counter(answer for q in questions for answer in q.answers if self.form_of(answer) is None)
        examples = ", ".join(repr(answer) for answer, _ in lost.most_common(3))
        if lost and all(question.problem for question in kept):
            raise DataError(
                f"{self.name}.answers_file: none of the {len(questions)} questions of {file} has one of the "
                f"{len(self._class_of)} answers of {self.path}; their own are such as {examples}. Give the list that "
                "belongs to these questions."
            )
        if lost:
            total = sum(len(question.answers) for question in questions)
            left_out = len(questions) - len(kept)
            _log.log(
                logging.WARNING if 2 * left_out > len(questions) else logging.INFO,
                "%s: %.1f %% of the %d answers of %s are not among the %d of %s, such as %s; %d of %d questions "
                "(%.1f %%) keep none and are left out.",
                self.name,
                100 * lost.total() / total,
                total,
                file,
                len(self._class_of),
                self.path,
                examples,
                left_out,
                len(questions),
                100 * left_out / len(questions),
            )
        return kept
