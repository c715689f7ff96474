"""The table of backbones is printed by one command."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_prints_the_named_rows_as_the_document_has_them(capsys: pytest.CaptureFixture[str]) -> None:
    spec = importlib.util.spec_from_file_location("list_backbones", ROOT / "tools" / "list_backbones.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main(["VisionTransformer", "LeNet5"])
    shown = capsys.readouterr().out.splitlines()
    written = (ROOT / "registry_configs" / "BACKBONES.md").read_text().splitlines()
    assert shown[0] == "# Backbones"
    assert shown[-2:] == [line for name in ("VisionTransformer", "LeNet5") for line in written if f"`{name}` |" in line]
