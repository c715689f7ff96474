"""Whether what a backbone of any origin returns is what its adapter declares.

Comparisons of shapes and types alone: they cost no time on the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from bus_toolkit.backbones.adapters.base import TransformerAdapter
from bus_toolkit.errors import ComponentError, describe

_PATH = "model.backbone"


def checked_embedding(adapter: TransformerAdapter, images: Tensor, embedded: Any) -> tuple[Tensor, tuple[int, int]]:
    """Return what ``adapter.embed`` gave for images (B, 3, H, W), if it is tokens (B, P + N, D) and their grid.

    Raises:
        ComponentError: It is anything else, or not what the adapter's sizes say.
    """
    name = type(adapter.vit).__name__
    if not isinstance(embedded, tuple | list) or len(embedded) != 2:
        raise ComponentError(
            f"{_PATH}: embed of {name} must return (tokens, (rows, columns)), got {describe(embedded)}. Tokens are "
            "(B, P + N, D), prefix tokens first; rows x columns are the N patches."
        )
    tokens, grid = embedded
    if not isinstance(grid, Sequence) or len(grid) != 2:
        raise ComponentError(
            f"{_PATH}: embed of {name} must return the grid of patches as (rows, columns), got {grid!r}. For a map of "
            "features (B, D, rows, columns) it is tuple(map.shape[2:])."
        )
    height, width = images.shape[2:]
    if (height, width) == tuple(adapter.image_size):
        expected = (height // adapter.patch_size[0], width // adapter.patch_size[1])
        if tuple(grid) != expected:
            raise ComponentError(
                f"{_PATH}: embed of {name} must return the grid {expected} for images of {height} x {width} pixels "
                f"with patches of {adapter.patch_size}, got {tuple(grid)}. Correct the grid, or patch_size in "
                "token_adapter()."
            )
    wanted = (images.shape[0], adapter.num_prefix + grid[0] * grid[1], adapter.embed_dim)
    if not isinstance(tokens, Tensor) or tokens.shape != wanted:
        got = tuple(tokens.shape) if isinstance(tokens, Tensor) else describe(tokens)
        raise ComponentError(
            f"{_PATH}: embed of {name} must return tokens (B, P + N, D) = {wanted}, got {got}: {adapter.num_prefix} "
            f"prefix token(s), {grid[0]} x {grid[1]} patches, width {adapter.embed_dim}. Correct embed, or num_prefix "
            "and embed_dim in token_adapter()."
        )
    return tokens, (int(grid[0]), int(grid[1]))


def checked_block(adapter: TransformerAdapter, block: int, before: Tensor, after: Any) -> Tensor:
    """Return what a block made of tokens (B, n, D), if it is as many tokens of the same width.

    Raises:
        ComponentError: It is anything else.
    """
    if not isinstance(after, Tensor) or after.shape != before.shape:
        got = tuple(after.shape) if isinstance(after, Tensor) else describe(after)
        raise ComponentError(
            f"{_PATH}: block {block} of {type(adapter.vit).__name__} must return tokens {tuple(before.shape)} as it "
            f"got them, got {got}. A block maps (B, n, D) to (B, n, D), for any n."
        )
    return after
