"""What weights say of themselves in the header of a safetensors file: progress, words, and grids of positions.

A ``.pth`` has these in its sections (``run_state``) and in torch's metadata. A header holds texts alone, so they are
one JSON text, and come back in the places where a ``.pth`` has them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from bus_toolkit.json_text import dump_json, parse_json
from bus_toolkit.ops.position_table import GRID_KEY
from bus_toolkit.weights.run_state import KEY, VERSION, write_section


def header_of(
    progress: Mapping[str, float], words: Sequence[str] | None, metadata: Mapping[str, Any]
) -> dict[str, str]:
    """Return the header of a file of weights.

    Args:
        progress: ``epoch`` and ``iteration`` of the training; an epoch that is infinite, of a model outside of one, is
            left out.
        words: Of the tokenizer by their ids; ``None`` if they are not known.
        metadata: Of the state dict, by the paths of its modules.
    """
    content: dict[str, Any] = {"version": VERSION}
    if math.isfinite(progress["epoch"]):
        content["progress"] = dict(progress)
    if words is not None:
        content["vocabulary"] = list(words)
    grids = {path: list(noted[GRID_KEY]) for path, noted in metadata.items() if noted.get(GRID_KEY)}
    if grids:
        content["grids"] = grids
    return {KEY: dump_json(content)}  # one entry: safetensors writes several in an order that changes


def sections_in(header: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return ``meta`` of a checkpoint and the metadata of its state dict, as a header says them; empty without any.

    Raises:
        ValueError: It says something else.
    """
    if KEY not in header:
        return {}, {}
    content = parse_json(header[KEY])
    if not isinstance(content, dict):
        raise ValueError(f"its {KEY} is no mapping")
    checkpoint: dict[str, Any] = {}
    progress, words = content.get("progress"), content.get("vocabulary")
    if progress is not None:
        write_section(checkpoint, "progress", _checked_progress(progress))
    if words is not None:
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise ValueError("its vocabulary is no list of words")
        write_section(checkpoint, "vocabulary", words)
    return checkpoint.get("meta", {}), {path: {GRID_KEY: grid} for path, grid in _grids(content).items()}


def _checked_progress(progress: Any) -> dict[str, float]:
    if not isinstance(progress, dict):
        raise ValueError("its progress is no mapping")
    epoch: Any = progress.get("epoch")
    iteration: Any = progress.get("iteration")
    if type(epoch) not in (int, float) or not 0 <= epoch < math.inf or type(iteration) is not int or iteration < 0:
        raise ValueError(f"its progress must be an epoch and an iteration from 0, got {epoch!r:.40}, {iteration!r:.40}")
    return {"epoch": float(epoch), "iteration": iteration}


def _grids(content: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    grids = content.get("grids") or {}
    if not isinstance(grids, dict):
        raise ValueError("its grids are no mapping")
    for grid in grids.values():
        is_pair = isinstance(grid, list) and len(grid) == 2 and all(type(n) is int and 0 < n < 10_000 for n in grid)
        if not is_pair:
            raise ValueError(f"a grid must be two whole numbers, got {grid!r:.40}")
    return {path: (grid[0], grid[1]) for path, grid in grids.items()}
