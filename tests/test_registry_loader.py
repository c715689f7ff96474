"""A look-up fills the registries, whatever module was imported first."""

import subprocess
import sys
from pathlib import Path

import pytest

from bus_toolkit import registry_loader

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "code",
    [
        "from bus_toolkit.registry import REGISTRIES; print(REGISTRIES.selectors.get('TSPS').cls.__name__)",
        "import bus_toolkit.registry.kinds as k; print(k.REGISTRIES.selectors.get('TSPS').cls.__name__)",
    ],
)
def test_a_look_up_in_a_new_process_knows_all_parts(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == ["TextSemanticPatchSelector"]


def test_the_loader_that_was_set_last_fills_the_registries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_loader, "_loaders", [])
    called: list[str] = []
    registry_loader.load_registries()
    registry_loader.set_registry_loader(lambda: called.append("first"))
    registry_loader.set_registry_loader(lambda: called.append("second"))
    registry_loader.load_registries()
    assert called == ["second"]
