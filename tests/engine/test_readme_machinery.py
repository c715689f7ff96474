"""Every YAML block under "MMEngine's machinery" in the README can be put over the demo's config."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bus_toolkit import load_config

ROOT = Path(__file__).parents[2]
SECTION = re.search(r"^## MMEngine's machinery\n(.*?)^## ", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
BLOCKS = re.findall(r"```yaml\n(.*?)```", SECTION.group(1), re.DOTALL) if SECTION else []


def test_the_readme_shows_each_key() -> None:
    keys = ("dtype", "accumulative_counts", "activation_checkpointing", "compile", "EMAHook", "EarlyStoppingHook")
    more = (
        "ProfilerHook",
        "layer_decay_rate",
        "lr_mult",
        "TensorboardVisBackend",
        "WandbVisBackend",
        "MLflowVisBackend",
    )
    assert [key for key in (*keys, *more) if key not in "".join(BLOCKS)] == []


@pytest.mark.parametrize("block", BLOCKS, ids=[block.split("{")[0].strip().split(":")[0] for block in BLOCKS])
def test_a_block_loads_over_the_demo(block: str, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(f"_base_: {ROOT / 'registry_configs' / 'bus' / 'bus_scenes_tiny.yaml'}\n{block}")
    changed, demo = load_config(path), load_config(ROOT / "registry_configs" / "bus" / "bus_scenes_tiny.yaml")
    assert changed.to_dict() != demo.to_dict()
