"""Questions about scenes in the files of VQA v2."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from bus_toolkit.data.scenes.plan import PlannedScene
from bus_toolkit.data.scenes.questions import SceneQuestion, scene_questions
from bus_toolkit.data.scenes.settings import SceneSettings
from bus_toolkit.data.scenes.streams import image_id, stream

# VQA v2 numbers the questions of an image so, and has ten people answer each.
_QUESTIONS_OF_IMAGE = 1000
_NUM_ANSWERS = 10
_INFO = {"description": "bus_toolkit procedural scenes (synthetic)", "version": "1"}


def question_files(split: str, planned: Sequence[PlannedScene], settings: SceneSettings) -> dict[str, Any]:
    """Return the questions, the answers and the objects that each question speaks of, of a split."""
    asked = (
        (
            image_id(split, number),
            len(scene.objects),
            scene_questions(scene, stream(settings, split, number, "questions")),
        )
        for number, scene, _ in planned
    )
    return vqa_files(split, asked)


def vqa_files(
    split: str, asked: Iterable[tuple[int, int, Sequence[SceneQuestion]]], num_answers: int = _NUM_ANSWERS
) -> dict[str, Any]:
    """Return questions and answers in the form of VQA v2.

    ``questions_<split>.json`` and ``answers_<split>.json`` have the form of VQA v2's question and annotation files; all
    answers of a question are the same. ``question_regions_<split>.json`` maps the id of a question to the ids of the
    instances in ``instances_<split>.json`` that it speaks of; a question of something that is not there has no entry.

    Args:
        split: Name of the split.
        asked: Image id, number of objects and questions of each scene, in the order of the instances.
        num_answers: How often each answer is there, as if so many people had given it.
    """
    questions: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    regions: dict[str, list[int]] = {}
    first_instance = 1
    for image, num_objects, of_image in asked:
        for place, question in enumerate(of_image):
            identity = image * _QUESTIONS_OF_IMAGE + place
            questions.append({"question_id": identity, "image_id": image, "question": question.text})
            annotations.append(
                {
                    "question_id": identity,
                    "image_id": image,
                    "question_type": question.kind,
                    "answer_type": question.answer_type,
                    "multiple_choice_answer": question.answer,
                    "answers": [
                        {"answer_id": k + 1, "answer": question.answer, "answer_confidence": "yes"}
                        for k in range(num_answers)
                    ],
                }
            )
            if question.named:
                regions[str(identity)] = [first_instance + place for place in question.named]
        first_instance += num_objects
    shared = {"info": _INFO, "data_type": "bus_toolkit", "data_subtype": split}
    return {
        f"questions_{split}.json": {**shared, "task_type": "Open-Ended", "questions": questions},
        f"answers_{split}.json": {**shared, "annotations": annotations},
        f"question_regions_{split}.json": regions,
    }
