"""RefCOCO, RefCOCO+ and RefCOCOg: pickles of references become JSON, read without running code in them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from bus_toolkit.blank_texts import is_blank
from bus_toolkit.data.preparation.check_files import check_images
from bus_toolkit.data.preparation.counts import Count
from bus_toolkit.data.preparation.recipe import Conversion, Download, Recipe, Wanted, write_json
from bus_toolkit.data.preparation.restricted_pickle import read_plain_pickle
from bus_toolkit.errors import DataError

PAGE = "https://github.com/lichengunc/refer"
_IMAGES = "train2014"
_SPLIT_BY = {"refcoco": ("unc", "google"), "refcoco+": ("unc",), "refcocog": ("umd", "google")}
_COUNTS = {
    # Sentences, not objects. FlagEval's page of the benchmark states the four of RefCOCO; those of the two others are
    # the ones that papers on grounding state.
    ("refcoco", "unc"): (
        ("train", 120_624, True),
        ("val", 10_834, True),
        ("testA", 5_657, True),
        ("testB", 5_095, True),
    ),
    ("refcoco+", "unc"): (
        ("train", 120_191, False),
        ("val", 10_758, False),
        ("testA", 5_726, False),
        ("testB", 4_889, False),
    ),
    ("refcocog", "umd"): (("train", 80_512, False), ("val", 4_896, False), ("test", 9_602, False)),
}


def _plan(options: Mapping[str, str]) -> Conversion:
    which, split_by = options["which"], options["split-by"]
    split_by = _SPLIT_BY[which][0] if split_by == "default" else split_by
    if split_by not in _SPLIT_BY[which]:
        raise DataError(
            f"refcoco: --split-by of {which} must be one of {', '.join(_SPLIT_BY[which])}, got {split_by}. "
            "Leave it out for the first one."
        )
    origin = f"{which}.zip of {PAGE}, unpacked to a folder {which}"
    files = (
        Wanted(f"{which}/refs({split_by}).p", origin),
        Wanted(f"{which}/instances.json", origin),
        Wanted(f"{_IMAGES}/", "train2014.zip of https://cocodataset.org/#download"),
    )
    counts = tuple(Count(f"{split}: sentences", n, sure) for split, n, sure in _COUNTS.get((which, split_by), ()))
    usage = (
        "dataset: {{type: ReferringExpressions, refs_file: {out}/refs_train.json,",
        "          instances_file: {out}/instances.json, img_dir: {out}/train2014}}",
    )
    return Conversion(files, counts, partial(_convert, which, split_by), usage, {_IMAGES: _IMAGES})


REFCOCO = Recipe(
    "refcoco",
    "RefCOCO / RefCOCO+ / RefCOCOg",
    PAGE,
    _plan,
)


def _convert(which: str, split_by: str, source: Download, out: Path) -> dict[str, int]:
    name = f"{which}/refs({split_by}).p"
    splits: dict[str, list[dict[str, Any]]] = {}
    empty = 0
    try:
        for reference in read_plain_pickle(source.path(name)):
            sentences = [{"sent_id": s["sent_id"], "sent": s["sent"].strip()} for s in reference["sentences"]]
            spoken = [sentence for sentence in sentences if not is_blank(sentence["sent"])]
            empty += len(sentences) - len(spoken)
            kept = {key: reference[key] for key in ("ref_id", "image_id", "ann_id", "split")}
            splits.setdefault(reference["split"], []).append({**kept, "sentences": spoken})
    except (KeyError, TypeError, AttributeError) as error:
        raise source.malformed(name, error) from error
    counts = _check_instances(source, out, f"{which}/instances.json", splits)
    for split, references in splits.items():
        write_json(out / f"refs_{split}.json", references)
        counts[f"{split}: references"] = len(references)
        counts[f"{split}: sentences"] = sum(len(reference["sentences"]) for reference in references)
    return counts | {"empty sentences, left out": empty}


def _check_instances(
    source: Download, out: Path, name: str, splits: Mapping[str, list[dict[str, Any]]]
) -> dict[str, int]:
    """Write ``instances.json`` without outlines, and check that each reference means one of them."""
    content = source.json(name)
    try:
        notes = [{k: v for k, v in note.items() if k != "segmentation"} for note in content["annotations"]]
        boxes = {note["id"]: note["image_id"] for note in notes}
        files = {image["id"]: image["file_name"] for image in content["images"]}
    except (KeyError, TypeError, AttributeError) as error:
        raise source.malformed(name, error) from error
    wrong = [r["ref_id"] for refs in splits.values() for r in refs if boxes.get(r["ann_id"]) != r["image_id"]]
    if wrong:
        raise DataError(
            f"refcoco: {len(wrong)} references have no instance of their image in {name}, e.g. ref_id {wrong[0]}. "
            "Fetch both files from one archive."
        )
    used = {reference["image_id"] for references in splits.values() for reference in references}
    missing = used - files.keys()
    if missing:
        raise source.malformed(name, f"image {min(missing)} of the references is not among its images")
    check_images(source, _IMAGES, [files[image] for image in sorted(used)])
    write_json(out / "instances.json", {**content, "annotations": notes})
    return {"instances": len(notes), "images": len(used)}
