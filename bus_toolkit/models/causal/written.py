"""The predictions of a causal vision-language model on a batch."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from bus_toolkit.errors import ComponentError
from bus_toolkit.models.causal.patch_supervision import on_patches, trainable
from bus_toolkit.models.causal.sight import SeenImages, Sight
from bus_toolkit.models.causal.tasks import Task
from bus_toolkit.step.batch import Batch


def write_fields(model: Any, batch: Batch, wanted: Collection[str] | None) -> None:
    """Ask the tasks of a model, and write what comes of it into the data samples.

    Args:
        model: A ``CausalVLM``.
        batch: Images and data samples.
        wanted: Names of what is read; tasks that give none of it are not asked. ``None`` for all.

    Raises:
        ComponentError: Two tasks give the same field.
    """
    tasks = _asked(model.tasks, wanted)
    seen = model.look(batch.images)
    for number, task in enumerate(tasks.values()):
        sight, texts = _written(model, task, batch, seen)
        size = (batch.images.shape[2], batch.images.shape[3])
        for sample, text in zip(batch.samples, texts, strict=True):
            _set(sample, task.fields(text, size), wanted)
        if not number:
            rows = _patches(model, sight, batch)
            for index, sample in enumerate(batch.samples):
                _set(sample, {name: values[index] for name, values in rows.items()}, wanted)


def _asked(tasks: Mapping[str, Task], wanted: Collection[str] | None) -> dict[str, Task]:
    asked = {name: task for name, task in tasks.items() if wanted is None or set(task.predicts) & set(wanted)}
    owners: dict[str, str] = {}
    for name, task in asked.items():
        for field in task.predicts:
            if owners.setdefault(field, name) != name:
                raise ComponentError(
                    f"model.tasks.{name}: it gives {field!r}, as model.tasks.{owners[field]} does: no metric could "
                    "know whose it is. Leave one of them out of the evaluated model."
                )
    # Which patches are kept follows from a question, whether or not its answer is read.
    return asked or dict(list(tasks.items())[:1])


def _written(model: Any, task: Task, batch: Batch, seen: SeenImages) -> tuple[Sight, list[str]]:
    """Return what the images are to the language model, and an answer in words to each row."""
    size = (batch.images.shape[2], batch.images.shape[3])
    dialogs = [task.dialog(sample, size) for sample in batch.samples]
    rows = model.dialogs.rows([[*dialog[:-1], dialog[-1]._replace(answer=None)] for dialog in dialogs])
    sight = model.sight(seen, rows)
    prompts = model.prompts(rows, sight, left=True)
    ids = model.reader.write(prompts, sight, model.writing, model.vocabulary)
    if model.writing.num_beams > 1:
        model.reader.read(prompts, sight)  # the selections on each row once
    return sight, [model.tokenizer.decode(row) for row in ids.tolist()]


def _patches(model: Any, sight: Sight, batch: Batch) -> dict[str, Sequence[Any]]:
    """Return which patches are left at the end, the scores of the first selector, and the grid, an entry a sample."""
    decided = on_patches(sight.visual, model.reader.selection.selections())
    fields: dict[str, Any] = {
        "patch_grid": [sight.visual.grid] * len(batch.samples),
        "kept": replace(sight.visual, selections=decided).kept_patches(),
    }
    if decided:
        fields["scores"] = decided[0].patch_scores()
    trained = trainable(decided)
    if model.patch_text is not None and trained:
        fields |= model.patch_text.fields_of(trained[0].of_patches(gone=-torch.inf), batch.all_boxes)
    return fields


def _set(sample: Any, values: Mapping[str, Any], wanted: Collection[str] | None) -> None:
    for name, value in values.items():
        if value is not None and (wanted is None or name in wanted):
            sample.set_field(value, name, dtype=None)
