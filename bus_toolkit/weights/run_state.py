"""What the toolkit keeps in a checkpoint beside MMEngine's own entries: named sections under ``meta.bus_toolkit``.

Each section has one writer, which calls :func:`write_section` from ``before_save_checkpoint``, and is read after
loading by :func:`read_section`. A section holds plain data and tensors only, so that reading a checkpoint runs no code.
Sections:

- ``config``: the resolved config of the run, as YAML text;
- ``vocabulary``: the words of the tokenizer with their digest;
- ``batches``: what the schedules were planned for: batch size, processes, accumulation, steps of an epoch;
- ``position``: the place in the data: passes made, batches since then, rows of a batch;
- ``parameters``: the names of the parameters in each group of each optimizer;
- ``hooks``: the state of hooks, by their names;
- ``generators``: the states of the generators of random numbers, of each process;
- ``bad_samples``: for each data set of the training, the rows that could not be used;
- ``progress``: how far the training is, for what is scheduled by it.

``version`` beside them is the number of this form: a program refuses to go on from a checkpoint with a higher one than
it knows. Raise ``VERSION`` where an earlier version would go on wrongly; a section more is no reason.

A checkpoint without a section was written by an earlier version, or by another program.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

KEY = "bus_toolkit"
VERSION = 1
Section = Literal[
    "config", "vocabulary", "batches", "position", "parameters", "hooks", "generators", "bad_samples", "progress"
]


def write_section(checkpoint: dict[str, Any], name: Section, content: Any) -> None:
    """Put a section into a checkpoint that is about to be saved.

    Args:
        checkpoint: The argument of ``before_save_checkpoint``.
        name: The section; a second writer of the same one is a mistake in the code.
        content: Dicts, lists, numbers, texts and tensors.
    """
    sections = checkpoint.setdefault("meta", {}).setdefault(KEY, {"version": VERSION})
    assert name not in sections, f"the section {name!r} of the checkpoint has two writers"
    sections[name] = content


def read_section(checkpoint: Mapping[str, Any], name: Section) -> Any:
    """Return a section of a loaded checkpoint; ``None`` if it has none."""
    meta = checkpoint.get("meta")
    sections = meta.get(KEY) if isinstance(meta, Mapping) else None
    return sections.get(name) if isinstance(sections, Mapping) else None


def version_of(checkpoint: Mapping[str, Any]) -> Any:
    """Return the number of the form of the sections of a loaded checkpoint; 0 if it does not say one."""
    return read_section(checkpoint, "version") or 0  # type: ignore[arg-type]  # it is beside the sections
