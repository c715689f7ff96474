"""All checks of a data set, cheap ones first: its files, its rows, then its samples through the pipeline."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from bus_toolkit.data.datasets.base import SampleDataset
from bus_toolkit.data.leaves import chosen_rows, leaves
from bus_toolkit.data.shards.shard_dataset import ShardDataset
from bus_toolkit.data.text_survey import TextLimits, TextSurvey
from bus_toolkit.data.verify.files import report_file_faults
from bus_toolkit.data.verify.report import EnoughFaults, Fault, Report
from bus_toolkit.data.verify.rows import RowChecker
from bus_toolkit.data.verify.samples import read_samples
from bus_toolkit.data.verify.shards import without_broken_shards
from bus_toolkit.data.verify.texts import report_texts
from bus_toolkit.errors import DataError
from bus_toolkit.registry import DATASETS
from bus_toolkit.tokenizers.base import TextTokenizer

Watch = Callable[[Iterable[Any], int, str], Iterable[Any]]


def verify_dataset(
    node: Mapping[str, Any],
    tokenizer: TextTokenizer | None = None,
    *,
    limits: TextLimits | None = None,
    max_faults: int = 100,
    sample: int | None = None,
    seed: int = 0,
    workers: int = 0,
    watch: Watch = lambda items, total, name: items,
) -> Report:
    """Read everything that a config's data set would give a training, and report each fault.

    Wrappers are looked through: of ``CaptionedImages``, ``SceneTask``, ``MixedSources`` and concatenations the data
    sets inside are read, row by row. A picture with several captions is read with each of them.

    Args:
        node: The ``dataset`` of a data loader.
        tokenizer: That of the model, to count the texts that it cuts and the words that it does not know; one of our
            ``TextTokenizer``.
        limits: The shares of these that a training refuses; ``None`` for the usual ones.
        max_faults: It stops after so many.
        sample: So many rows, drawn at random, go through the pipeline; of shards no others are read at all. ``None``
            for all.
        seed: Seed of that draw.
        workers: Processes that read images.
        watch: Wraps an iterable to show progress; takes the iterable, its length and a name for the items.

    Raises:
        DataError: The config names no file that is there.
    """
    report = Report(max_faults)
    survey = TextSurvey(tokenizer) if isinstance(tokenizer, TextTokenizer) else None
    try:
        report_file_faults(node, report)
        lenient = _without_limit(without_broken_shards(node, report))
        try:
            dataset = DATASETS.build(lenient)
        except DataError as error:
            # The check of the files has named all of these faults; this error names the first one alone.
            if not report.faults:
                report.add(Fault("file", "", str(error)))
            report.count("data sets that cannot be built")
            return report
        for leaf in leaves(dataset):
            _verify_leaf(leaf, chosen_rows(len(leaf), sample, seed), survey, report, workers, watch)
    except EnoughFaults:
        pass
    if survey is not None:
        report_texts(survey, limits or TextLimits(), report)
    if report.counts.get("images"):
        report.counts["share of images with boxes"] = report.counts["images with boxes"] / report.counts["images"]
    return report


def _verify_leaf(
    leaf: Any, rows: list[int], survey: TextSurvey | None, report: Report, workers: int, watch: Watch
) -> None:
    if hasattr(leaf, "get_data_info"):
        cheap = rows if isinstance(leaf, ShardDataset) else range(len(leaf))
        good = set(RowChecker(leaf, survey, report).check(watch(cheap, len(cheap), "rows")))
        rows = [row for row in rows if row in good]
    for outcome in watch(read_samples(leaf, rows, workers=workers), len(rows), "samples"):
        report.count("samples read through the pipeline")
        if outcome.kind is not None:
            location, text_id = _place(leaf, outcome.row)
            report.add(Fault(outcome.kind, location, str(outcome.reason), outcome.row, text_id))


def _place(leaf: Any, row: int) -> tuple[str, Any]:
    info = leaf.get_data_info(row) if hasattr(leaf, "get_data_info") else {}
    return str(info.get("img_path", type(leaf).__name__)), info.get("ori_id", info.get("text_id"))


def _without_limit(node: Any) -> Any:
    """Return a config node whose data sets stop at no number of bad samples: all are to be named."""
    if isinstance(node, list):
        return [_without_limit(item) for item in node]
    if not isinstance(node, Mapping):
        return node
    copy = {key: _without_limit(value) for key, value in node.items()}
    cls: Any = DATASETS.get(copy["type"]) if isinstance(copy.get("type"), str) else None
    if _is_ours(cls) and "max_bad_samples" in inspect.signature(cls).parameters:
        copy["max_bad_samples"] = sys.maxsize
    return copy


def _is_ours(cls: Any) -> bool:
    return inspect.isclass(cls) and issubclass(cls, SampleDataset)
