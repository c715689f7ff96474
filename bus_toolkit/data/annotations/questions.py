"""Files of questions about images: their public form, and whether their questions can be distinguished."""

from __future__ import annotations

from bus_toolkit.data.annotations.coco_boxes import read_json
from bus_toolkit.data.annotations.joins import one_form
from bus_toolkit.data.annotations.question_forms import (
    Annotations,
    Malformed,
    Mismatch,
    Question,
    gqa,
    visual_genome,
    vqa_v2,
)
from bus_toolkit.errors import DataError

_FORMS = (
    'It needs one of: VQA v2\'s {"questions": [{"question_id", "image_id", "question"}, ...]}, Visual Genome\'s '
    '[{"id", "qas": [{"qa_id", "image_id", "question", "answer"}, ...]}, ...], or GQA\'s '
    '{"<question id>": {"imageId", "question", "answer"}, ...}.'
)


def read_questions(question_file: str, annotation_file: str | None, name: str) -> list[Question]:
    """Return the questions of a file in one of the three forms, in its order.

    Answers of VQA v2 are in an annotation file of their own; its annotations of other questions are not used. Answers
    that are missing, empty or no text are noted in ``problem``.

    Args:
        question_file: VQA v2's questions, Visual Genome's ``question_answers.json``, or GQA's questions.
        annotation_file: VQA v2's annotations; ``None`` for the two others, and for questions without answers.
        name: What to call the reader in messages.

    Raises:
        DataError: A file that cannot be read or has another form, a question id twice, a question without annotation or
            with one of another image, or an annotation file beside a file that has its answers.
    """
    content = read_json(question_file, f"{name}.question_file")
    source = f"{name}.question_file: {question_file}"
    is_vqa = isinstance(content, dict) and isinstance(content.get("questions"), list)
    if annotation_file is not None and not is_vqa:
        raise DataError(
            f"{name}.annotation_file: belongs to VQA v2's questions, got {annotation_file} beside {question_file}, "
            "which is of another form. Leave annotation_file out, or give VQA v2's questions."
        )
    try:
        if is_vqa:
            questions = list(vqa_v2(content["questions"], _read_annotations(annotation_file, name)))
        elif isinstance(content, list):
            questions = list(visual_genome(content))
        else:
            questions = list(gqa(content))
    except Malformed as error:
        raise DataError(f"{source}: {error} {_FORMS}") from error
    except Mismatch as error:
        raise DataError(f"{source}: {error}") from error
    if not questions:
        raise DataError(f"{source}: holds no question. {_FORMS}")
    _refuse_repeats(questions, source)
    return questions


def _read_annotations(path: str | None, name: str) -> Annotations | None:
    if path is None:
        return None
    content = read_json(path, f"{name}.annotation_file")
    source = f"{name}.annotation_file: {path}"
    entries = content.get("annotations") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise DataError(
            f'{source}: does not hold VQA v2\'s annotations. It needs {{"annotations": [{{"question_id", "image_id", '
            '"answers": [{"answer"}, ...]}, ...]}.'
        )
    annotations = Annotations(path)
    for place, entry in enumerate(entries):
        if not isinstance(entry, dict) or "question_id" not in entry:
            raise DataError(f"{source}: annotations[{place}] has no question_id, got {str(entry)[:80]}. Add it.")
        key = one_form(entry["question_id"])
        if key in annotations:
            raise DataError(f"{source}: question {entry['question_id']} has two annotations. Remove one of them.")
        annotations[key] = entry
    return annotations


def _refuse_repeats(questions: list[Question], source: str) -> None:
    seen: set[int | str] = set()
    for question in questions:
        if one_form(question.question_id) in seen:
            raise DataError(
                f"{source}: question id {question.question_id} occurs twice. Each question needs an id of its own: "
                "remove one, or renumber them."
            )
        seen.add(one_form(question.question_id))
