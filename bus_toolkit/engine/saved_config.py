"""The config that lies in a checkpoint, compared with the one in use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from bus_toolkit.config import config_text
from bus_toolkit.config.yaml_text import parse_mapping
from bus_toolkit.engine.vocabulary import COUNTING
from bus_toolkit.signatures import at
from bus_toolkit.weights.run_state import read_section

# Where weights and words came from: compared as weights and words, not as paths.
_SOURCES = {"pretrained", "init_cfg", "vocab_file", *COUNTING}
_SECTIONS = ("model", "data_preprocessor")
_ABSENT = object()


def saved_config_text(checkpoint: Mapping[str, Any]) -> str | None:
    """Return the resolved config in a loaded checkpoint, as YAML; ``None`` if it holds none."""
    text = read_section(checkpoint, "config")
    return text if isinstance(text, str) else None


def model_differences(saved: str, cfg: Config, path: str | Path) -> str:
    """Return what the model of ``cfg`` has otherwise than the config in the checkpoint ``path``; empty if nothing.

    Args:
        saved: As :func:`saved_config_text` gives it.
        cfg: The config in use.
        path: The checkpoint's file, for messages about a config in it that cannot be read.
    """
    there, here = parse_mapping(saved, f"{path}: its config"), parse_mapping(config_text(cfg), "config")
    found = [
        f"{place} {_shown(new)} here, {_shown(old)} there"
        for key in _SECTIONS
        for place, old, new in _differences(there.get(key), here.get(key), key)
    ]
    more = f" (and {len(found) - 5} more)" if len(found) > 5 else ""
    return "; ".join(found[:5]) + more


def _differences(old: Any, new: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield path, old and new value of every difference, as deep inside as both have mappings or lists alike."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            if key not in _SOURCES:
                yield from _differences(old.get(key, _ABSENT), new.get(key, _ABSENT), at(path, key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for position, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _differences(one, other, at(path, position))
    elif old != new and not (old in (None, _ABSENT) and new in (None, _ABSENT)):  # null is mostly the default
        yield path, old, new


def _shown(value: Any) -> str:
    if value is _ABSENT:
        return "nothing"
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
