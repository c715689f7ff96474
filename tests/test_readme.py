"""What the README shows works: its YAML builds, its plugin registers, its commands name files that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from bus_toolkit import build_model, load_config
from bus_toolkit.plugin.spec import GROUP
from bus_toolkit.registry import new_registries

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.DOTALL)


def test_the_yaml_loads_and_builds(tmp_path: Path) -> None:
    (tmp_path / "_base_").symlink_to(ROOT / "registry_configs" / "_base_")
    (tmp_path / "mine").mkdir()
    path = tmp_path / "mine" / "run.yaml"
    path.write_text(blocks("yaml")[0])
    with torch.device("meta"):
        model = build_model(load_config(path))
    assert model.backbone.selectors[0].blocks == [6]


@pytest.mark.parametrize("part", blocks("yaml")[1:], ids=lambda part: part.split(":")[0])
def test_a_part_of_a_yaml_loads_on_top_of_the_demo(part: str, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(f"_base_: bus/bus_scenes_tiny\n{part}")
    changed = load_config(path)
    assert changed.model.type == "bus_toolkit.VLPModel"
    assert changed.to_dict() != load_config("bus/bus_scenes_tiny").to_dict()


def test_the_machinery_of_mmengine_is_shown_key_by_key() -> None:
    keys = "dtype accumulative_counts activation_checkpointing compile EMAHook EarlyStoppingHook ProfilerHook".split()
    keys += "layer_decay_rate lr_mult TensorboardVisBackend WandbVisBackend MLflowVisBackend".split()
    shown = "".join(blocks("yaml"))
    assert [key for key in keys if key not in shown] == []


def test_the_plugin_registers_a_selector_that_builds() -> None:
    scope: dict = {}
    exec(next(block for block in blocks("python") if "register_components" in block), scope)
    registries = new_registries()
    scope["register_components"](registries)
    assert hasattr(scope["register_components"], f"{GROUP}_impl")
    part = registries.selectors.build({"type": "LongestPatches", "blocks": [2]}, path="model.selectors.0")
    assert part.num_kept is not None


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\b(?:tools|registry_configs|plugins)/[\w./]+\w", TEXT))))
def test_paths_in_the_text_exist(path: str) -> None:
    assert (ROOT / path).exists()


def test_every_registered_part_is_named() -> None:
    from bus_toolkit.registry import REGISTRIES

    for registry in REGISTRIES.all():
        for name in registry.names():
            if registry.get(name).origin.startswith("bus_toolkit,"):
                assert f"`{name}`" in TEXT, f"{registry.kind} {name}"


def test_no_mark_is_left_to_fill_in() -> None:
    assert "@@" not in TEXT
