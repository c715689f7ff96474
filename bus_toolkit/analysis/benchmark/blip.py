"""mmpretrain's BlipRetrieval as a workload, and ours measured against it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bus_toolkit.analysis.benchmark.groups import make_groups
from bus_toolkit.analysis.benchmark.timing import take_turns
from bus_toolkit.analysis.benchmark.workload import Steps, Workload, adamw, made_up_batch, releasing
from bus_toolkit.analysis.macs import count_macs
from bus_toolkit.errors import ConfigError
from bus_toolkit.mmpretrain_shim import require_transformers_4
from bus_toolkit.models.build import build_model
from bus_toolkit.tokenizers.wordpiece import BERT_VOCABULARY


def blip_retrieval(img_size: int, text_length: int) -> nn.Module:
    """Build mmpretrain's ``BlipRetrieval`` at base size, with random weights and nothing downloaded.

    Its settings are those of onedl-mmpretrain 1.3.6, ``configs/blip/blip-base_8xb32_retrieval.py``: ViT-B/16, 12 layers
    of BERT that serve as text encoder and as fusion, contrast with momentum and a queue of 57,600, matching.

    Args:
        img_size: Pixels.
        text_length: Tokens of every caption; it pads to that.

    Raises:
        ComponentError: transformers is of version 5 or later.
    """
    require_transformers_4("mmpretrain.BlipRetrieval")
    from mmpretrain.models import BlipRetrieval
    from mmpretrain.models.utils.tokenizer import BlipTokenizer

    width = {"hidden_size": 768, "num_attention_heads": 12, "num_hidden_layers": 12, "intermediate_size": 3072}
    med = {
        **width,
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_act": "gelu",
        "attention_probs_dropout_prob": 0.1,
        "hidden_dropout_prob": 0.1,
        "initializer_range": 0.02,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": 512,
        "pad_token_id": 0,
        "add_type_embeddings": False,
        "vocab_size": 30524,
        "encoder_width": 768,
        "add_cross_attention": True,
    }
    model: Any = BlipRetrieval(
        vision_backbone={
            "type": "VisionTransformer",
            "arch": "b",
            "img_size": img_size,
            "patch_size": 16,
            "out_type": "raw",
        },
        text_backbone={"type": "XBertEncoder", "med_config": med},
        vision_neck={"type": "Linear", "in_features": 768, "out_features": 256},
        text_neck={"type": "Linear", "in_features": 768, "out_features": 256},
        head={"type": "ITCHead", "embed_dim": 256},
        multimodal_head={"type": "ITMHead", "hidden_size": 768, "with_pooler": False},
        max_txt_len=text_length,
    )
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "vocab.txt").write_bytes(BERT_VOCABULARY.read_bytes())
        model.tokenizer = BlipTokenizer.from_pretrained(folder)
    return model


class BlipWorkload:
    """A training step of ``BlipRetrieval``, forward and backward; its update of the momentum copies is in it.

    Args:
        model: The model.
        batch: Images (B, 3, H, W) and their data samples.
        optimizer: Steps after the backward pass.
    """

    def __init__(
        self,
        model: nn.Module,
        batch: tuple[Tensor, Sequence[Any]],
        *,
        optimizer: torch.optim.Optimizer | None = None,
    ) -> None:
        self.model, self.optimizer = model.train(), optimizer
        self.images, samples = batch
        self.samples = [sample.clone() for sample in samples]
        for sample in self.samples:
            sample.set_field(True, "is_matched", dtype=None)

    def step(self) -> None:
        """Run a training step; the gradients stay."""
        # It appends its wrong pairs to the list that it is given.
        losses = self.model(self.images, list(self.samples), mode="loss")
        torch.stack([value for name, value in losses.items() if "loss" in name]).sum().backward()
        if self.optimizer is not None:
            self.optimizer.step()


def compare_with_blip(
    config: str,
    *,
    img_size: int,
    text_length: int,
    batch_size: int,
    rounds: int,
    device: torch.device,
    optimizer: bool = False,
) -> dict[str, tuple[int, list[float]]]:
    """Return MACs and seconds of steps of contrast and matching: ``ours`` and ``mmpretrain.BlipRetrieval``.

    Args:
        config: A config with an ITCHead and an ITMHead; selection, abstraction and other heads are left out.
        img_size: Pixels.
        text_length: Tokens of every caption.
        batch_size: Images.
        rounds: Timed rounds.
        device: Where.
        optimizer: Whether AdamW's step, the same on both sides, belongs to it.

    Raises:
        ConfigError: A config without these heads, or anything wrong with it.
    """
    sizes = [f"model.backbone.img_size={img_size}", f"model.tokenizer.max_length={text_length}"]
    model = make_groups([config], sizes)[0].baseline.model
    heads = {name: node for name, node in model["heads"].items() if node["type"] in ("ITCHead", "ITMHead")}
    if len(heads) != 2:
        got = ", ".join(node["type"] for node in model["heads"].values())
        raise ConfigError(f"{config}: model.heads: needs one ITCHead and one ITMHead, got {got}. Give such a config.")
    own = build_model({**model, "heads": heads, "text_decoder": None}).to(device)
    batch = made_up_batch(own, batch_size, text_length)
    theirs = blip_retrieval(img_size, text_length).to(device)
    loads: dict[str, Steps] = {
        "ours": Workload(own, "model", batch, optimizer=adamw(own) if optimizer else None),
        "mmpretrain.BlipRetrieval": BlipWorkload(theirs, batch, optimizer=adamw(theirs) if optimizer else None),
    }
    macs = {name: count_macs(load.step) for name, load in loads.items()}
    seconds = take_turns({name: releasing(load) for name, load in loads.items()}, rounds, device)
    return {name: (macs[name], seconds[name]) for name in loads}
