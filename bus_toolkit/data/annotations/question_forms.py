"""The public forms of questions and answers about images: VQA v2, Visual Genome, GQA."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bus_toolkit.blank_texts import is_blank
from bus_toolkit.data.annotations.joins import one_form


@dataclass(frozen=True, slots=True)
class Question:
    """A question about an image, with the answer of each annotator.

    Attributes:
        question_id: A number, or GQA's string.
        image_id: Likewise.
        text: The question.
        answers: One a person, so that they repeat; empty where there are none.
        question_type: What it asks for; VQA v2 and GQA say it, of Visual Genome these are its first two words.
        answer_type: ``yes/no``, ``number`` or ``other``; empty where there are no answers.
        problem: What is wrong with the answers; empty if nothing is.
    """

    question_id: int | str
    image_id: int | str
    text: str
    answers: tuple[str, ...] = ()
    question_type: str = ""
    answer_type: str = ""
    problem: str = ""


class Malformed(Exception):
    """An entry that does not have the form; the message says which one, and how."""


class Mismatch(Exception):
    """Questions and annotations that do not belong together."""


class Annotations(dict[Any, dict[str, Any]]):
    """Question id, in one form, to VQA v2's annotation, and the file that they are from."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path


def vqa_v2(entries: list[Any], annotations: Annotations | None) -> Iterator[Question]:
    """Yield the questions of VQA v2, with their annotations where these are given.

    Raises:
        Malformed: A part of an entry is missing.
        Mismatch: A question has no annotation, or one of another image.
    """
    for place, entry in enumerate(entries):
        name = f"questions[{place}]"
        key, image, text = (_part(entry, part, name) for part in ("question_id", "image_id", "question"))
        if annotations is None:
            yield Question(key, image, text)
            continue
        note = annotations.get(one_form(key))
        if note is None:
            raise Mismatch(
                f"question {key} has no annotation in {annotations.path} ({len(annotations)} annotations). Give the "
                "annotation file of the same split."
            )
        if one_form(note.get("image_id", image)) != one_form(image):
            raise Mismatch(
                f"question {key} is about image {image}, its annotation in {annotations.path} about image "
                f"{note['image_id']}. Give the annotation file of the same split."
            )
        people = note.get("answers")
        listed = people if isinstance(people, list) else []
        answers, problem = _checked([one.get("answer") if isinstance(one, dict) else one for one in listed])
        question_type, answer_type = (sys.intern(str(note.get(kind, ""))) for kind in ("question_type", "answer_type"))
        problem = problem and f"question {key} {problem} ({annotations.path})"
        yield Question(key, image, text, answers, question_type, answer_type, problem)


def visual_genome(entries: list[Any]) -> Iterator[Question]:
    """Yield the questions of Visual Genome; the full stop after its answers is left out, since VQA v2 has none.

    Raises:
        Malformed: A part of an entry is missing.
    """
    for place, image in enumerate(entries):
        qas = _part(image, "qas", f"[{place}]")
        if not isinstance(qas, list):
            raise Malformed(f"[{place}].qas must be a list, got {type(qas).__name__}.")
        for index, entry in enumerate(qas):
            name = f"[{place}].qas[{index}]"
            key, image_id, text = (_part(entry, part, name) for part in ("qa_id", "image_id", "question"))
            yield _with_one_answer(key, image_id, text, entry, _beginning(text), end=".")


def gqa(content: object) -> Iterator[Question]:
    """Yield the questions of GQA; the type of a question is its ``types.structural``, else its first two words.

    Raises:
        Malformed: A part of an entry is missing, or there are none.
    """
    if not isinstance(content, dict):
        raise Malformed(f"the file holds a {type(content).__name__}.")
    for key, entry in content.items():
        image_id, text = (_part(entry, part, f"question {key}") for part in ("imageId", "question"))
        types = entry.get("types")
        structural = types.get("structural") if isinstance(types, dict) else None
        yield _with_one_answer(key, image_id, text, entry, str(structural or _beginning(text)))


def _with_one_answer(
    key: int | str, image_id: int | str, text: str, entry: dict[str, Any], question_type: str, end: str = ""
) -> Question:
    """Return a question with its only answer, or without one where the split keeps answers back."""
    question_type = sys.intern(question_type)
    if "answer" not in entry:
        return Question(key, image_id, text, question_type=question_type)
    answers, problem = _checked([entry["answer"]])
    if problem:
        return Question(key, image_id, text, (), question_type, "", f"question {key} {problem}")
    bare = answers[0].removesuffix(end)
    answer = answers[0] if is_blank(bare) else bare
    word = answer.lower()
    kind = "yes/no" if word in ("yes", "no") else "number" if word.isdigit() else "other"
    return Question(key, image_id, text, (sys.intern(answer),), question_type, kind)


def _checked(answers: list[Any]) -> tuple[tuple[str, ...], str]:
    """Return the answers without white space around them, and what is wrong with the first bad one."""
    if not answers:
        return (), "has no answers"
    for place, answer in enumerate(answers):
        which = f"answer {place + 1} of {len(answers)}"
        if answer is None or (isinstance(answer, str) and is_blank(answer)):
            return (), f"has no {which}: it is empty"
        if not isinstance(answer, str):
            return (), f"has an {which} that is not text, got {answer!r}"
    return tuple(sys.intern(answer.strip()) for answer in answers), ""


def _beginning(text: object) -> str:
    return " ".join(str(text).lower().rstrip("?").split()[:2])


def _part(entry: object, part: str, name: str) -> Any:  # an id or a text
    if not isinstance(entry, dict) or entry.get(part) is None:
        raise Malformed(f"{name} has no {part}, got {str(entry)[:80]}.")
    return entry[part]
