"""Questions about scenes in the files of VQA v2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bus_toolkit.data.scenes.questions import scene_questions
from bus_toolkit.data.scenes.render import PlannedScene
from bus_toolkit.data.scenes.settings import SceneSettings
from bus_toolkit.data.scenes.streams import image_id, stream

# VQA v2 numbers the questions of an image so, and has ten people answer each.
_QUESTIONS_OF_IMAGE = 1000
_NUM_ANSWERS = 10
_INFO = {"description": "bus_toolkit procedural scenes (synthetic)", "version": "1"}


def question_files(split: str, planned: Sequence[PlannedScene], settings: SceneSettings) -> dict[str, Any]:
    """Return the questions, the answers and the objects that each question speaks of, of a split.

    ``questions_<split>.json`` and ``answers_<split>.json`` have the form of VQA v2's question and annotation files; all
    ten answers are the same. ``question_regions_<split>.json`` maps the id of a question to the ids of the instances in
    ``instances_<split>.json`` that it speaks of; a question of something that is not there has no entry.
    """
    questions: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    regions: dict[str, list[int]] = {}
    first_instance = 1
    for number, scene, _ in planned:
        image = image_id(split, number)
        rng = stream(settings, split, number, "questions")
        for place, asked in enumerate(scene_questions(scene, rng)):
            identity = image * _QUESTIONS_OF_IMAGE + place
            questions.append({"question_id": identity, "image_id": image, "question": asked.text})
            annotations.append(
                {
                    "question_id": identity,
                    "image_id": image,
                    "question_type": asked.kind,
                    "answer_type": asked.answer_type,
                    "multiple_choice_answer": asked.answer,
                    "answers": [
                        {"answer_id": k + 1, "answer": asked.answer, "answer_confidence": "yes"}
                        for k in range(_NUM_ANSWERS)
                    ],
                }
            )
            if asked.named:
                regions[str(identity)] = [first_instance + place for place in asked.named]
        first_instance += len(scene.objects)
    shared = {"info": _INFO, "data_type": "bus_toolkit", "data_subtype": split}
    return {
        f"questions_{split}.json": {**shared, "task_type": "Open-Ended", "questions": questions},
        f"answers_{split}.json": {**shared, "annotations": annotations},
        f"question_regions_{split}.json": regions,
    }
