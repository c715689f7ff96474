"""Statements about one or two images, with a label: NLVR2, visual entailment, and files of the same form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bus_toolkit.data.datasets.base import SampleDataset, image_folder
from bus_toolkit.errors import DataError
from bus_toolkit.home import expand_home
from bus_toolkit.json_text import parse_json
from bus_toolkit.registry import DATASETS
from bus_toolkit.text_files import read_utf8, split_lines

_LABELS: dict[str, dict[str, int]] = {
    "truth": {"False": 0, "True": 1},
    "entailment": {"contradiction": 0, "neutral": 1, "entailment": 2},
}
# SNLI marks a pair without a majority of its annotators so; the sets of SNLI-VE have few or none of them.
_UNDECIDED = "-"
_ADVICE = (
    "Point it to a file of NLVR2 or SNLI-VE (`bus-toolkit prepare nlvr2` and `bus-toolkit prepare snli_ve` name the "
    "sources of the files)."
)


@DATASETS.register_module()
class Statements(SampleDataset):
    """Read JSON lines of NLVR2 (Suhr et al., ACL 2019) or SNLI-VE (Xie et al., arXiv 1901.06706).

    Before the pipeline a sample has ``img_path`` (a path, or a list of two), ``text``, ``image_id`` (one for all
    statements of the same images), ``text_id`` (the identifier of the file) and ``gt_label``: 1 = true for NLVR2; 0
    contradiction, 1 neutral, 2 entailment for SNLI-VE.
    Two images are loaded by ``mmpretrain.ApplyToList`` around the transforms of one, and reach the model as (B, 2, 3,
    H, W). Neither flips nor crops follow the words "left image", so leave them out for two. Slot: ``dataset`` of a data
    loader.

    Args:
        ann_file: The JSON lines. NLVR2: ``identifier``, ``sentence``, ``label``; images are ``images`` (two names) or
            follow from the identifier (``dev-0-1-0`` has ``dev-0-1-img0.png`` and ``-img1.png``). SNLI-VE: ``pairID``,
            ``Flickr30K_ID``, ``sentence2``, ``gold_label``.
        img_dir: Folder of the images.
        img_suffix: What completes SNLI-VE's ``Flickr30K_ID``, ``.jpg`` for Flickr30k.
        pipeline: Transforms; the last one packs.
        max_bad_samples: So many unreadable samples are skipped before the run stops; 0 for evaluation, where none may
            be missing.

    Raises:
        DataError: A missing or malformed file, a label that does not exist, an identifier twice, or no statement.
    """

    def __init__(
        self,
        ann_file: str,
        img_dir: str,
        *,
        pipeline: Sequence[Mapping[str, Any]] = (),
        img_suffix: str = ".jpg",
        max_bad_samples: int = 10,
    ) -> None:
        self.img_dir = image_folder(img_dir, f"{type(self).__name__}.img_dir")
        self.img_suffix = img_suffix
        self._rows = self._read(expand_home(ann_file))
        super().__init__(pipeline, size=len(self._rows), max_bad_samples=max_bad_samples)

    def get_data_info(self, index: int) -> dict[str, Any]:
        """Return a sample as it enters the pipeline."""
        return dict(self._rows[int(index)])

    def _read(self, path: Path) -> list[dict[str, Any]]:
        lines = split_lines(read_utf8(path, "Statements.ann_file", advice=_ADVICE))
        rows: dict[str, dict[str, Any]] = {}
        images: dict[str, int] = {}
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            location = f"Statements.ann_file: {path}, line {number}"
            row = self._row(line, location)
            if row is None:
                continue
            if row["text_id"] in rows:
                raise DataError(f"{location}: {row['text_id']!r} occurs twice. Remove one of the two lines.")
            # SNLI-VE has several statements of a picture, NLVR2 of a pair of them: those are not of other images.
            number = images.setdefault(str(row["img_path"]), len(images))
            rows[row["text_id"]] = {**row, "image_id": number}
        if not rows:
            raise DataError(f"Statements.ann_file: {path} has no statements. Copy the file again.")
        return list(rows.values())

    def _row(self, line: str, location: str) -> dict[str, Any] | None:
        try:
            entry = parse_json(line)
            parse = self._nlvr2 if "sentence" in entry else self._snli_ve
            return parse(entry, location)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{location}: neither a line of NLVR2 (identifier, sentence, label) nor of SNLI-VE (pairID, "
                f"Flickr30K_ID, sentence2, gold_label): {error!r}. Copy the file again."
            ) from error

    def _nlvr2(self, entry: Mapping[str, Any], location: str) -> dict[str, Any]:
        stem = entry["identifier"].rsplit("-", 1)[0]
        names = entry.get("images", [f"{stem}-img{place}.png" for place in range(2)])
        if len(names) != 2:
            raise DataError(f"{location}: images must be two names, got {names!r}. Copy the file again.")
        return {
            "img_path": [str(self.img_dir / name) for name in names],
            "text": entry["sentence"],
            "text_id": entry["identifier"],
            "gt_label": _label("truth", str(entry["label"]), location),
        }

    def _snli_ve(self, entry: Mapping[str, Any], location: str) -> dict[str, Any] | None:
        if entry["gold_label"] == _UNDECIDED:
            return None
        return {
            "img_path": str(self.img_dir / f"{entry['Flickr30K_ID']}{self.img_suffix}"),
            "text": entry["sentence2"],
            "text_id": entry["pairID"],
            "gt_label": _label("entailment", entry["gold_label"], location),
        }


def _label(kind: str, word: str, location: str) -> int:
    labels = _LABELS[kind]
    if word not in labels:
        raise DataError(f"{location}: the label must be one of {', '.join(labels)}, got {word!r}. Correct the line.")
    return labels[word]
