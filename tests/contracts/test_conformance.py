"""Every registered part, built-in or plugin, passes the conformance kit; a new one needs no line here."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bus_toolkit.testing.plugin import kits

PARTS = [(name, check) for registry, check in kits() for name in registry.names()]


@pytest.mark.parametrize(("name", "check"), PARTS, ids=[f"{check.__name__}-{name}" for name, check in PARTS])
def test_keeps_the_promises_of_its_kind(name: str, check: Callable[[str], None]) -> None:
    if name == "TimmVision":
        pytest.importorskip("timm")
    check(name)
