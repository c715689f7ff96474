"""Tiny parts that the tests of the model share; their sizes are those of ``bus_toolkit.testing``."""

from __future__ import annotations

import torch
from mmpretrain.models import VisionTransformer

from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone
from bus_toolkit.selectors.base import PatchSelector
from bus_toolkit.selectors.view import BlockView
from bus_toolkit.structures import TextTokens, TokenBatch
from bus_toolkit.testing.tiny import SIDE, VISION_TRANSFORMER, WIDTH, numbers

VOCABULARY = 50


def tiny_vit(num_layers: int = 4) -> VisionTransformer:
    """Return a plain transformer with random weights, also where OpenMMLab starts at zero."""
    torch.manual_seed(0)
    settings = {name: value for name, value in VISION_TRANSFORMER.items() if name != "type"}
    vit = VisionTransformer(**{**settings, "arch": {**settings["arch"], "num_layers": num_layers}})
    for parameter in vit.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    return vit


def tiny_backbone(*selectors: PatchSelector, num_layers: int = 4) -> TokenReducingBackbone:
    """Return a backbone in eval mode."""
    return TokenReducingBackbone(tiny_vit(num_layers), selectors).eval()


def images(batch: int = 3, seed: int = 0) -> torch.Tensor:
    """Return normalised images (B, 3, 32, 32)."""
    return numbers(batch, 3, SIDE, SIDE, seed=seed)


def text_tokens(batch: int = 3, length: int = 6, seed: int = 1) -> TextTokens:
    """Return encoded texts of full length."""
    embeds = numbers(batch, length, WIDTH, seed=seed)
    return TextTokens(embeds, embeds[:, 0], torch.ones(batch, length, dtype=torch.bool))


def block_view(patches: torch.Tensor, text: TextTokens | None = None) -> BlockView:
    """Return what a selector before any block would see; nothing of the block itself."""
    origin = torch.arange(patches.shape[1]).expand(patches.shape[0], -1)
    return BlockView(patches, patches[:, :1], text, origin, 1, None, inside=None, grid=(1, origin.shape[1]))  # type: ignore[arg-type]


def token_batch(batch: int = 3, length: int = 6, padded: int = 0) -> TokenBatch:
    """Return ids whose last ``padded`` places are padding (id 0)."""
    ids = torch.randint(5, VOCABULARY, (batch, length), generator=torch.Generator().manual_seed(2))
    ids[:, 0] = 2
    mask = torch.ones(batch, length, dtype=torch.bool)
    if padded:
        ids[:, -padded:] = 0
        mask[:, -padded:] = False
    return TokenBatch(ids, mask)
