"""The table of backbones is printed by one command."""

from __future__ import annotations

from pathlib import Path

import pytest

from bus_toolkit.cli.list_backbones import COMMAND

ROOT = Path(__file__).parents[2]


def test_prints_the_named_rows_as_the_document_has_them(capsys: pytest.CaptureFixture[str]) -> None:
    COMMAND.main(["VisionTransformer", "LeNet5"])
    shown = capsys.readouterr().out.splitlines()
    written = (ROOT / "registry_configs" / "BACKBONES.md").read_text().splitlines()
    assert shown[0] == "# Backbones"
    assert shown[-2:] == [line for name in ("VisionTransformer", "LeNet5") for line in written if f"`{name}` |" in line]
