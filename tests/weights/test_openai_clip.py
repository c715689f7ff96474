"""OpenAI's CLIP: its names, written down from openai/CLIP:clip/model.py, and its TorchScript archives."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from bus_toolkit.errors import CheckpointError
from bus_toolkit.weights.loading import load_pretrained
from tests.weights.sources import DEPTH, HIDDEN, WIDTH, saved, state_of, unchanged, vit


def tensors() -> dict[str, Tensor]:
    """Return the vision half, and some of the text half."""
    names: dict[str, tuple[int, ...]] = {
        "visual.class_embedding": (WIDTH,),
        "visual.positional_embedding": (17, WIDTH),
        "visual.proj": (WIDTH, 8),
        "visual.conv1.weight": (WIDTH, 3, 8, 8),
        "transformer.resblocks.0.attn.in_proj_weight": (24, 8),
        "positional_embedding": (77, 8),
        "text_projection": (8, 8),
        "logit_scale": (),
    }
    for norm in ("visual.ln_pre", "visual.ln_post"):
        names |= {f"{norm}.weight": (WIDTH,), f"{norm}.bias": (WIDTH,)}
    for i in range(DEPTH):
        at = f"visual.transformer.resblocks.{i}"
        names |= {f"{at}.attn.in_proj_weight": (3 * WIDTH, WIDTH), f"{at}.attn.in_proj_bias": (3 * WIDTH,)}
        shapes = {"attn.out_proj": (WIDTH, WIDTH), "ln_1": (WIDTH,), "ln_2": (WIDTH,)}
        shapes |= {"mlp.c_fc": (HIDDEN, WIDTH), "mlp.c_proj": (WIDTH, HIDDEN)}
        for name, shape in shapes.items():
            names |= {f"{at}.{name}.weight": shape, f"{at}.{name}.bias": shape[:1]}
    generator = torch.Generator().manual_seed(6)
    return {name: torch.randn(shape, generator=generator) for name, shape in names.items()}


class Program(nn.Module):
    """A module that has given tensors under given names."""

    def __init__(self, held: dict[str, Tensor]) -> None:
        super().__init__()
        for name, tensor in held.items():
            at: nn.Module = self
            *path, last = name.split(".")
            for step in path:
                if not hasattr(at, step):
                    at.add_module(step, nn.Module())
                at = getattr(at, step)
            at.register_parameter(last, nn.Parameter(tensor))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.logit_scale


def test_names_of_the_vision_half(tmp_path: Path) -> None:
    source, module = tensors(), vit(pre_norm=True, norm_cfg={"type": "LN", "eps": 1e-5})
    report = load_pretrained(module, saved(source, tmp_path / "a.pth"), part="model.backbone")
    assert report.layout == "openai-clip"
    assert torch.equal(module.cls_token.flatten(), source["visual.class_embedding"])
    assert torch.equal(module.pos_embed[0], source["visual.positional_embedding"])
    assert torch.equal(module.pre_norm.bias, source["visual.ln_pre.bias"])
    assert torch.equal(module.layers[1].attn.qkv.bias, source["visual.transformer.resblocks.1.attn.in_proj_bias"])
    assert torch.equal(
        module.layers[0].ffn.layers[1].weight, source["visual.transformer.resblocks.0.mlp.c_proj.weight"]
    )
    assert {"visual.proj", "logit_scale", "text_projection"} <= set(report.unexpected)


def test_an_archive_is_a_program_and_needs_trust(tmp_path: Path) -> None:
    source, module = tensors(), vit(pre_norm=True, norm_cfg={"type": "LN", "eps": 1e-5})
    path = tmp_path / "ViT-B-32.pt"
    torch.jit.trace(Program(source).half(), torch.zeros(1, dtype=torch.float16)).save(str(path))
    before = state_of(module)
    with pytest.raises(CheckpointError, match=r"ViT-B-32\.pt: not loaded, because it is a TorchScript archive"):
        load_pretrained(module, path, part="model.backbone")
    assert unchanged(module, before)
    load_pretrained(module, path, part="model.backbone", trusted=True)
    # Its numbers are of half precision, the module's are not.
    assert torch.equal(module.ln1.weight, source["visual.ln_post.weight"].half().float())
