"""Vision and text towers of other libraries: outputs of their weights, loaded by their layout."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from bus_toolkit.weights.loading import load_pretrained
from tests.parity.comparison import Comparison, Measured
from tests.weights.sources import BERT, DEPTH, HEADS, HF, HIDDEN, WIDTH, beit, images, randomised, saved, vit

QUICK = {"act_cfg": {"type": "mmpretrain.QuickGELU"}}
TANH = {"act_cfg": {"type": "GELU", "approximate": "tanh"}}
SEEDS = range(5)


def _eps(value: float) -> dict[str, Any]:
    return {"norm_cfg": {"type": "LN", "eps": value}}


def _outputs(source: Callable[[], Any], ours: Callable[[], Any], theirs: Callable[[Any], torch.Tensor]) -> Measured:
    """Compare outputs for several random weights; they go through a file, as a user's do."""
    pairs = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in SEEDS:
            model, module = randomised(source(), seed), ours()
            file = saved(model.state_dict(), Path(folder) / f"{seed}.pth")
            load_pretrained(module, file, part="model.backbone")
            with torch.no_grad():
                pairs.append((module(images())[0], theirs(model)))
    return Measured.numbers(pairs)


def _hf(model: str, config: str, settings: dict[str, Any], ours: Callable[[], Any], states: str = "") -> Measured:
    import transformers as hf

    def theirs(source: Any) -> torch.Tensor:
        last = source(images()).last_hidden_state
        for part in filter(None, states.split(".")):
            source = getattr(source, part)
        return source(last) if states else last

    return _outputs(lambda: getattr(hf, model)(getattr(hf, config)(**settings)), ours, theirs)


def _timm(settings: dict[str, Any], ours: dict[str, Any]) -> Measured:
    from timm.models.vision_transformer import VisionTransformer

    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": WIDTH, "depth": DEPTH, "num_heads": HEADS}
    source = partial(VisionTransformer, **sizes, mlp_ratio=HIDDEN / WIDTH, num_classes=0, **settings)
    return _outputs(source, lambda: vit(**_eps(1e-6), **ours), lambda model: model.forward_features(images()))


def _open_clip() -> Measured:
    from open_clip.model import CLIPVisionCfg, _build_vision_tower
    from torch import nn

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            sizes = CLIPVisionCfg(
                layers=DEPTH,
                width=WIDTH,
                head_width=WIDTH // HEADS,
                mlp_ratio=HIDDEN / WIDTH,
                patch_size=8,
                image_size=32,
            )
            self.visual = _build_vision_tower(8, sizes, quick_gelu=True)

    def theirs(model: Any) -> torch.Tensor:
        tower = model.visual
        return tower.ln_post(tower.transformer(tower._embeds(images())))

    return _outputs(Whole, lambda: vit(pre_norm=True, layer_cfgs=QUICK, **_eps(1e-5)), theirs)


def _bert() -> Measured:
    """The text encoder, with padding; padded places are not compared."""
    import transformers as hf

    from bus_toolkit.structures import TokenBatch
    from bus_toolkit.text_encoders.bert import BertTextEncoder

    sizes = {"vocab_size": BERT["vocab_size"], "pad_token_id": 0, "num_heads": HEADS, "max_text_length": 20}
    pairs = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in SEEDS:
            source = randomised(hf.BertModel(hf.BertConfig(**BERT), add_pooling_layer=False), seed)
            ours = BertTextEncoder(**sizes, num_layers=BERT["num_hidden_layers"], hidden_size=WIDTH)
            source.save_pretrained(f"{folder}/{seed}")
            load_pretrained(randomised(ours, 9), f"{folder}/{seed}", part="model.text_encoder")
            draw = torch.Generator().manual_seed(seed)
            ids = torch.randint(1, BERT["vocab_size"], (6, 12), generator=draw)
            real = torch.arange(12)[None] < torch.randint(2, 13, (6, 1), generator=draw)
            with torch.no_grad():
                states = ours(TokenBatch(ids, real)).embeds, source(ids, real.long()).last_hidden_state
            pairs.append((states[0][real], states[1][real]))
    return Measured.numbers(pairs)


def _siglip() -> Measured:
    ours = partial(vit, with_cls_token=False, layer_cfgs=TANH)
    return _hf("SiglipVisionModel", "SiglipVisionConfig", HF, ours)


def _dinov2() -> Measured:
    sizes = {**{name: value for name, value in HF.items() if name != "intermediate_size"}, "mlp_ratio": 2}
    arch = {"embed_dims": WIDTH, "num_layers": DEPTH, "num_heads": HEADS, "feedforward_channels": 2 * WIDTH}
    return _hf("Dinov2Model", "Dinov2Config", sizes, partial(vit, arch=arch, layer_scale_init_value=1e-5))


def _clip() -> Measured:
    ours = partial(vit, pre_norm=True, layer_cfgs=QUICK, **_eps(1e-5))
    return _hf("CLIPVisionModel", "CLIPVisionConfig", HF, ours, states="vision_model.post_layernorm")


def _beit() -> Measured:
    settings = {**HF, "use_relative_position_bias": True, "use_mean_pooling": False}
    return _hf("BeitModel", "BeitConfig", settings, partial(beit, use_rel_pos_bias=True, final_norm=True))


CLOSE = 2e-5
COMPARISONS = (
    Comparison("ViT", "transformers", lambda: _hf("ViTModel", "ViTConfig", HF, partial(vit, **_eps(1e-12))), CLOSE),
    Comparison("CLIP's vision tower", "transformers", _clip, CLOSE),
    Comparison("CLIP's vision tower", "open-clip-torch", _open_clip, CLOSE),
    Comparison("SigLIP's vision tower", "transformers", _siglip, CLOSE),
    Comparison("DINOv2", "transformers", _dinov2, CLOSE),
    Comparison("BEiT", "transformers", _beit, CLOSE),
    Comparison("ViT, DeiT, MAE", "timm", lambda: _timm({}, {}), CLOSE),
    Comparison(
        "ViT with layer scale", "timm", lambda: _timm({"init_values": 0.1}, {"layer_scale_init_value": 0.1}), CLOSE
    ),
    Comparison("ViT with a norm before", "timm", lambda: _timm({"pre_norm": True}, {"pre_norm": True}), CLOSE),
    Comparison("BERT text encoder, padded", "transformers", _bert, CLOSE),
)
