"""Rows of the training data that no head of the model reads: found before anything is built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bus_toolkit.errors import Problem
from bus_toolkit.registry import REGISTRIES
from bus_toolkit.signatures import did_you_mean

_LOADER = "train_dataloader"


def row_problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong between the rows of ``train_dataloader`` and ``model.heads``.

    A ``RegionBatchSampler`` appends rows for patch-text supervision, which without a head that reads them cost a pass
    through the backbone for nothing; a source of ``MixedSources`` may name heads that there are not.
    """
    loader, heads = config.get(_LOADER) or {}, config["model"]["heads"]
    if rows := rows_without_head(config):
        text = (
            f"appends {rows} rows for patch-text supervision to each batch, and no head reads them; model.heads has "
            f"{', '.join(heads)}. Set it to 0, or add model.heads.ptm: {{type: PatchTextHead}}."
        )
        yield Problem(f"{_LOADER}.batch_sampler.region_batch_size", text)
    for source, node in _sources(loader.get("dataset")).items():
        for name in node.get("objectives") or () if isinstance(node, Mapping) else ():
            if name not in heads:
                text = (
                    f"no head is named {name!r}.{did_you_mean(str(name), heads)} model.heads has {', '.join(heads)}. "
                    "Correct the name, or leave the source out."
                )
                yield Problem(f"{_LOADER}.dataset.sources.{source}.objectives", text)


def _sources(dataset: Any) -> Mapping[str, Any]:
    """Return the sources of a data set that has some; what else is there is reported by the check of its kind."""
    sources = dataset.get("sources") if isinstance(dataset, Mapping) else None
    return sources if isinstance(sources, Mapping) else {}


def rows_without_head(config: Mapping[str, Any]) -> int:
    """Return how many rows for patch-text supervision each batch has that no head reads."""
    sampler = (config.get(_LOADER) or {}).get("batch_sampler")
    rows: int = sampler.get("region_batch_size", 0) if isinstance(sampler, Mapping) else 0
    heads = config["model"]["heads"].values()
    return 0 if any(_reads_boxes(REGISTRIES.heads.get(node["type"]).cls) for node in heads) else rows


def _reads_boxes(kind: Any) -> bool:
    from bus_toolkit.heads.base import VLPHead

    return isinstance(kind, type) and issubclass(kind, VLPHead) and kind.needs_supervised_scores
