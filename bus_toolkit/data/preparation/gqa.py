"""GQA (Hudson and Manning, CVPR 2019), balanced questions: without programs, a twentieth of the size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bus_toolkit.blank_texts import is_blank
from bus_toolkit.data.preparation.check_files import check_images
from bus_toolkit.data.preparation.counts import Count
from bus_toolkit.data.preparation.recipe import Conversion, Download, Recipe, Wanted, write_json

PAGE = "https://cs.stanford.edu/people/dorarad/gqa/download.html"
_SPLITS = ("train", "val", "testdev", "test")
_COUNTS = (
    # As papers state them; the page does not.
    Count("train: questions", 943_000, sure=False),
    Count("val: questions", 132_062, sure=False),
    Count("testdev: questions", 12_578, sure=False),
    Count("test: questions", 95_336, sure=False),
)
_FILES = (
    *(
        Wanted(f"{split}_balanced_questions.json", f"questions1.2.zip of {PAGE}", optional=split == "test")
        for split in _SPLITS
    ),
    Wanted("images/", f"images.zip of {PAGE}"),
)
_USAGE = (
    "dataset: {{type: QuestionAnswers, question_file: {out}/questions_train.json,",
    "          image_template: '{out}/images/{{image_id}}.jpg'}}",
)

GQA = Recipe("gqa", "GQA", PAGE, lambda _: Conversion(_FILES, _COUNTS, _convert, _USAGE, {"images": "images"}))


def _convert(source: Download, out: Path) -> Mapping[str, int]:
    """Write ``questions_<split>.json``: imageId, question, answer and the structural type of each question."""
    counts = {}
    for split in _SPLITS:
        name = f"{split}_balanced_questions.json"
        if not source.has(name):
            continue
        kept = {}
        content = source.json(name)
        try:
            for key, entry in content.items():
                kept[key] = {"imageId": entry["imageId"], "question": entry["question"]}
                if "answer" in entry:
                    kept[key]["answer"] = entry["answer"]
                if "types" in entry:
                    kept[key]["types"] = {"structural": entry["types"]["structural"]}
                if is_blank(entry["question"]) or is_blank(entry.get("answer", "-")):
                    raise ValueError(f"question {key} or its answer is empty")
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise source.malformed(name, error) from error
        check_images(source, "images", (f"{entry['imageId']}.jpg" for entry in kept.values()))
        write_json(out / f"questions_{split}.json", kept)
        counts[f"{split}: questions"] = len(kept)
    return counts
