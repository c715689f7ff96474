"""Which peers are installed, and single files of packages that cannot be imported as a whole."""

from __future__ import annotations

import importlib.util
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType


def installed(distribution: str) -> str | None:
    """Return the version of a distribution, or ``None``."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def load_file(package: str, path: str) -> ModuleType:
    """Run one file of a package without the package's ``__init__``, which may import what is not installed."""
    root = importlib.util.find_spec(package)
    assert root is not None and root.submodule_search_locations
    name = f"parity_{package}_{Path(path).stem}"
    spec = importlib.util.spec_from_file_location(name, Path(root.submodule_search_locations[0]) / path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
