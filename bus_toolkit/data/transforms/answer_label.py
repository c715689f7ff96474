"""The class of an answer, so that questions are answered by classification."""

from __future__ import annotations

from typing import Any

from mmcv.transforms import BaseTransform

from bus_toolkit.data.annotations.allowed_answers import AllowedAnswers
from bus_toolkit.data.datasets.bad_samples import LoadingError
from bus_toolkit.registry import TRANSFORMS


@TRANSFORMS.register_module()
class AnswerLabel(BaseTransform):
    """Give a question the class of its answer, ``gt_label``: the place of the answer in a file, from 0.

    A ``ClassificationHead`` with as many classes as the file has lines then answers questions, as ViLT does (arXiv
    2102.03334, section 4.3). ViLT scores every answer by how many people gave it; here one is right [our choice]: of
    several the one that most people gave, and of these the first. Slot: ``pipeline`` of a data set of questions, such
    as ``QuestionAnswers``, before ``PackRegions``.

    Args:
        answers_file: Text file, one answer a line, or a JSON list. Answers are compared as VQA's evaluation does.

    Raises:
        DataError: The file cannot be read, or is no list of distinct answers.
    """

    def __init__(self, answers_file: str) -> None:
        self.answers_file = answers_file
        self._answers = AllowedAnswers(answers_file, type(self).__name__)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Set ``gt_label``.

        Raises:
            LoadingError: The sample has no answer, or one that is not in the file.
        """
        answers = results.get("gt_answer")
        if not answers:
            raise LoadingError(
                f"AnswerLabel: question {results.get('text_id')} has no answer (gt_answer). Use a data set with "
                "answers, such as QuestionAnswers with annotation_file, or leave AnswerLabel out."
            )
        answers = [answers] if isinstance(answers, str) else answers  # GQA's readers give one
        weights = results.get("gt_answer_weight") or [1.0] * len(answers)
        answer = answers[max(range(len(answers)), key=weights.__getitem__)]
        label = self._answers.class_of(answer)
        if label is None:
            raise LoadingError(
                f"AnswerLabel.answers_file: {self.answers_file} does not have the answer {answer!r} of question "
                f"{results.get('text_id')}. Add it as a line, or set answers_file of QuestionAnswers too, which leaves "
                "out such questions."
            )
        results["gt_label"] = label
        return results
