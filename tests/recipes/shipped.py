"""The recipes as they resolve; each is loaded once for all tests."""

from __future__ import annotations

from functools import cache

from mmengine.config import Config

from bus_toolkit import load_config
from bus_toolkit.shipped import config_folder


@cache
def config_of(recipe: str) -> Config:
    """Return the resolved config of a recipe, which no test changes."""
    return load_config(recipe)


def is_own(recipe: str) -> bool:
    """Return whether a recipe is more than one that pre-trains and one base for a task."""
    return recipe.startswith("bus/") or "_base_/task_" not in (config_folder() / f"{recipe}.yaml").read_text()
