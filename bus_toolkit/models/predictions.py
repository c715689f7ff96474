"""The predictions of all heads on a batch."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch

from bus_toolkit.declarations import declared
from bus_toolkit.errors import ComponentError, describe
from bus_toolkit.heads.base import VLPHead
from bus_toolkit.models.head_losses import check_images
from bus_toolkit.step.passes import Passes
from bus_toolkit.step.step import Step

PATCH_FIELDS = ("patch_grid", "kept", "scores")
"""What the model predicts beside its heads."""
STAGE_FIELDS = ("kept_stages", "stage_blocks")
"""What is left after each selector, bool (stages, N), and the blocks of these; only for what names them."""


def write_predictions(heads: Mapping[str, VLPHead], passes: Passes, wanted: Collection[str] | None = None) -> None:
    """Write the heads' predictions, and which patches the own caption kept, into the data samples.

    Args:
        heads: By name.
        passes: The encodings of the batch.
        wanted: Names of what is read; heads that give none of it do not run. ``None`` for all.

    Raises:
        ComponentError: A head predicts anything but an entry for each sample, or what another head does.
        DataError: A head reads one image a text, and there are more.
    """
    check_images(heads, passes.batch.num_images)
    batch = passes.batch
    fields: dict[str, Any] = {}
    owners: dict[str, str] = {}
    for name, head in heads.items():
        given = declared(head, "predicts", "predict")
        if given is not None and wanted is not None and not any(field in wanted for field in given):
            continue
        # What a head does not declare may depend on anything that it computes.
        step = Step(passes, wanted=wanted if given is not None else None)
        predicted = _checked(name, head, head.predict(step), len(batch.samples))
        twice = next((key for key in predicted if key in owners), None)
        if twice is not None:
            raise ComponentError(
                f"model.heads.{name}: {type(head).__name__}.predict gives {twice!r}, as model.heads.{owners[twice]} "
                "does: no metric could know whose it is. Leave one of them out of the evaluated model."
            )
        fields.update(predicted)
        owners.update(dict.fromkeys(predicted, name))
    fields = {**_patches(passes, wanted), **fields}
    for index, sample in enumerate(batch.samples):
        for name, values in fields.items():
            if values[index] is not None:
                sample.set_field(values[index], name, dtype=None)


def _patches(passes: Passes, wanted: Collection[str] | None) -> dict[str, Any]:
    """Return which patches the own caption kept, the first selector's scores and the patch grid, an entry a sample."""
    if wanted is not None and not any(name in wanted for name in PATCH_FIELDS):
        return {}
    visual, count = Step(passes).reduced(), passes.batch.num_images
    by_stage = visual.kept_by_stage()
    per_image = {"kept": by_stage[-1]}
    if visual.selections:
        per_image["scores"] = visual.selections[0].decision.scores
    if visual.selections and wanted is not None and "kept_stages" in wanted:
        per_image["kept_stages"] = torch.stack(by_stage[1:], dim=1)  # (B, stages, N)
    # (B * I, N) -> (B, I, N) for several images I a text
    rows: dict[str, Any] = {
        name: values if count == 1 else values.unflatten(0, (-1, count)) for name, values in per_image.items()
    }
    samples = len(passes.batch.samples)
    if "kept_stages" in rows:
        rows["stage_blocks"] = [[selection.block for selection in visual.selections]] * samples
    return {"patch_grid": [visual.grid] * samples, **rows}


def _checked(name: str, head: VLPHead, predicted: Any, num_samples: int) -> Mapping[str, Any]:
    """Return what a head predicts, if it is an entry for each sample."""
    path = f"model.heads.{name}: {type(head).__name__}.predict"
    if not isinstance(predicted, Mapping):
        raise ComponentError(f"{path} must return a dict, got {describe(predicted)}. Return {{}} for no predictions.")
    for key, values in predicted.items():
        got = len(values) if hasattr(values, "__len__") else describe(values)
        if got != num_samples:
            raise ComponentError(
                f"{path} must return an entry for each of the {num_samples} samples, got {got} for {key!r}. Return a "
                "list or a tensor with one row a sample, None where there is nothing."
            )
    return predicted
