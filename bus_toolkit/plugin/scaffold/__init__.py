"""Write a new plugin that installs and passes the conformance kit at once."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from string import Template

from bus_toolkit.errors import PluginError

KINDS = ("selector", "decoder", "backbone", "head")
_FILES = Path(__file__).parent / "files"


def new_plugin(name: str, kind: str, folder: str | Path = "plugins") -> Path:
    """Write a distribution with one part of a kind into ``folder/name``; whole, or not at all.

    Args:
        name: Name of the distribution, its module and its entry point.
        kind: One of ``KINDS``.
        folder: Where to put it; made if missing.

    Returns:
        The folder of the distribution.

    Raises:
        PluginError: A name that is no module name, an unknown kind, a folder that exists or cannot be written.
    """
    if not name.isidentifier() or name != name.lower():
        raise PluginError(f"name: must be a lower-case module name such as my_{kind}, got {name!r}. Rename it.")
    if kind not in KINDS:
        raise PluginError(f"kind: must be one of {', '.join(KINDS)}, got {kind!r}.")
    target = Path(folder) / name
    if target.exists():
        raise PluginError(f"{target}: exists already. Choose another name or --folder, or remove it.")
    words = {"name": name, "kind": kind, "cls": "".join(part.capitalize() for part in name.split("_"))}
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=target.parent) as scratch:
            for path, content in _contents(words).items():
                place = Path(scratch) / "plugin" / path
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(content, encoding="utf-8")
            shutil.move(Path(scratch) / "plugin", target)
    except OSError as error:
        raise PluginError(f"{target}: cannot be written: {error.strerror}. Choose another --folder.") from error
    return target


def _contents(words: dict[str, str]) -> dict[str, str]:
    """Return path to text of every file."""

    def fill(template: str) -> str:
        return Template((_FILES / f"{template}.txt").read_text(encoding="utf-8")).substitute(words)

    name, kind = words["name"], words["kind"]
    return {
        "pyproject.toml": fill("pyproject.toml"),
        "README.md": fill("README.md"),
        f"{name}/__init__.py": fill(f"{kind}.py") + fill("hooks.py"),
        f"{name}/configs/{name}.yaml": fill(f"{kind}.yaml"),
        f"tests/test_{name}.py": fill("test.py"),
    }
