"""Towers of Hugging Face and timm are backbones where mmpretrain cannot be imported; what needs it says so."""

import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import sys
sys.modules["mmpretrain.models"] = None  # its import fails, as beside a transformers that it does not know
import torch
from bus_toolkit.backbones import TokenReducingBackbone
from bus_toolkit.errors import BusError
from bus_toolkit.registry import REGISTRIES
from bus_toolkit.selectors import RandomSelector

sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
small = {"embed_dim": 16, "depth": 2, "num_heads": 2, "patch_size": 8}
towers = [{"type": "HuggingFaceVision", "model": model, "config": sizes} for model in ("ViTModel", "CLIPVisionModel")]
towers.append({"type": "TimmVision", "model": "vit_base_patch16_224", "settings": small, "img_size": 32})
for node in towers:
    vit = REGISTRIES.backbones.build(node, path="model.backbone")
    backbone = TokenReducingBackbone(vit, [RandomSelector(blocks=[2], keep_ratio=0.25)]).eval()
    print(int(backbone(torch.randn(1, 3, 32, 32)).kept_patches().sum()))
stem = {"type": "ConvStemViT", "arch": "base", "stem_channels": [8] * 4}
for node in ({"type": "mmpretrain.VisionTransformer"}, stem):
    try:
        REGISTRIES.backbones.build(node, path="model.backbone")
    except BusError as error:
        print(error)
"""


@pytest.mark.slow
def test_other_towers_work_and_what_needs_it_is_refused() -> None:
    command = [sys.executable, "-W", "ignore", "-c", CODE]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    *kept, first, second = done.stdout.splitlines()
    assert kept == ["4", "4", "4"], done.stdout
    for line in (first, second):
        assert line.startswith("model.backbone: mmpretrain cannot be imported (ModuleNotFoundError"), line
        assert line.endswith("pip install 'onedl-mmpretrain>=1.3.6' 'transformers>=4.53,<6'"), line
