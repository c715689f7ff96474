"""NLVR2 (Suhr et al., ACL 2019): is a sentence true of two photographs?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bus_toolkit.blank_texts import is_blank
from bus_toolkit.data.preparation.check_files import check_images
from bus_toolkit.data.preparation.counts import Count
from bus_toolkit.data.preparation.recipe import Conversion, Download, Recipe, Wanted
from bus_toolkit.json_text import dump_json

PAGE = "https://github.com/lil-lab/nlvr/tree/master/nlvr2"
_SPLITS = ("train", "dev", "test1")
# As papers state them.
_COUNTS = (
    Count("train: statements", 86_373, sure=False),
    Count("dev: statements", 6_982, sure=False),
    Count("test1: statements", 6_967, sure=False),
)
_FILES = (
    *(Wanted(f"data/{split}.json", f"folder nlvr2/data of {PAGE}") for split in _SPLITS),
    Wanted("images/", f"the form on {PAGE} gives the addresses; unpack to images/train, images/dev and images/test1"),
)
_USAGE = ("dataset: {{type: Statements, ann_file: {out}/train.jsonl, img_dir: {out}/images}}   # or dev, test1",)

NLVR2 = Recipe("nlvr2", "NLVR2", PAGE, lambda _: Conversion(_FILES, _COUNTS, _convert, _USAGE, {"images": "images"}))


def _convert(source: Download, out: Path) -> Mapping[str, int]:
    """Write ``<split>.jsonl``, each statement with the names of its two images."""
    counts = {}
    for split in _SPLITS:
        name = f"data/{split}.json"
        try:
            rows = [_statement(entry, split) for entry in source.json_lines(name)]
            if len({row["identifier"] for row in rows}) < len(rows):
                raise ValueError("an identifier occurs twice")
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise source.malformed(name, error) from error
        check_images(source, "images", (image for row in rows for image in row["images"]))
        lines = (dump_json(row) + "\n" for row in rows)
        (out / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
        counts[f"{split}: statements"] = len(rows)
        counts[f"{split}: true"] = sum(row["label"] == "True" for row in rows)
    return counts


def _statement(entry: Mapping[str, Any], split: str) -> dict[str, Any]:
    label = str(entry["label"])
    if label not in ("True", "False") or is_blank(entry["sentence"]):
        raise ValueError(f"{entry['identifier']}: label {label!r} or an empty sentence")
    # The images of the training split lie in numbered folders, which its entries name.
    place = f"{split}/{entry['directory']}" if "directory" in entry else split
    stem = entry["identifier"].rsplit("-", 1)[0]
    images = [f"{place}/{stem}-img{number}.png" for number in range(2)]
    return {"identifier": entry["identifier"], "sentence": entry["sentence"], "label": label, "images": images}
