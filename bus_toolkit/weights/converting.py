"""Convert a tower's weights from one library's names to another's, and write them whole or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from bus_toolkit.errors import CheckpointError, ConfigError
from bus_toolkit.home import expand_home
from bus_toolkit.ops.position_table import Grid
from bus_toolkit.signatures import did_you_mean
from bus_toolkit.weights.files import grid_to_header
from bus_toolkit.weights.finding import find_tower
from bus_toolkit.weights.layouts import Layout
from bus_toolkit.weights.mapping import from_target
from bus_toolkit.weights.reading import read_tensors
from bus_toolkit.weights.report import LoadReport
from bus_toolkit.weights.safe_pickle import first_line
from bus_toolkit.weights.table_files import AUTO, layouts
from bus_toolkit.weights.tower_names import in_names_of
from bus_toolkit.writing import whole_file

# The names of mmpretrain's own modules, whichever of its classes the tower is of.
MMPRETRAIN = "mmpretrain"
_WHOLE_MODELS = "vlp"
_SHOWN = 3


def tower_layouts() -> dict[str, Layout]:
    """Return the layouts that can be converted: those of towers. Whole models are loaded only."""
    return {name: one for name, one in layouts().items() if one.target != _WHOLE_MODELS}


def convert(
    path: str | Path, to: str, *, source: str = AUTO, prefix: str = "", trusted: bool = False
) -> tuple[dict[str, Tensor], LoadReport]:
    """Return the tensors of ``path`` under the names of the layout ``to``, and what became of each.

    Args:
        path: A checkpoint file, or a folder in Hugging Face's layout.
        to: Name of a layout of towers, or ``mmpretrain``.
        source: Name of the layout that it has, or ``auto``.
        prefix: What comes before the names that are meant, where the file holds several towers.
        trusted: As in :func:`bus_toolkit.weights.reading.read_tensors`.

    Raises:
        ConfigError: No such layout.
        CheckpointError: The file cannot be read safely, nothing in it is recognised, or ``to`` has no names for it.
    """
    known = tower_layouts()
    for flag, name, more in (("--to", to, [MMPRETRAIN]), ("--from", source, [AUTO])):
        if name not in [*known, *more]:
            hint = did_you_mean(name, [*known, *more])
            raise ConfigError(f"{flag}: no layout named {name!r}.{hint} Known: {', '.join([*more, *known])}.")
    held = read_tensors(path, trusted)
    held = replace(held, tensors=in_names_of(held.tensors))
    kinds = {one.target for name, one in known.items() if to == name or (to == MMPRETRAIN and name == one.target)}
    tower = find_tower(held, {n: one for n, one in known.items() if one.target in kinds}, source, prefix)
    assert tower.layout is not None, "find_tower goes by tables"
    layout = known[tower.layout.target if to == MMPRETRAIN else to]
    back = from_target(tower.tensors, layout.rules)
    nameless = [*back.left, *tower.unknown]
    if nameless:
        more_names = f" and {len(nameless) - _SHOWN} more" if len(nameless) > _SHOWN else ""
        raise CheckpointError(
            f"{path}: the layout {layout.name} has no name for {', '.join(nameless[:_SHOWN])}{more_names}. It is of "
            f"{layout.about}. Choose another with --to."
        )
    tensors = {layout.prefix + name: tensor.contiguous().clone() for name, tensor in back.tensors.items()}
    title = f"to {layout.name}"
    grid = next((held.grid_of(tower.origin(name)) for name in tower.tensors), None)
    return tensors, LoadReport(held.path, title, tower.layout.name, list(tensors), unexpected=tower.left, grid=grid)


def write_whole(tensors: dict[str, Tensor], out: str | Path, grid: Grid | None = None) -> None:
    """Write a safetensors file: under another name first, so that there is never half of one.

    Args:
        tensors: By name.
        out: The file.
        grid: Rows and columns of patches that its positions are of, which its header keeps.

    Raises:
        ConfigError: The place cannot be written to.
    """
    out = expand_home(out)
    try:
        with whole_file(out) as temporary:
            save_file(tensors, temporary, metadata={"format": "pt", **grid_to_header(grid)})
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"--out: cannot write {out} ({first_line(error)}). Give a path in another folder.") from error
