"""Every backbone that mmpretrain has is tried, and the table in the documents says what came of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmpretrain.models import backbones

from bus_toolkit.analysis.backbones import names, row_of, table

DOCUMENT = Path(__file__).parents[3] / "registry_configs" / "BACKBONES.md"
LINES = DOCUMENT.read_text(encoding="utf-8").splitlines()


def test_the_document_has_a_line_for_every_backbone_and_no_other() -> None:
    listed = [line.split("`")[1] for line in LINES if line.startswith("| `")]
    assert listed == names() == sorted(backbones.__all__)


def test_the_text_around_the_table_is_the_tools() -> None:
    assert list(table([])) == [line for line in LINES if not line.startswith("| `")]


@pytest.mark.slow
@pytest.mark.parametrize("name", names())
def test_it_can_do_what_the_table_says(name: str) -> None:
    assert str(row_of(name)) in LINES, "python tools/list_backbones.py > registry_configs/BACKBONES.md"
