"""Everything before the first selector, which no text can change and all conditions share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bus_toolkit.backbones.adapters.base import TransformerAdapter
from bus_toolkit.backbones.block_passes import run_whole
from bus_toolkit.backbones.check_inputs import check_shape
from bus_toolkit.backbones.check_tokens import checked_block, checked_embedding
from bus_toolkit.backbones.positions import TokenPositions
from bus_toolkit.errors import DataError
from bus_toolkit.structures import SharedTokens


def run_shared(adapter: TransformerAdapter, images: Tensor, num_blocks: int, *, keep_input: bool) -> SharedTokens:
    """Embed images (B, 3, H, W) and run the first ``num_blocks`` blocks.

    Args:
        adapter: What knows the inside of the transformer.
        images: Images.
        num_blocks: How many blocks are shared.
        keep_input: Whether to keep what the last of them read, for a selector that acts after it.
    """
    check_shape(images, adapter.vit)
    tokens, grid = checked_embedding(adapter, images, _embedded(adapter, images))
    block_input, positions = tokens, TokenPositions(grid)
    for block, layer in enumerate(adapter.layers[:num_blocks], start=1):
        block_input = tokens
        tokens = checked_block(adapter, block, tokens, run_whole(adapter, layer, tokens, positions))
    return SharedTokens(tokens, grid, num_blocks, block_input if keep_input else None)


def _embedded(adapter: TransformerAdapter, images: Tensor) -> Any:
    """Return what ``adapter.embed`` gives for images of another size, or say which size it takes.

    Raises:
        DataError: The transformer refuses images of this size.
    """
    if tuple(images.shape[2:]) == tuple(adapter.image_size):
        return adapter.embed(images)
    try:
        return adapter.embed(images)
    except torch.OutOfMemoryError:
        raise
    except (AssertionError, ValueError, RuntimeError) as error:
        (height, width), (down, across) = adapter.image_size, images.shape[2:]
        raise DataError(
            f"images: {type(adapter.vit).__name__} was built for {height} x {width} pixels, got {down} x {across}, and "
            f"refuses it: {' '.join(str(error).split())} Resize the images, or build it for that size."
        ) from error
