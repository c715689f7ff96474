"""What the configs of runs say of their parts."""

from __future__ import annotations

from pathlib import Path

import pytest

from bus_toolkit.study.report.properties import properties_of

RECIPES = Path(__file__).parents[3] / "registry_configs"
SELECTORS = "  selectors: [{type: TSPS, blocks: [1]}]\n"


@pytest.mark.parametrize(
    ("recipe", "model", "expected"),
    [
        ("needles/needles_full.yaml", SELECTORS, {"learns_from_boxes": True, "boxes_in_training": True}),
        ("needles/needles_full.yaml", "  heads: {ptm: null}\n" + SELECTORS, {"boxes_in_training": False}),
        ("needles/needles_causal.yaml", SELECTORS, {"learns_from_boxes": True, "needs_text": True, "blocks": 1}),
        ("needles/needles_causal.yaml", "  selectors: []\n", {"learns_from_boxes": False, "boxes_in_training": True}),
        ("needles/needles_causal.yaml", "  patch_text: null\n" + SELECTORS, {"learns_from_boxes": False}),
    ],
)
def test_what_an_arm_learns_from(tmp_path: Path, recipe: str, model: str, expected: dict) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"_base_: {RECIPES / recipe}\nmodel:\n{model}")
    found = properties_of(config)
    assert {name: found[name] for name in expected} == expected
