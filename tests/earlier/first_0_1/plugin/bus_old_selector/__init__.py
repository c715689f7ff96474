"""A patch selector, as a plugin of bus_toolkit."""

from pathlib import Path

import bus_toolkit
from bus_toolkit.selectors.base import PatchSelector


class BusOldSelector(PatchSelector):
    """Keep the patches with the longest feature vectors. Goes into ``model.selectors``."""

    def score(self, view):
        """Return one number a patch, (B, N); the highest are kept."""
        return view.patches.norm(dim=-1)


@bus_toolkit.hookimpl
def register_components(registries):
    """Make the selector known by its name."""
    registries.selectors.register(BusOldSelector)


@bus_toolkit.hookimpl
def config_folders():
    """Return the folder of ``bus_old_selector.yaml``."""
    return [str(Path(__file__).parent / "configs")]
