"""The expensive check: every sample through its pipeline, in worker processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from torch.utils.data import DataLoader, Dataset

from bus_toolkit.data.datasets.bad_samples import READ_ERRORS, BadSample, LoadingError
from bus_toolkit.data.datasets.base import SampleDataset
from bus_toolkit.data.verify.native_stderr import NativeStderr

# libjpeg writes this when it fills a gap; the warnings of libpng about colour profiles do no harm.
_DAMAGE = "Corrupt JPEG data"


class Outcome(NamedTuple):
    """The result of reading a row: ``kind`` and ``reason`` of its fault, or twice ``None``."""

    row: int
    kind: str | None
    reason: str | None


def read_samples(dataset: Any, rows: Sequence[int], *, workers: int = 0) -> Iterator[Outcome]:
    """Read rows of a data set through its pipeline, in their order, and yield the result of each.

    Rows with boxes are also read as for a ``RegionBatchSampler``, if that gives another sample.

    Args:
        dataset: A ``SampleDataset``, or any data set by index.
        rows: Which.
        workers: Processes that read; 0 reads here.
    """
    loader = DataLoader(_Probe(dataset, rows), batch_size=8, num_workers=workers, collate_fn=list)
    for outcomes in loader:
        yield from outcomes


class _Probe(Dataset):
    def __init__(self, dataset: Any, rows: Sequence[int]) -> None:
        self.dataset, self.rows = dataset, list(rows)
        ours = isinstance(dataset, SampleDataset)
        other = ours and type(dataset).get_region_info is not SampleDataset.get_region_info
        self.region_rows = set(dataset.boxed_indices) if other else set()
        self._stderr: NativeStderr | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Outcome:
        row = self.rows[index]
        self._stderr = self._stderr or NativeStderr()
        try:
            with self._stderr:
                self._read(row)
        except BadSample as error:
            return Outcome(row, "image", error.reason)
        except READ_ERRORS as error:
            return Outcome(row, "image", str(error) or type(error).__name__)
        except LoadingError as error:
            return Outcome(row, "pipeline", str(error))
        except Exception as error:  # a defect of a transform, or data that it was not made for
            return Outcome(row, "pipeline", f"{type(error).__name__}: {error}")
        damage = [line for line in self._stderr.text.splitlines() if _DAMAGE in line]
        if damage:
            return Outcome(row, "image", f"the JPEG is damaged inside, the gap is filled: {damage[0].strip()}")
        return Outcome(row, None, None)

    def _read(self, row: int) -> None:
        if not isinstance(self.dataset, SampleDataset):
            self.dataset[row]
            return
        self.dataset.read(row)
        if row in self.region_rows:
            self.dataset.read(row, region_only=True)
