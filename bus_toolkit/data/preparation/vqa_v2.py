"""VQA v2 (Goyal et al., CVPR 2017): its files are read as they are; checked here, and the frequent answers listed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bus_toolkit.blank_texts import is_blank
from bus_toolkit.data.preparation.check_files import check_images
from bus_toolkit.data.preparation.counts import Count
from bus_toolkit.data.preparation.recipe import Conversion, Download, Recipe, Wanted

PAGE = "https://visualqa.org/download.html"
_YEARS = {"train": "train2014", "val": "val2014", "test": "test2015", "testdev": "test-dev2015"}
_FOLDERS = {"train": "train2014", "val": "val2014", "test": "test2015", "testdev": "test2015"}
_QUESTIONS = {split: f"v2_OpenEnded_mscoco_{year}_questions.json" for split, year in _YEARS.items()}
_ANSWERS = {split: f"v2_mscoco_{_YEARS[split]}_annotations.json" for split in ("train", "val")}
# The page of the data set states the questions; 107,394 is the number that papers state for test-dev.
_COUNTS = (
    Count("train: questions", 443_757),
    Count("val: questions", 214_354),
    Count("test: questions", 447_793),
    Count("testdev: questions", 107_394, sure=False),
    Count("train: answers", 4_437_570),
    Count("val: answers", 2_143_540),
    Count("answers.txt: answers", 3_129, sure=False),
)
_FILES = (
    *(Wanted(name, f"questions of {PAGE}", optional="test" in split) for split, name in _QUESTIONS.items()),
    *(Wanted(name, f"annotations of {PAGE}") for name in _ANSWERS.values()),
    *(Wanted(f"{year}/", f"{year}.zip of https://cocodataset.org/#download") for year in ("train2014", "val2014")),
)
FEWEST_TIMES = 9
"""An answer in the list is the most frequent one of at least so many questions of train and val: 3,129 in the lists of
others (salesforce/ALBEF), whose exact rule was not readable."""
_LINKS = (
    {f"questions_{split}.json": name for split, name in _QUESTIONS.items()}
    | {f"answers_{split}.json": name for split, name in _ANSWERS.items()}
    | {folder: folder for folder in _FOLDERS.values()}
)
_USAGE = (
    "dataset: {{type: QuestionAnswers, question_file: {out}/questions_train.json,",
    "          annotation_file: {out}/answers_train.json,",
    "          image_template: '{out}/train2014/COCO_train2014_{{image_id:012d}}.jpg'}}",
    "answers to rank: {out}/answers.txt",
)

VQA_V2 = Recipe("vqa_v2", "VQA v2", PAGE, lambda _: Conversion(_FILES, _COUNTS, _convert, _USAGE, _LINKS))


def _convert(source: Download, out: Path) -> Mapping[str, int]:
    counts: dict[str, int] = {}
    frequent: Counter[str] = Counter()
    for split, name in _QUESTIONS.items():
        if not source.has(name):
            continue
        images = _images_of_questions(source, name)
        counts[f"{split}: questions"] = len(images)
        folder = _FOLDERS[split]
        if source.has(folder) or split in _ANSWERS:
            check_images(source, folder, (f"COCO_{folder}_{image:012d}.jpg" for image in images.values()))
        if split in _ANSWERS:
            answers = _answers(source, _ANSWERS[split], images)
            counts[f"{split}: answers"] = sum(len(each) for each, _ in answers)
            frequent.update(best for _, best in answers)
    listed = [answer for answer, times in _by_frequency(frequent.items()) if times >= FEWEST_TIMES]
    (out / "answers.txt").write_text("".join(f"{answer}\n" for answer in listed), encoding="utf-8")
    return counts | {"answers.txt: answers": len(listed)}


def _by_frequency(counted: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    return sorted(counted, key=lambda item: (-item[1], item[0]))


def _images_of_questions(source: Download, name: str) -> dict[int, int]:
    """Return question id to image id."""
    content = source.json(name)
    try:
        images = {entry["question_id"]: entry["image_id"] for entry in content["questions"]}
        if any(is_blank(entry["question"]) for entry in content["questions"]):
            raise ValueError("a question is empty")
        if len(images) < len(content["questions"]):
            raise ValueError("a question id occurs twice")
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise source.malformed(name, error) from error
    return images


def _answers(source: Download, name: str, images: Mapping[int, int]) -> list[tuple[list[Any], str]]:
    """Return the answers of each question and the most frequent one; each question has its annotation, and no more."""
    content = source.json(name)
    try:
        notes = {note["question_id"]: note for note in content["annotations"]}
        if {key: note["image_id"] for key, note in notes.items()} != images:
            raise ValueError("questions and annotations are not of the same questions and images")
        answers = [(note["answers"], str(note["multiple_choice_answer"])) for note in notes.values()]
    except (KeyError, TypeError, ValueError) as error:
        raise source.malformed(name, error) from error
    return answers
