"""Pictures of random samples of a config's data, as its training gets them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bus_toolkit.data.datasets.seeded_samples import SeededSamples
from bus_toolkit.data.datasets.texts_of_image import texts_of
from bus_toolkit.data.samplers.numbered import Draw
from bus_toolkit.data.samplers.region_batch_sampler import RegionRow
from bus_toolkit.draws import derived_seed
from bus_toolkit.errors import ConfigError, DataError
from bus_toolkit.heads.patch_text import PatchTextHead
from bus_toolkit.registry import DATASETS, plain
from bus_toolkit.visualization.sample_sheet import draw_samples
from bus_toolkit.visualization.samples import SamplePicture

_HEADINGS = {
    "ReferringExpressions": "expression",
    "QuestionAnswers": "question",
    "Statements": "statement",
    "NLVRDataset": "statement",
}


def browse(
    node: Mapping[str, Any],
    folder: Path,
    *,
    num: int = 12,
    seed: int = 0,
    region_rows: bool = False,
    patch_size: int | None = None,
    overlap: float = 0.0,
) -> list[Path]:
    """Draw random samples of a data set after its pipeline; return the sheet of all, then a file each.

    A bad sample has another one in its place, as in training. The same seed draws the same samples, transforms
    included. An image with several texts (``TextsOfImage``) is drawn once for each.

    Args:
        node: The ``dataset`` of a data loader.
        folder: Where ``samples.png`` and ``sample_<row>.png`` go; it is made if missing.
        num: Number of samples.
        seed: Seed of choice and transforms.
        region_rows: Draw rows as a ``RegionBatchSampler`` appends them.
        patch_size: Side of a patch in pixels, to shade patch labels; ``None`` for none.
        overlap: As in ``PatchTextHead``.

    Raises:
        DataError: The data cannot be read, or no image has boxes and ``region_rows`` asks for such.
    """
    dataset = DATASETS.build(plain(node))
    rows = list(dataset.boxed_indices) if region_rows else list(range(len(dataset)))
    if not rows:
        raise DataError("browse: no image of the data set has boxes to draw region rows from. Leave --region-rows out.")
    chosen = sorted(np.random.default_rng(seed).choice(rows, min(num, len(rows)), replace=False).tolist())
    heading = "description" if region_rows else _heading(dataset)
    samples = SeededSamples(dataset)
    packed = [samples[Draw(RegionRow(row) if region_rows else row, derived_seed(seed, row))] for row in chosen]
    sheets = [
        [
            SamplePicture.from_packed(
                {**sample, "data_samples": text}, heading=heading, patch_size=patch_size, overlap=overlap
            )
            for text in texts_of(sample["data_samples"])
        ]
        for sample in packed
    ]
    try:
        written = [draw_samples([picture for sheet in sheets for picture in sheet], folder / "samples.png")]
        for row, sheet in zip(chosen, sheets, strict=True):
            written.append(draw_samples(sheet, folder / f"sample_{row:06d}.png", columns=1, side=5.0))
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be written: {error.strerror}. Choose a folder that you may write to."
        ) from error
    return written


def patch_labels_of(config: Mapping[str, Any]) -> tuple[int | None, float]:
    """Return patch size and ``overlap`` of the config's patch-text head; no size where it has no such head.

    Raises:
        ConfigError: The model cannot be built.
    """
    from bus_toolkit.models.build import build_model

    heads = (config.get("model") or {}).get("heads") or {}
    if not any(isinstance(head, Mapping) and head.get("type") == "PatchTextHead" for head in heads.values()):
        return None, 0.0
    with torch.device("meta"):
        model = build_model(config)
    for head in model.heads.values():
        if isinstance(head, PatchTextHead):
            return head.patch_size, head.overlap
    raise ConfigError("model.heads: the patch-text head was not built. Set --patch-size.")


def _heading(dataset: Any) -> str:
    """Return the name for the texts of a data set, looking into wrappers."""
    while type(dataset).__name__ not in _HEADINGS and hasattr(dataset, "dataset"):
        dataset = dataset.dataset
    return _HEADINGS.get(type(dataset).__name__, "caption")
