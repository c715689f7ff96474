"""Let modules be found as installed plugins, in this process, without pip."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from bus_toolkit.plugin import builtin, manager
from bus_toolkit.registry import REGISTRIES, RUNNER_REGISTRIES


@contextmanager
def plugin(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have the module ``name`` in ``folder`` as the one plugin beside the built-in parts."""
    manager.load_plugins()  # what is registered at an import stays
    tables = [r.entries for r in REGISTRIES.all()] + [r.module_dict for r in RUNNER_REGISTRIES]
    kept = [dict(table) for table in tables]
    entries = [EntryPoint(name, name, "bus_toolkit")]
    with monkeypatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setattr(manager, "_LOADER", manager.PluginLoader(REGISTRIES, lambda: entries, {}, builtin))
        yield
    sys.modules.pop(name, None)
    for table, before in zip(tables, kept, strict=True):
        table.clear()
        table.update(before)
