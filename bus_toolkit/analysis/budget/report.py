"""Write a plan: a table, and a YAML based on the config that it was made for."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from bus_toolkit.analysis.benchmark.results import per_sample, short_tokens
from bus_toolkit.config import dump_yaml, load_config
from bus_toolkit.errors import ConfigError
from bus_toolkit.home import expand_home
from bus_toolkit.registry import plain

_MARK = "# Planned by "
HEADER = f"{_MARK}bus-toolkit plan-budget."


@dataclass(frozen=True)
class Row:
    """One model of the table: ``size`` as people write it, MACs an image, ``ratios`` of its selectors."""

    name: str
    size: str
    num_patches: int
    tokens: Sequence[int]
    ratios: Sequence[float]
    macs: int


def budget_table(rows: Sequence[Row], texts_per_image: int = 1) -> Table:
    """Return the table; the first row is the reference.

    Args:
        rows: Its rows.
        texts_per_image: Of the counted batches; MACs are those of one text.
    """
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, header_style="dim")
    table.add_column("model", overflow="fold")
    cost = f"GMAC {per_sample(texts_per_image)}"
    for column in ("px", "patches", "visual tokens after blocks > decoder", "keep ratio", cost, "ratio"):
        table.add_column(column, justify="left" if column.startswith("visual") else "right", overflow="fold")
    for row in rows:
        ratios = ", ".join(f"{ratio:.4g}" for ratio in row.ratios) or "-"
        figures = [f"{row.macs / 1e9:.3f}", f"{row.macs / rows[0].macs:.4f}"]
        table.add_row(row.name, row.size, str(row.num_patches), short_tokens(row.tokens), ratios, *figures)
    return table


def write_plan(path: Path, base: str, config: Mapping[str, Any], changed: Iterable[str], head: Iterable[str]) -> None:
    """Write a YAML based on the file ``base`` that sets the changed values.

    Args:
        path: The file to write; its folder is made, and an earlier plan is replaced.
        base: The config that was planned for, or ``<plugin>::<file>``.
        config: It, with the changes.
        changed: YAML paths of the changes. Where one leads into a list, the whole list is written: lists are replaced.
        head: Lines that describe the plan, for the top of the file.

    Raises:
        ConfigError: The file is there and no plan, cannot be written, or does not load to ``config``.
    """
    check_target(path)
    data = {"_base_": _base_of(path, base), **_excerpt(config, changed)}
    lines = [HEADER, *(f"# {line}" for line in head), f"# Command: bus-toolkit train {path}"]
    text = "\n".join([*lines, dump_yaml(data)])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--out: cannot write {path}: {error.strerror}. Name a file that you may write.") from error
    if plain(load_config(path).to_dict()) != config:
        raise ConfigError(
            f"{path}: does not load to the planned config: --cfg-options removed something that its base has. Write "
            "these options into a config and plan for that."
        )


def _base_of(path: Path, base: str) -> str:
    if "::" in base or not expand_home(base).is_file():  # of a plugin, or a name
        return base
    return Path(os.path.relpath(expand_home(base).resolve(), path.resolve().parent)).as_posix()


def check_target(path: Path) -> None:
    """Refuse to write over anything but an earlier plan.

    Raises:
        ConfigError: Something else is there.
    """
    if path.is_dir() or path.is_file() and not path.read_bytes().startswith(_MARK.encode()):
        raise ConfigError(f"--out: {path} is there and is no earlier plan. Name another file, or remove it.")


def _excerpt(config: Mapping[str, Any], paths: Iterable[str]) -> dict[str, Any]:
    """Return the parts of ``config`` at ``paths``, nested as in it; a list on the way is taken whole."""
    out: dict[str, Any] = {}
    for path in paths:
        source, target = config, out
        *parents, last = path.split(".")
        for key in parents:
            if not isinstance(source[key], Mapping):
                target[key] = source[key]
                break
            source, target = source[key], target.setdefault(key, {})
        else:
            target[last] = source[last]
    return out
