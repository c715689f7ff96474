"""The browser that the tests of this folder share; without one they are skipped, and say how to get it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.chromium import Browser, missing, start

FOLDER = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder ``browser``."""
    for item in items:
        if item.path.is_relative_to(FOLDER):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium; pictures go to the folder that ``SCREENSHOTS`` names, if it does."""
    if reason := missing():
        pytest.skip(reason)
    folder = os.environ.get("SCREENSHOTS")
    with start(Path(folder) if folder else None) as opened:
        yield opened
