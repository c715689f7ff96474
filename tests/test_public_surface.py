"""What a plugin author imports is exported one level deep, and our own plugins and documents import nothing deeper."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import bus_toolkit

ROOT = Path(__file__).parents[1]
DEEP = re.compile(r"(?:from|import)\s+bus_toolkit\.\w+\.\w+")
PACKAGES = sorted(set(dir(bus_toolkit)) - set(bus_toolkit.__all__))
OUTSIDE = [
    *(ROOT / "plugins").rglob("*.py"),
    *(ROOT / "plugins").rglob("*.md"),
    *(ROOT / "bus_toolkit" / "plugin" / "scaffold" / "files").glob("*.txt"),
    *(ROOT / "registry_configs").rglob("*.md"),
    *(ROOT / "registry_configs").rglob("*.py"),
    *(ROOT / "tools").rglob("*.md"),
    ROOT / "README.md",
    ROOT / "bus_toolkit/README.md",
]


@pytest.mark.parametrize("path", OUTSIDE, ids=lambda path: str(path.relative_to(ROOT)))
def test_plugins_and_documents_import_one_level_deep(path):
    assert DEEP.findall(path.read_text()) == []


@pytest.mark.parametrize("name", PACKAGES)
def test_every_exported_name_exists(name):
    module = importlib.import_module(f"bus_toolkit.{name}")
    assert module.__doc__
    exported = getattr(module, "__all__", [])
    assert all(hasattr(module, item) for item in exported)
    assert list(exported) == sorted(exported)


def test_dir_lists_the_public_names_alone():
    assert {"load_config", "build_model", "Inferencer", "selectors", "ops", "heads"} <= set(dir(bus_toolkit))
    assert not {"Any", "TYPE_CHECKING", "annotations"} & set(dir(bus_toolkit))


def test_packages_are_reached_as_attributes():
    code = "import bus_toolkit; print(bus_toolkit.ops.keep_plan.__name__, bus_toolkit.selectors.PatchSelector.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == ["keep_plan", "PatchSelector"]
