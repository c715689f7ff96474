"""Studies to plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.study.files import write_arms, write_systems


@pytest.fixture
def systems_file(tmp_path: Path) -> Path:
    """Return a study of two systems without keep ratios."""
    return write_systems(tmp_path)


@pytest.fixture
def arms_file(tmp_path: Path) -> Path:
    """Return a study of arms at keep ratios."""
    return write_arms(tmp_path)
