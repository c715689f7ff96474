"""Every YAML that ships loads, survives its own dump, and builds; the large ones on the meta device."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bus_toolkit import build_model, load_config
from bus_toolkit.config import dump_config

ROOT = Path(__file__).parent.parent / "registry_configs"
CONFIGS = sorted(path for path in ROOT.glob("*/*.yaml") if path.parent.name != "_base_")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", CONFIGS, ids=name)
def test_the_resolved_config_loads_again_to_the_same(path: Path, tmp_path: Path) -> None:
    config = load_config(path)
    dump_config(config, tmp_path / "resolved.yaml")
    assert load_config(tmp_path / "resolved.yaml").to_dict() == config.to_dict()


@pytest.mark.parametrize("path", CONFIGS, ids=name)
def test_the_model_builds(path: Path) -> None:
    with torch.device("meta"):
        model = build_model(load_config(path))
    assert sum(p.numel() for p in model.parameters()) > 1e6


@pytest.mark.parametrize("path", CONFIGS, ids=name)
def test_the_file_opens_with_what_it_is_and_its_command(path: Path) -> None:
    head = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert any("ommand" in line for line in head)


def test_the_paper_scale_model_has_the_known_parts() -> None:
    with torch.device("meta"):
        model = build_model(load_config(ROOT / "bus" / "bus_base_4m.yaml"))
    assert len(model.backbone.vit.layers) == 12
    assert len(model.text_encoder.bert.encoder.layer) == 6
    assert len(model.fusion.layers) == 6
    assert len(model.text_decoder.bert.bert.encoder.layer) == 12
    assert model.backbone.vit.patch_resolution == (16, 16)
