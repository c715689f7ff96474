"""Each of mmpretrain's backbones, by its name in a YAML: what registry_configs/BACKBONES.md says of it is so."""

from __future__ import annotations

from pathlib import Path

import pytest

from bus_toolkit.analysis.backbone_settings import NEEDED, NOTES, SMALL
from bus_toolkit.analysis.backbone_survey import names, row_of, table
from bus_toolkit.errors import ComponentError
from bus_toolkit.models.build_backbone import build_backbone
from bus_toolkit.registry import MMPRETRAIN

WRITTEN = (Path(__file__).parents[3] / "registry_configs" / "BACKBONES.md").read_text().splitlines()
ROWS = {line.split("`")[1]: line for line in WRITTEN if line.startswith("| `")}


@pytest.mark.slow
@pytest.mark.parametrize("name", names())
def test_the_backbone_does_what_the_table_says(name: str) -> None:
    assert str(row_of(name)) == ROWS[name], "bus-toolkit list-backbones > registry_configs/BACKBONES.md"


def test_the_table_has_every_backbone_once_and_the_text_around_is_the_same() -> None:
    assert list(ROWS) == names()
    assert [line for line in WRITTEN if not line.startswith("| `")] == list(table(()))


def test_settings_and_notes_are_of_backbones_that_there_are() -> None:
    assert {*NEEDED, *SMALL, *NOTES} <= set(names())


def test_the_table_says_refused_where_building_ends_with_a_reason() -> None:
    refused = {name for name, line in ROWS.items() if "| refused |" in line}
    assert refused == {"CSPNet", "LeNet5", "SparseConvNeXt", "SparseResNet"}
    for name in refused:
        with pytest.raises(ComponentError, match=name):
            build_backbone({"type": f"{MMPRETRAIN}{name}", **NEEDED.get(name, {})})
