"""Weights that a config names: ``pretrained`` of a part, and ``init_cfg`` of an mmpretrain backbone."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from bus_toolkit.addresses import is_http
from bus_toolkit.errors import ConfigError, Problem
from bus_toolkit.home import expand_home
from bus_toolkit.signatures import did_you_mean
from bus_toolkit.weights.fitting import tables_of
from bus_toolkit.weights.folders import has_weights
from bus_toolkit.weights.loading import load_pretrained
from bus_toolkit.weights.reading import as_grid
from bus_toolkit.weights.report import LoadReport
from bus_toolkit.weights.table_files import AUTO, IDENTITY, layouts

_log = logging.getLogger(__name__)
KEY = "pretrained"
WHOLE = "model"
# Where the modules of the parts are inside a VLPModel; a part comes after the whole model and so wins.
_PLACES = {WHOLE: "", "text_encoder": "text_encoder", "backbone": "backbone.vit", "text_decoder": "text_decoder"}


@dataclass(frozen=True)
class Pretrained:
    """Weights to start from.

    Attributes:
        checkpoint: A file, or a folder in Hugging Face's layout.
        layout: How its names are to be read: a table's name, ``identity``, or ``auto`` to find it out.
        prefix: What comes before the names that are meant, where the file holds several towers.
        grid: Rows and columns of patches that its positions are of, where the file does not say and they are not of a
            square image.
    """

    checkpoint: str
    layout: str = AUTO
    prefix: str = ""
    grid: Sequence[int] | None = None

    @classmethod
    def parse(cls, value: str | Mapping[str, Any]) -> Pretrained:
        """Return what a config says: a path, or a mapping."""
        return cls(value) if isinstance(value, str) else cls(**value)


def take_pretrained(node: Mapping[str, Any], takes: Mapping[str, object]) -> tuple[dict[str, Any], Pretrained | None]:
    """Return the YAML node of a part without the weights it names, and these.

    Args:
        node: The node. ``init_cfg`` of ``type: Pretrained`` is OpenMMLab's form of the same setting.
        takes: Arguments of the part's class; one that takes ``pretrained`` itself is left alone.
    """
    rest, pretrained = dict(node), None
    inits = rest.get("init_cfg")
    listed = [inits] if isinstance(inits, Mapping) else list(inits or [])
    for init in [init for init in listed if init.get("type") == "Pretrained"]:
        pretrained = Pretrained(str(init.get("checkpoint")), prefix=str(init.get("prefix") or ""))
        others = [one for one in listed if one is not init]
        rest.pop("init_cfg")
        if others:
            rest["init_cfg"] = others
    if KEY not in takes and KEY in rest:
        value = rest.pop(KEY)
        pretrained = Pretrained.parse(value) if value is not None else pretrained
    return rest, pretrained


def load_parts(model: nn.Module, wanted: Mapping[str, Pretrained]) -> list[LoadReport]:
    """Load the weights of each part, the whole model's first, and log what became of them.

    Raises:
        CheckpointError: As :func:`bus_toolkit.weights.loading.load_pretrained`; the part in question is untouched.
    """
    reports = []
    for name, place in _PLACES.items():
        if name not in wanted:
            continue
        one = wanted[name]
        start = f"{place}." if place else ""
        tables = {n[len(start) :]: table for n, table in tables_of(model).items() if n.startswith(start)}
        part = f"{WHOLE}.{KEY}" if name == WHOLE else f"{WHOLE}.{name}.{KEY}"
        report = load_pretrained(
            model.get_submodule(place),
            one.checkpoint,
            part=part,
            layout=one.layout,
            prefix=one.prefix,
            grid=one.grid,
            tables=tables,
        )
        _log.info(report.summary())
        _log.debug(report.full())
        reports.append(report)
    return reports


def check_files(model: Mapping[str, Any]) -> None:
    """Refuse a config's ``model`` whose weights are not there; for the start of a training.

    Raises:
        ConfigError: A file or folder is missing or holds no weights; all such places at once.
    """
    problems = []
    for name in _PLACES:
        node = model if name == WHOLE else model.get(name)
        location = f"{WHOLE}.{KEY}" if name == WHOLE else f"{WHOLE}.{name}.{KEY}"
        value = take_pretrained(node, {})[1] if isinstance(node, Mapping) else None
        path = expand_home(value.checkpoint) if value and not is_http(value.checkpoint) else None
        if path is not None and not (path.is_file() or (path.is_dir() and has_weights(path))):
            reason = "holds no weights" if path.is_dir() else "is not there"
            problems.append(Problem(location, f"{path} {reason}. Give a file, or a folder in Hugging Face's layout."))
    if problems:
        raise ConfigError(problems)


def setting_problems(node: Mapping[str, Any], path: str) -> Sequence[Problem]:
    """Return what is wrong with the values of a ``pretrained`` mapping at ``path`` of a config."""
    problems = []
    layout = node.get("layout", AUTO)
    known = [AUTO, IDENTITY, *layouts()]
    if layout not in known:
        hint = did_you_mean(str(layout), known)
        problems.append(Problem(f"{path}.layout", f"no layout named {layout!r}.{hint} Known: {', '.join(known)}."))
    grid = node.get("grid")
    if grid is not None and as_grid(grid) is None:
        problems.append(Problem(f"{path}.grid", f"must be rows and columns of patches, got {grid!r}. Write [4, 16]."))
    return problems
