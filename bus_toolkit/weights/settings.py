"""Weights that a config names: ``pretrained`` of a part, and ``init_cfg`` of an mmpretrain backbone."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from bus_toolkit.addresses import is_http
from bus_toolkit.errors import ConfigError, Problem
from bus_toolkit.home import expand_home
from bus_toolkit.signatures import did_you_mean
from bus_toolkit.weights.finding import find_layout
from bus_toolkit.weights.fitting import tables_of_part
from bus_toolkit.weights.folders import has_weights
from bus_toolkit.weights.load_rule import LoadRule
from bus_toolkit.weights.loading import load_tensors, with_grid
from bus_toolkit.weights.reading import Source, as_grid, read_tensors
from bus_toolkit.weights.report import LoadReport
from bus_toolkit.weights.table_files import AUTO, IDENTITY, layouts
from bus_toolkit.weights.whole import load_whole

_log = logging.getLogger(__name__)
KEY = "pretrained"
WHOLE = "model"
# Where the modules of the parts are inside a VLPModel; a part comes after the whole model and so wins.
_PLACES = {WHOLE: "", "text_encoder": "text_encoder", "backbone": "backbone.vit", "text_decoder": "text_decoder"}

_READ_WORDS = ("text_encoder", "text_decoder")


@dataclass(frozen=True)
class Pretrained:
    """Weights to start from.

    Attributes:
        checkpoint: A file, or a folder in Hugging Face's layout.
        layout: How its names are to be read: a table's name, ``identity``, or ``auto`` to find it out.
        prefix: What comes before the names that are meant, where the file holds several towers.
        grid: Rows and columns of patches that its positions are of, where the file does not say and they are not of a
            square image.
        new_parts: Paths in the part, or in the whole model, that have no weights in it and start as initialised.
        unused_parts: Paths in the file that have no place in the model and are left out.
    """

    checkpoint: str
    layout: str = AUTO
    prefix: str = ""
    grid: Sequence[int] | None = None
    new_parts: Sequence[str] = ()
    unused_parts: Sequence[str] = ()

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


def checkpoint_of(value: Any) -> str | None:
    """Return the path or address that ``load_from`` names, in either form; ``None`` where it names none."""
    return Pretrained.parse(value).checkpoint if value else None


def load_model(model: nn.Module, source: Source, wanted: Pretrained, rule: LoadRule, location: str = "") -> LoadReport:
    """Load weights into a whole model: those of another library by their layout, others by the model's own names.

    Args:
        model: The model.
        source: The weights that ``wanted`` names.
        wanted: How they are to be read, and what may differ.
        rule: What they are for; the parts that may differ are those of ``wanted``.
        location: The setting, for messages.

    Raises:
        CheckpointError: They do not fit.
    """
    rule = replace(rule, new_parts=wanted.new_parts, unused_parts=wanted.unused_parts)
    source, where = with_grid(source, wanted.grid), location or source.path
    read: dict[str, Any] = {"layout": wanted.layout, "prefix": wanted.prefix}
    if find_layout(source, list(model.state_dict()), **read, location=where) is not None:
        return load_tensors(model, source, part=where, rule=rule, **read)
    return load_whole(model, source.below(wanted.prefix), rule, location)


def load_parts(
    model: nn.Module,
    wanted: Mapping[str, Pretrained],
    copies: Mapping[str, str],
    words: Sequence[str] | None = None,
) -> list[LoadReport]:
    """Load the weights of each part, the whole model's first, and log what became of them.

    Args:
        model: The model.
        wanted: The weights of each part.
        copies: Paths of parts that follow others, by the path of these.
        words: The words of the model's tokenizer; ``None`` compares none.

    Raises:
        CheckpointError: As :func:`bus_toolkit.weights.loading.load_pretrained`; the part in question is untouched.
    """
    reports = []
    for name, place in _PLACES.items():
        if name not in wanted:
            continue
        one, rule = wanted[name], LoadRule(copies=copies, words=words)
        part, source = f"{WHOLE}.{KEY}", read_tensors(one.checkpoint)
        if name == WHOLE:
            report = load_model(model, source, one, rule, part)
        else:
            report = load_tensors(
                model.get_submodule(place),
                with_grid(source, one.grid),
                part=f"{WHOLE}.{name}.{KEY}",
                layout=one.layout,
                prefix=one.prefix,
                tables=tables_of_part(model, place),
                rule=LoadRule(
                    new_parts=one.new_parts,
                    unused_parts=one.unused_parts,
                    words=words if name in _READ_WORDS else None,
                ),
            )
        _log.info(report.summary())
        _log.debug(report.full())
        for text in report.warnings:
            _log.warning("%s: %s", report.part, text)
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
