"""Load weights from elsewhere into a module: all or nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from bus_toolkit.errors import CheckpointError
from bus_toolkit.ops.position_table import PositionTable
from bus_toolkit.weights.comparing import Comparison, compare
from bus_toolkit.weights.finding import Renamed, rename
from bus_toolkit.weights.finite import refuse_nan
from bus_toolkit.weights.fitting import tables_of
from bus_toolkit.weights.layouts import Layout, Target
from bus_toolkit.weights.load_rule import LoadRule
from bus_toolkit.weights.reading import Source, read_tensors
from bus_toolkit.weights.report import LoadReport
from bus_toolkit.weights.table_files import AUTO, IDENTITY, target_of
from bus_toolkit.weights.tower_names import in_names_of
from bus_toolkit.weights.towers import head_problem, tower_notes, tower_problems
from bus_toolkit.weights.words import check_loaded_words

# For modules that no table describes, such as towers of transformers and timm under their own names.
_ANY = Target(
    "module of this class",
    grids=tuple(
        start + name
        for name in ("pos_embed", "embeddings.position_embeddings", "embeddings.position_embedding.weight")
        for start in ("", "*.")
    ),
)


def load_pretrained(
    module: nn.Module,
    path: str | Path,
    *,
    part: str,
    layout: str = AUTO,
    prefix: str = "",
    trusted: bool | None = None,
    grid: Sequence[int] | None = None,
) -> LoadReport:
    """Load the weights at ``path`` into ``module``.

    Everything is compared first: if something does not fit, the module stays bit for bit as it was.

    Args:
        module: What gets the weights.
        path: A checkpoint file, or a folder in Hugging Face's layout.
        part: The module's place, for messages, such as ``model.backbone``.
        layout: Name of a layout in ``weights/tables``, ``identity`` for the module's own names, or ``auto``.
        prefix: What comes before the names that are meant, where a file holds several towers.
        trusted: As in :func:`bus_toolkit.weights.reading.read_tensors`.
        grid: Rows and columns of patches that its positions are of, where the file does not say.

    Raises:
        CheckpointError: The file cannot be read safely, nothing in it is recognised, or it does not fit; the message
            says what differs and what to do.
    """
    source = read_tensors(path, trusted)
    return load_tensors(module, with_grid(source, grid), part=part, layout=layout, prefix=prefix)


def with_grid(source: Source, grid: Sequence[int] | None) -> Source:
    """Return the same tensors, of a grid of patches that is given, if it is."""
    return source if grid is None else replace(source, grids={"": (grid[0], grid[1])})


def load_tensors(
    module: nn.Module,
    source: Source,
    *,
    part: str,
    layout: str = AUTO,
    prefix: str = "",
    tables: Mapping[str, PositionTable] | None = None,
    rule: LoadRule | None = None,
) -> LoadReport:
    """Load tensors into ``module``, as :func:`load_pretrained` does with those of a file.

    Args:
        module: What gets them.
        source: The tensors.
        part: As there.
        layout: As there.
        prefix: As there.
        tables: The module's tables of positions, where it is a part of a backbone that knows them.
        rule: Parts of it that stay as they are, and parts of the source that are left out.

    Raises:
        CheckpointError: As there.
    """
    state = module.state_dict()
    own = list(state)
    source = replace(source, tensors=in_names_of(source.tensors, own))
    check_loaded_words(f"{part}: {source.path}", state, source.words, rule or LoadRule(), f"new_parts of {part}")
    renamed = rename(source, own, layout=layout, prefix=prefix, location=part)
    target = target_of(own) or _ANY
    comparison = compare(module, source, renamed, target, tables_of(module) if tables is None else tables, rule)
    heads = head_problem(module, source.config) if renamed.layout or target is _ANY else None
    if heads:
        comparison.problems.append(heads)
    if renamed.layout:
        comparison.problems += tower_problems(module, source.config, renamed.layout)
    if comparison.problems:
        raise CheckpointError(_misfit(part, source, renamed.layout, comparison))
    refuse_nan(f"{part}: {source.path}", comparison.tensors)
    _copy(module, comparison)
    return _report(module, part, source, renamed, comparison)


def _copy(module: nn.Module, comparison: Comparison) -> None:
    own = module.state_dict()
    with torch.no_grad():
        for name, tensor in comparison.tensors.items():
            own[name].copy_(tensor)


def _report(module: nn.Module, part: str, source: Source, renamed: Renamed, comparison: Comparison) -> LoadReport:
    usual = renamed.layout.activation if renamed.layout else ""
    notes = [*source.notes(), *comparison.notes, *(renamed.layout.notes if renamed.layout else ())]
    return LoadReport(
        source.path,
        part,
        renamed.layout.name if renamed.layout else IDENTITY,
        loaded=list(comparison.tensors),
        resized=comparison.resized,
        missing=comparison.missing,
        unexpected=comparison.unexpected,
        notes=notes,
        warnings=tower_notes(module, source.config, usual),
    )


def _misfit(part: str, source: Source, layout: Layout | None, comparison: Comparison) -> str:
    name = layout.name if layout else IDENTITY
    needs = f" A model for this layout: {layout.needs}." if layout and layout.needs else ""
    advice = f" {_sentence('; '.join(comparison.advice))}." if comparison.advice else ""
    return f"{part}: {source.path} (layout {name}) does not fit: {'; '.join(comparison.problems)}.{advice}{needs}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
