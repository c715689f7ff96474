"""Every YAML that is shipped passes the checks and survives being dumped."""

from pathlib import Path

import pytest

from bus_toolkit.config import dump_config, load_config

ROOT = Path(__file__).parents[1] / "registry_configs"
FILES = sorted(path for path in ROOT.glob("*/*.yaml") if path.parent.name != "_base_")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_loads_and_its_dump_loads_to_the_same(path, tmp_path):
    cfg = load_config(path)
    dump_config(cfg, tmp_path / "config.yaml")
    assert load_config(tmp_path / "config.yaml").to_dict() == cfg.to_dict()
