"""The configs that ship with the toolkit, by name: folder and file without suffix, ``bus/bus_scenes_tiny``."""

from __future__ import annotations

import difflib
from pathlib import Path

_SUFFIX = ".yaml"
_PACKAGE = Path(__file__).parent


def config_folder() -> Path:
    """Return the folder of the shipped configs: inside the package where a wheel put it, else beside it."""
    inside = _PACKAGE / "registry_configs"
    return inside if inside.is_dir() else _PACKAGE.parent / inside.name


def list_configs() -> list[str]:
    """Return the names of all shipped recipes, sorted; :func:`bus_toolkit.load_config` takes each.

    Folders that start with ``_`` hold pieces and studies, which are no recipes.
    """
    return [name for name in _names() if not name.startswith("_")]


def find_shipped(name: str) -> Path | None:
    """Return the file of that name, pieces included (``_base_/runtime``), or ``None``."""
    file = config_folder() / f"{name}{_SUFFIX}"
    is_name = name.count("/") == 1 and file.parent.parent == config_folder() and ".." not in file.parts
    return file if is_name and file.is_file() else None


def nearest_names(path: str) -> str:
    """Return ``" Nearest names: x, y."``, recipes that the end of ``path`` is like, or nothing if none is near."""
    end = "/".join(Path(path.removesuffix(_SUFFIX)).parts[-2:])
    near = difflib.get_close_matches(end, list_configs(), n=3, cutoff=0.7)
    return f" Nearest names: {', '.join(near)}." if near else ""


def _names() -> list[str]:
    folder = config_folder()
    return sorted(p.relative_to(folder).with_suffix("").as_posix() for p in folder.glob(f"*/*{_SUFFIX}"))


def recipe_of(path: str | Path | None) -> str | None:
    """Return the name of the shipped recipe that a config file is, or ``None`` for a file of a user."""
    if not path:
        return None
    file, folder = Path(path).resolve(), config_folder().resolve()
    name = file.relative_to(folder).with_suffix("").as_posix() if file.is_relative_to(folder) else None
    return name if name is not None and find_shipped(name) else None


def figures_on_record(recipe: str) -> list[tuple[str, str, dict[str, float]]]:
    """Return the figures on record of a shipped recipe, and of the others for the same task and data.

    Returns:
        Name of a recipe, data and metrics by name, of each that has figures; the recipe itself first.
    """
    from yaml import safe_load

    found = []
    for file in sorted(config_folder().glob("*/metafile.yml")):
        for model in safe_load(file.read_text(encoding="utf-8"))["Models"]:
            name = Path(model["Config"]).relative_to("registry_configs").with_suffix("").as_posix()
            for result in model["Results"]:
                found.append((name, (result["Task"], result["Dataset"]), result["Metrics"]))
    own = {place for name, place, _ in found if name == recipe}
    rows = [(name, place[1], dict(metrics)) for name, place, metrics in found if place in own and metrics]
    return sorted(rows, key=lambda row: row[0] != recipe)
