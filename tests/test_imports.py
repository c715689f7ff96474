"""Imports go one way, and only the adapters know the hosts."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "bus_toolkit"
PARTS = ("selectors", "backbones", "decoders", "text_encoders", "fusion", "text_decoders", "heads")
# A module imports from lower layers and its own folder only; builtins and plugins put everything together.
LAYERS = [
    {"errors", "hookspecs", "signatures"},
    {"structures", "ops", "losses", "cli"},
    {*PARTS, "registry", "weights"},
    {"models", "data"},
    {"config", "plugins", "visualization", "analysis"},
    {"engine", "evaluation", "inference"},
    {"builtins", "testing", "scaffold", "study", "openmmlab", "cli_commands"},
]
TOP = {"__init__", "__main__"}
OPENMMLAB = {"mmengine", "mmcv", "mmpretrain"}
MAY_USE_OPENMMLAB = {"registry", "weights", "config", "models", "backbones", "data", "engine", "evaluation", "analysis"}
MAY_USE_TRANSFORMERS = {"text_encoders", "text_decoders", "backbones"}
FILES = sorted(PACKAGE.rglob("*.py"))


def _folder(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _layer(folder):
    return next(i for i, layer in enumerate(LAYERS) if folder in layer)


def _imported(path):
    """Yield every module name that ``path`` imports at run time, at the top or inside a function."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names if node.module == "bus_toolkit" else [None]:
                yield node.module if alias is None else f"bus_toolkit.{alias.name}"
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_one_way(path):
    folder = _folder(path)
    for name in _imported(path):
        parts = name.split(".")
        if parts[0] in OPENMMLAB:
            assert folder in MAY_USE_OPENMMLAB, f"{path} imports {name}"
        if parts[0] == "transformers":
            assert folder in MAY_USE_TRANSFORMERS, f"{path} imports {name}"
        if parts[0] != "bus_toolkit" or len(parts) == 1 or folder in TOP or parts[1] in ("hookimpl", "__version__"):
            continue
        if (folder, parts[1]) == ("plugins", "builtins") or (folder, parts[1]) == ("registry", "plugins"):
            continue  # the registries fill themselves on the first look-up
        assert parts[1] == folder or _layer(parts[1]) <= _layer(folder), f"{path} imports {name}"


def test_importing_the_package_loads_no_host():
    hosts = sorted(OPENMMLAB | {"torch", "transformers"})
    code = f"import sys, bus_toolkit; print([name for name in {hosts} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    assert done.stdout.strip() == "[]"


def test_public_names_are_found():
    import bus_toolkit

    assert all(getattr(bus_toolkit, name) is not None for name in bus_toolkit.__all__)
    with pytest.raises(AttributeError, match="no attribute 'load_confg'"):
        _ = bus_toolkit.load_confg
