"""The predictions of all heads on a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bus_toolkit.errors import ComponentError, describe
from bus_toolkit.heads.base import VLPHead
from bus_toolkit.models.head_losses import check_images
from bus_toolkit.step.passes import Passes
from bus_toolkit.step.step import Step


def write_predictions(heads: Mapping[str, VLPHead], passes: Passes) -> None:
    """Write every head's predictions, and which patches the own caption kept, into the data samples.

    Raises:
        ComponentError: A head predicts anything but an entry for each sample, or what another head does.
        DataError: A head reads one image a text, and there are more.
    """
    check_images(heads, passes.batch.num_images)
    step, batch = Step(passes), passes.batch
    fields: dict[str, Any] = {}
    owners: dict[str, str] = {}
    for name, head in heads.items():
        predicted = _checked(name, head, head.predict(step), len(batch.samples))
        twice = next((key for key in predicted if key in owners), None)
        if twice is not None:
            raise ComponentError(
                f"model.heads.{name}: {type(head).__name__}.predict gives {twice!r}, as model.heads.{owners[twice]} "
                "does: no metric could know whose it is. Leave one of them out of the evaluated model."
            )
        fields.update(predicted)
        owners.update(dict.fromkeys(predicted, name))
    visual = step.reduced()
    per_image = {"kept": visual.kept_patches()}
    if visual.selections:
        per_image["scores"] = visual.selections[0].decision.scores
    for name, rows in per_image.items():
        # (B * I, N) -> (B, I, N) for several images I a text
        fields.setdefault(name, rows if batch.num_images == 1 else rows.unflatten(0, (-1, batch.num_images)))
    for index, sample in enumerate(batch.samples):
        sample.set_field(visual.grid, "patch_grid", dtype=None)
        for name, values in fields.items():
            if values[index] is not None:
                sample.set_field(values[index], name, dtype=None)


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
