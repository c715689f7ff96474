"""Everything before the first selector, which no text can change and all conditions share."""

from __future__ import annotations

from torch import Tensor

from bus_toolkit.backbones.adapters.base import TransformerAdapter
from bus_toolkit.backbones.check_tokens import checked_block, checked_embedding
from bus_toolkit.backbones.positions import TokenPositions
from bus_toolkit.structures import SharedTokens


def run_shared(adapter: TransformerAdapter, images: Tensor, num_blocks: int, *, keep_input: bool) -> SharedTokens:
    """Embed images (B, 3, H, W) and run the first ``num_blocks`` blocks.

    Args:
        adapter: What knows the inside of the transformer.
        images: Images.
        num_blocks: How many blocks are shared.
        keep_input: Whether to keep what the last of them read, for a selector that acts after it.
    """
    tokens, grid = checked_embedding(adapter, images, adapter.embed(images))
    block_input, positions = tokens, TokenPositions(grid)
    for block, layer in enumerate(adapter.layers[:num_blocks], start=1):
        block_input = tokens
        tokens = checked_block(adapter, block, tokens, adapter.run_block(layer, tokens, positions))
    return SharedTokens(tokens, grid, num_blocks, block_input if keep_input else None)
