"""What registry_configs/OPENMMLAB.md shows works as it is, and it names every model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import mmpretrain.models  # noqa: F401 (fills the registry)
import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS

from bus_toolkit.registry import MODELS as OURS
from tests.models.openmmlab_tiny import ARCH
from tests.openmmlab.blip_tiny import bert, images, samples, write_vocabulary

PAGE = (Path(__file__).parents[2] / "registry_configs" / "OPENMMLAB.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
SHOWN = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)


def block(word: str) -> str:
    (found,) = [text for text in BLOCKS if word in text]
    return found


def ran(text: str) -> tuple[dict[str, Any], str]:
    names: dict[str, Any] = {}
    lines: list[str] = []
    names["print"] = lambda *values: lines.append(" ".join(map(str, values)))
    exec(compile(text, "OPENMMLAB.md", "exec"), names)
    return names, "\n".join(lines) + "\n"


def test_a_few_lines_on_top_of_mmpretrains_config_are_a_model(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(block("blip-base_8xb32_retrieval"))
    config = Config.fromfile(tmp_path / "mine.py")
    config.merge_from_dict(
        {
            "model.tokenizer.name_or_path": write_vocabulary(tmp_path),
            "model.vision_backbone": {
                "arch": {**ARCH, "num_layers": 6, "_delete_": True},
                "img_size": 32,
                "patch_size": 8,
            },
            "model.text_backbone.med_config": bert(),
            "model.vision_neck.in_features": 32,
            "model.text_neck.in_features": 32,
            "model.multimodal_head.hidden_size": 32,
            "model.head.queue_size": 8,
            "model.max_txt_len": 8,
        }
    )
    model = MODELS.build({"_scope_": "mmpretrain", **config.model})
    assert model(images(2), samples("red circle", "blue star"), mode="loss").keys() == {"itc_loss", "itm_loss"}


@pytest.mark.parametrize("word", ["ImageClassifier", "decode_head"])
def test_the_shown_backbones_build(word: str) -> None:
    names, _ = ran(block(word))
    backbone = names["backbone"] if "backbone" in names else names["model"]["backbone"]
    with torch.device("meta"):
        assert MODELS.build({"_scope_": "mmpretrain", **backbone}).num_blocks == 12


def test_parts_are_built_by_their_scope() -> None:
    names, _ = ran(block("bus_toolkit.ITCHead"))
    assert names["selector"].text_dim == 768
    assert names["head"].__module__ == "bus_toolkit.heads.itc" and names["recall"].__name__ == "VQAAccuracy"


def test_a_model_of_ones_own_prints_what_the_page_shows() -> None:
    assert ran(block("conditioned_on(backbone, text)"))[1] == SHOWN[0]


def test_the_table_has_every_text_aware_model() -> None:
    table = re.findall(r"^\| `(TextAware\w+)`", PAGE, re.MULTILINE)
    assert sorted(table) == sorted(name for name in OURS.module_dict if name.startswith("TextAware"))
