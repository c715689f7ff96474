"""The paper-scale recipes as they resolve; each is loaded once for all tests."""

from __future__ import annotations

from functools import cache

from mmengine.config import Config

from bus_toolkit import load_config


@cache
def config_of(recipe: str) -> Config:
    """Return the resolved config of a recipe, which no test changes."""
    return load_config(recipe)
