"""Captions with boxes: a reader of mmpretrain gives the captions, COCO instances give the boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bus_toolkit.data.annotations.box_share import BoxShare
from bus_toolkit.data.annotations.coco_captions import unreadable_because
from bus_toolkit.data.datasets.base import SampleDataset
from bus_toolkit.data.datasets.regions_of_files import RegionFiles, RegionsOfFiles
from bus_toolkit.data.datasets.regions_of_tables import RegionsOfTables
from bus_toolkit.data.tables.captions import CaptionTable
from bus_toolkit.data.transforms.blind import refuse_blind_transforms
from bus_toolkit.errors import DataError
from bus_toolkit.home import expand_home
from bus_toolkit.registry import DATASETS


@DATASETS.register_module()
class RegionCaptionDataset(SampleDataset):
    """Captions of a reader with the boxes of their images, and which of the boxes each caption names.

    Before the pipeline a sample has the reader's keys (``img_path``, ``text``, ``image_id``, ``text_id``) and, where
    the image has boxes, ``gt_bboxes`` float32 (n, 4), corners in pixels, and ``named`` bool (n,). Slot: ``dataset`` of
    a data loader.

    Args:
        dataset: Config of the reader, e.g. ``mmpretrain.COCORetrieval``; one row a caption.
        pipeline: Transforms; the last one packs. Those that move pixels must move boxes and words too.
        instances_file: COCO instances (``bbox`` as x, y, width, height); ``None`` for no boxes.
        regions_file: JSON, caption id to the ids of the instances it names; captions without an entry have no boxes.
        descriptions_file: Visual Genome's ``region_descriptions.json``, or COCO instances, whose classes are then named
            in a sentence. A row that a ``RegionBatchSampler`` draws for patch-text supervision shows one of its image's
            descriptions, drawn at random each time, instead of its caption, and ``named`` are that description's boxes.
            COPA (arXiv 2308.03475) trains on such texts.
        class_template: That sentence, with ``{name}`` for the class; ``None`` is "This is a {name}."
        table_dir: Folder for tables that are made of the files once, about a minute for a million captions, and then
            mapped into memory, one copy for all processes of a machine; for captions of ``COCORetrieval`` with whole
            numbers as ids, and millions of them. ``None`` reads the files in every process. The samples are the same,
            without keys of the annotations that nothing here reads. Made again when a file changes.
        box_fraction: Share of the images that keep their boxes, in [0, 1]; which ones follows from image id and
            ``box_seed``.
        box_seed: Seed of that choice.
        max_bad_samples: So many unreadable samples are skipped before the run stops; 0 for evaluation, where none may
            be missing.

    Raises:
        DataError: A missing or malformed file, one of the two files alone, a share outside [0, 1], an empty data set,
            or a transform that would tear pixels, boxes and words apart.
    """

    def __init__(
        self,
        dataset: Mapping[str, Any],
        pipeline: Sequence[Mapping[str, Any]] = (),
        *,
        instances_file: str | None = None,
        regions_file: str | None = None,
        descriptions_file: str | None = None,
        class_template: str | None = None,
        table_dir: str | None = None,
        box_fraction: float = 1.0,
        box_seed: int = 0,
        max_bad_samples: int = 10,
    ) -> None:
        name = type(self).__name__
        _check_arguments(name, descriptions_file, class_template)
        if instances_file is not None or descriptions_file is not None:
            refuse_blind_transforms(pipeline, name, "leave out instances_file and regions_file")
        files = RegionFiles(instances_file, regions_file, descriptions_file, class_template)
        share = BoxShare(box_fraction, box_seed, name)
        self._regions: RegionsOfFiles | RegionsOfTables
        if table_dir is None:
            self._regions = RegionsOfFiles(_build_reader(dataset, name), files, share, name)
        else:
            self._regions = RegionsOfTables(_captions(dataset, table_dir, name), files, share, table_dir, name)
        self.reader = self._regions.reader
        super().__init__(pipeline, size=len(self.reader), max_bad_samples=max_bad_samples)

    @property
    def boxed_indices(self) -> Sequence[int] | np.ndarray:  # type: ignore[override]
        """Rows with boxes, for a ``RegionBatchSampler``."""
        return self._regions.boxed_rows

    def get_data_info(self, index: int) -> dict[str, Any]:
        """Return a sample as it enters the pipeline.

        Raises:
            BadSample: The caption names an instance that its image does not have.
        """
        info = dict(self.reader.get_data_info(int(index)))
        self._regions.attach(info)
        return info

    def get_region_info(self, index: int) -> dict[str, Any]:
        """Return the sample of a row that serves patch-text supervision alone: with a description, if there are any."""
        info = self.get_data_info(index)
        descriptions = self._regions.descriptions(info)
        if not descriptions:
            return info
        # From NumPy's global generator, as in the transforms: a training seeds it for each sample.
        text = list(descriptions)[np.random.randint(len(descriptions))]
        # Boxes of the image that this description does not name are its negatives.
        others = info.get("gt_bboxes", np.concatenate(list(descriptions.values())))
        info["text"] = text
        info["gt_bboxes"] = np.concatenate([descriptions[text], others])
        info["named"] = np.arange(len(info["gt_bboxes"])) < len(descriptions[text])
        return info


def _captions(dataset: Mapping[str, Any], table_dir: str, name: str) -> CaptionTable:
    """Return the captions of a node of ``COCORetrieval`` as a table."""
    others = dataset.keys() - {"type", "data_root", "ann_file", "data_prefix"}
    if not str(dataset["type"]).endswith("COCORetrieval") or others:
        raise DataError(
            f"{name}.table_dir: a table is made of what mmpretrain.COCORetrieval reads by data_root, ann_file and "
            f"data_prefix, got {dataset['type']}{' with ' + ', '.join(sorted(others)) if others else ''}. Leave "
            "table_dir out, or the others."
        )
    reader = _build_reader({**dataset, "lazy_init": True}, name)
    return CaptionTable(expand_home(reader.ann_file), table_dir, str(reader.data_prefix["img_path"]), name)


def _check_arguments(name: str, descriptions_file: str | None, class_template: str | None) -> None:
    if class_template is not None and descriptions_file is None:
        raise DataError(
            f"{name}.class_template: has an effect only with COCO instances as descriptions_file, got "
            f"{class_template!r} and no file. Give the file, or leave class_template out."
        )


def _build_reader(dataset: Mapping[str, Any], name: str) -> Any:
    import mmpretrain.datasets  # noqa: F401  # registers the readers

    try:
        return DATASETS.build(dict(dataset))
    except OSError as error:
        raise DataError(
            f"{name}.dataset: cannot read {error.filename or error}: {error.strerror or 'missing'}. "
            "Set data_root and ann_file to the paths of the data."
        ) from error
    except (ValueError, KeyError) as error:
        path = Path(str(dataset.get("data_root") or "")) / str(dataset.get("ann_file") or "")
        if reason := unreadable_because(expand_home(path)):
            raise DataError(f"{name}.dataset.ann_file: {path}: {reason}") from error
        raise DataError(
            f"{name}.dataset: the annotation file is not of the kind that {dataset['type']} reads, or has no captions "
            f"({type(error).__name__}: {error}). Check ann_file."
        ) from error
