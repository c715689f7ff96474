"""Images with all of their captions, to score the captions that a model writes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from torch.utils.data import Dataset

from bus_toolkit.data.annotations.joins import one_form
from bus_toolkit.data.datasets.bad_samples import BadSample
from bus_toolkit.data.datasets.base import check_caption
from bus_toolkit.errors import DataError
from bus_toolkit.home import expand_home
from bus_toolkit.json_text import parse_json
from bus_toolkit.registry import DATASETS
from bus_toolkit.text_files import read_utf8


@DATASETS.register_module()
class CaptionedImages(Dataset):
    """One sample an image from a data set that has one a caption.

    An image is its first row there, and its data sample gets ``references``, the captions of all of its rows, for
    ``CaptionMetrics``: so an image is encoded and described once. Slot: ``dataset`` of a data loader for evaluation, or
    for a training with ``SelfCriticalCaptionHead``.

    Args:
        dataset: Config of the data set, such as ``SceneDataset`` or ``RegionCaptionDataset``; rows of one image have
            the same ``image_id``. Its pipeline packs with ``PackRegions`` and changes no caption. A row
            without a caption is no reference; it counts as a bad sample there.
        domains_file: JSON whose ``images`` have an ``id`` and a ``domain``, as NoCaps has them (arXiv 1812.08658):
            data samples get the field ``domain``, by which ``CaptionMetrics`` reports. May be the file of the captions.

    Raises:
        DataError: More bad rows than ``max_bad_samples`` of the data set, or any if it has no such limit; a file of
            domains that cannot be read, is of another form, or leaves images out.
    """

    def __init__(self, dataset: Mapping[str, Any], *, domains_file: str | None = None) -> None:
        self.dataset = DATASETS.build(dict(dataset))
        self.rows: list[int] = []
        self.references: dict[Hashable, list[str]] = {}
        ids: dict[Hashable, Any] = {}  # COCORetrieval renumbers images and keeps the ids of the file
        for row in range(len(self.dataset)):
            try:
                info = self.dataset.get_data_info(row)
                check_caption(info)
            except BadSample as error:
                self._count(row, error)
                continue
            if info["image_id"] not in self.references:
                self.rows.append(row)
                ids[info["image_id"]] = one_form(info.get("image_ori_id", info["image_id"]))
            self.references.setdefault(info["image_id"], []).append(info["text"])
        self.domains = {} if domains_file is None else _domains(domains_file, ids)

    def _count(self, row: int, error: BadSample) -> None:
        """Count a row without a usable caption as the data set counts its bad samples; it stops above its limit."""
        counter = getattr(self.dataset, "bad", None)
        if counter is None:
            raise DataError(f"CaptionedImages.dataset: row {row}: {error}. Repair or remove it.") from error
        counter.add(row, error)

    @property
    def metainfo(self) -> dict[str, Any]:
        """Facts about the data that MMEngine hands on to metrics and visualizers."""
        return self.dataset.metainfo

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return an image's sample, with its references."""
        packed = self.dataset[self.rows[index]]
        sample = packed["data_samples"]
        # By the sample's own id: another image may replace one that cannot be read.
        sample.set_field(self.references[sample.image_id], "references", dtype=None)
        if self.domains:
            sample.set_field(self.domains[sample.image_id], "domain", dtype=None)
        return packed


def _domains(path: str, ids: Mapping[Hashable, Any]) -> dict[Hashable, str]:
    """Return the domain of each image, given the ids that the file has for them."""
    location = "CaptionedImages.domains_file"
    text = read_utf8(expand_home(path), location, advice="Give the annotations of NoCaps, or leave it out.")
    try:
        named = {one_form(image["id"]): str(image["domain"]) for image in parse_json(text)["images"]}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{location}: {path} names no domains ({type(error).__name__}: {error}). It must hold images with id and "
            "domain."
        ) from error
    missing = [number for number in ids.values() if number not in named]
    if missing:
        raise DataError(
            f"{location}: {path}: {len(missing)} of {len(ids)} images have no domain there, the first is "
            f"{missing[0]!r}. Give the file that belongs to the captions."
        )
    return {image: named[number] for image, number in ids.items()}
