"""Write a new plugin that installs and passes the conformance kit at once."""

from __future__ import annotations

import importlib.util
import keyword
import shutil
import sys
import tempfile
from pathlib import Path
from string import Template

from bus_toolkit.errors import PluginError
from bus_toolkit.plugin.scaffold.kinds import KINDS

_FILES = Path(__file__).parent / "files"


def new_plugin(name: str, kind: str, folder: str | Path = "plugins") -> Path:
    """Write a distribution with one component of a kind into ``folder/name``; whole, or not at all.

    Args:
        name: Name of the distribution, its module and its entry point.
        kind: One of ``KINDS``.
        folder: Where to put it; made if missing.

    Returns:
        The folder of the distribution.

    Raises:
        PluginError: A name that is no module name or that an installed module has, an unknown kind, a folder that
            exists or cannot be written.
    """
    if kind not in KINDS:
        raise PluginError(f"kind: must be one of {', '.join(KINDS)}, got {kind!r}. Choose one of them.")
    target = Path(folder) / name
    _check_name(name, kind, target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=target.parent) as scratch:
            for path, content in _contents(name, kind).items():
                location = Path(scratch) / "plugin" / path
                location.parent.mkdir(parents=True, exist_ok=True)
                location.write_text(content, encoding="utf-8")
            shutil.move(Path(scratch) / "plugin", target)
    except OSError as error:
        raise PluginError(f"{target}: cannot be written: {error.strerror}. Choose another --folder.") from error
    return target


def _check_name(name: str, kind: str, target: Path) -> None:
    if not name.isidentifier() or name != name.lower() or keyword.iskeyword(name):
        raise PluginError(f"name: must be a lower-case module name such as my_{kind}, got {name!r}. Rename it.")
    if target.exists():
        raise PluginError(f"{target}: exists already. Choose another name or --folder, or remove it.")
    if _is_installed(name):
        raise PluginError(
            f"name: a module {name!r} is installed, which the plugin would hide. Choose another, such as my_{name}."
        )


def _is_installed(name: str) -> bool:
    """Return whether Python finds a module of that name; a plain folder without Python files does not count."""
    if name in sys.stdlib_module_names:
        return True
    spec = importlib.util.find_spec(name)
    return spec is not None and spec.origin is not None


def _contents(name: str, kind: str) -> dict[str, str]:
    """Return path to text of every file."""
    known = KINDS[kind]
    words = {
        "name": name,
        "kind": known.noun,
        "cls": "".join(part.capitalize() for part in name.split("_")),
        "check": known.check,
        "registry": known.registry,
        "imported": "new_registries" if known.is_part else known.registry,
    }

    def fill(*templates: str) -> str:
        texts = [(_FILES / f"{template}.txt").read_text(encoding="utf-8") for template in templates]
        return Template("".join(texts)).substitute(words)

    registration = ["register_part.py"] if known.is_part else []
    return {
        "pyproject.toml": fill("pyproject.toml"),
        "README.md": fill("README.md"),
        f"{name}/__init__.py": fill(f"{kind}.py", *registration, "folder.py"),
        f"{name}/configs/{name}.yaml": fill(f"{kind}.yaml"),
        f"tests/test_{name}.py": fill("test.py", "test_part.py" if known.is_part else "test_engine.py"),
    }
