"""Images in classes, each with its label and the name of its class: ImageNet, and a folder a class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bus_toolkit.data.datasets.base import SampleDataset
from bus_toolkit.errors import DataError
from bus_toolkit.home import expand_home
from bus_toolkit.registry import DATASETS
from bus_toolkit.text_files import read_utf8, split_lines


@DATASETS.register_module()
class LabelledImages(SampleDataset):
    """Images of a classification data set of mmpretrain, with the names of the classes.

    Before the pipeline a sample has ``img_path``, ``gt_label``, ``image_id`` and ``text_id`` (its row) and ``text``,
    the name of its class. ``metainfo["classes"]`` are all names, which a ``ZeroShotLoop`` compares images with. Slot:
    ``dataset`` of a data loader.

    Args:
        dataset: Config of the reader: ``{type: mmpretrain.ImageNet, data_root: ..., split: val}``, or
            ``{type: mmpretrain.CustomDataset, data_root: ...}`` for one folder a class, in order of their names.
            Folders that are all named by numbers are in the order of these, 2 before 10 (ours; the reader's is that of
            text, in which ImageNetV2's folders 0 to 999 are not the classes of their numbers).
        class_names: The names in the order of the labels, as a list or in a file with one a line; or by label (as
            text), those that replace the reader's own. ``None`` for the reader's own: of ``CustomDataset`` the names
            of the folders.
        pipeline: Transforms; the last one packs.
        max_bad_samples: So many unreadable samples are skipped before the run stops; 0 for evaluation, where none may
            be missing.

    Raises:
        DataError: A missing folder or file, no image, no names, or another number of names than there are classes.
    """

    def __init__(
        self,
        dataset: Mapping[str, Any],
        pipeline: Sequence[Mapping[str, Any]] = (),
        *,
        class_names: str | Sequence[str] | Mapping[str, str] | None = None,
        max_bad_samples: int = 10,
    ) -> None:
        self.reader = _build_reader(dataset, f"{type(self).__name__}.dataset")
        self._folders = dict(getattr(self.reader, "folder_to_idx", {}))
        self._labels = _numbered(self._folders)
        self.class_names = self._names(class_names)
        super().__init__(pipeline, size=len(self.reader), max_bad_samples=max_bad_samples)

    @property
    def metainfo(self) -> dict[str, Any]:
        """Facts about the data that MMEngine hands on to metrics and visualizers, with the names of the classes."""
        return {**super().metainfo, "classes": self.class_names}

    def get_data_info(self, index: int) -> dict[str, Any]:
        """Return a sample as it enters the pipeline."""
        row = int(index)
        info = self.reader.get_data_info(row)
        label = self._label(info["gt_label"])
        return {
            "img_path": info["img_path"],
            "gt_label": label,
            "text": self.class_names[label],
            "image_id": row,
            "text_id": row,
        }

    def _label(self, label: Any) -> int:
        """Return the label here of one of the reader."""
        return self._labels.get(int(label), int(label))

    def _own_names(self) -> list[str]:
        """Return the names that the reader states, in the order of the labels here."""
        own = list(self.reader.metainfo.get("classes") or ())
        return sorted(own, key=int) if self._labels and own == list(self._folders) else own

    def _names(self, given: str | Sequence[str] | Mapping[str, str] | None) -> list[str]:
        setting = f"{type(self).__name__}.class_names"
        if given is None or isinstance(given, Mapping):
            own = self._own_names()
            renamed = dict(given or {})
            names = [renamed.pop(str(label), name) for label, name in enumerate(own)]
            if renamed:
                raise DataError(f"{setting}: labels are 0 to {len(own) - 1}, got {next(iter(renamed))!r}. Correct it.")
        elif isinstance(given, str):
            lines = [line.strip() for line in split_lines(read_utf8(expand_home(given), setting))]
            names = [line for line in lines if line]
        else:
            names = list(given)
        stated = len(self._own_names())
        if stated and len(names) != stated:
            raise DataError(
                f"{setting}: needs {stated} names, one for each class of the reader, got {len(names)}. If a class "
                "has no image, make an empty folder for it: without it, the labels after it would be wrong."
            )
        first = self.reader.get_data_info(0)
        if not {"img_path", "gt_label"} <= first.keys():
            raise DataError(
                f"{type(self).__name__}.dataset: must give the path and the label of each image, got "
                f"{', '.join(first)}. Use mmpretrain.ImageNet, or mmpretrain.CustomDataset with one folder a class."
            )
        largest = max(self._label(label) for label in self.reader.get_gt_labels())
        if len(names) <= largest:
            raise DataError(
                f"{setting}: needs {largest + 1} names, one for each label, got {len(names)}. Name all classes in the "
                "order of the labels."
            )
        return names


def _numbered(folders: Mapping[str, int]) -> dict[int, int]:
    """Return the label of each folder's number by the label of its text, given folders that are all numbers."""
    if not all(name.isdecimal() for name in folders):
        return {}
    return {folders[name]: label for label, name in enumerate(sorted(folders, key=int))}


def _build_reader(dataset: Mapping[str, Any], location: str) -> Any:
    import mmpretrain.datasets  # noqa: F401  # registers the readers

    try:
        return DATASETS.build(dict(dataset))
    except OSError as error:
        raise DataError(
            f"{location}: cannot read {error.filename or error}: {error.strerror or 'missing'}. Set data_root to the "
            "folder that holds a folder for each class."
        ) from error
    except (RuntimeError, AssertionError, ValueError) as error:  # no image, other classes than folders, a bad line
        raise DataError(
            f"{location}: not the files that {dataset['type']} reads ({error}). Check data_root and split."
        ) from error
