"""An adapter for any transformer in plain PyTorch whose blocks map tokens to tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NoReturn

from torch import Tensor, nn
from typing_extensions import override

from bus_toolkit.backbones.adapters.base import TransformerAdapter
from bus_toolkit.backbones.positions import TokenPositions
from bus_toolkit.errors import ComponentError
from bus_toolkit.ops.position_table import AbsolutePositions, PositionTable
from bus_toolkit.selectors.base import Site


def refuse_inside(self: TransformerAdapter, *_: Any, **__: Any) -> NoReturn:
    """Replace every method about the inside of a block, in adapters that do not know it.

    Raises:
        ComponentError: Always.
    """
    raise ComponentError(
        f"model.selectors: a selector asks for the inside of a block, got {type(self.vit).__name__}, whose "
        f"{type(self).__name__} shows none. Selectors there see patches and text. Use such a selector, and say "
        "reads_block = True in the class of this one."
    )


def pair(size: int | Sequence[int]) -> tuple[int, int]:
    """Return a size as (down, across); one number is both."""
    return tuple(size) if isinstance(size, Sequence) else (size, size)  # type: ignore[return-value]


class BlocksAdapter(TransformerAdapter):
    """What a module of your own returns from ``token_adapter()``: how images become tokens, and the list of blocks.

    Selectors then act before and after blocks and see patches and text. Those that read attention inside a block
    (EViT, ToMe) need a subclass of ``TransformerAdapter`` that names its parts.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from bus_toolkit.backbones import BlocksAdapter, TokenReducingBackbone
        >>> from bus_toolkit.selectors import RandomSelector
        >>> class PlainViT(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.patches = nn.Conv2d(3, 16, kernel_size=8, stride=8)
        ...         layers = [nn.TransformerEncoderLayer(16, 2, 32, batch_first=True) for _ in range(2)]
        ...         self.blocks = nn.ModuleList(layers)
        ...
        ...     def embed(self, images):
        ...         tokens = self.patches(images)  # (B, D, rows, columns)
        ...         return tokens.flatten(2).transpose(1, 2), tuple(tokens.shape[2:])
        ...
        ...     def token_adapter(self):
        ...         return BlocksAdapter(
        ...             self, embed=self.embed, blocks=self.blocks, embed_dim=16, image_size=(32, 32), patch_size=(8, 8)
        ...         )
        >>> backbone = TokenReducingBackbone(PlainViT().eval(), [RandomSelector(blocks=[1], keep_ratio=0.25)]).eval()
        >>> visual = backbone(torch.rand(2, 3, 32, 32))
        >>> visual.kept_patches().sum(dim=1).tolist()
        [4, 4]

    Args:
        vit: The module.
        embed: Images (B, 3, H, W) to tokens (B, P + N, D), prefix tokens first, and the patch grid (rows, columns).
        blocks: A list or ``nn.ModuleList`` of modules from tokens (B, n, D) to tokens (B, n, D), for any n.
        embed_dim: Width D.
        image_size: Height and width in pixels that the module is built for, or one number for both.
        patch_size: Distance of two patches in pixels, down and across, or one number for both.
        norm: Applied to the tokens after the last block; nothing when not given.
        num_prefix: Prefix tokens P. The first is the global token; without one, the mean of the patches is it.
    """

    sites: ClassVar[frozenset[Site]] = frozenset({"before_block", "after_block"})
    has_blocks: ClassVar[bool] = False
    norm1 = norm2 = project = project_one = num_heads = attention_branch = feed_forward_half = refuse_inside

    def __init__(
        self,
        vit: nn.Module,
        *,
        embed: Callable[[Tensor], tuple[Tensor, tuple[int, int]]],
        blocks: Any,
        embed_dim: int,
        image_size: int | tuple[int, int],
        patch_size: int | tuple[int, int],
        norm: Callable[[Tensor], Tensor] | None = None,
        num_prefix: int = 0,
    ) -> None:
        super().__init__(vit)
        self._embed, self._norm = embed, norm
        self.layers, self.embed_dim, self.num_prefix = blocks, embed_dim, num_prefix
        self.image_size, self.patch_size = pair(image_size), pair(patch_size)

    @override
    def embed(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        return self._embed(images)

    @override
    def position_tables(self) -> Sequence[PositionTable]:
        """Return the learned vectors that are known by their shape, a row a patch, and by ``pos`` in their name.

        A subclass names others: of another shape, of another name, or relative ones.
        """
        grid = self.position_grid
        rows = {grid[0] * grid[1]: 0, grid[0] * grid[1] + self.num_prefix: self.num_prefix}
        return [
            AbsolutePositions(name, grid, rows[one.shape[-2]])
            for name, one in self.vit.named_parameters()
            if "pos" in name and one.dim() >= 2 and one.shape[-1] == self.embed_dim and one.shape[-2] in rows
        ]

    @override
    def run_block(self, layer: Any, tokens: Tensor, positions: TokenPositions) -> Tensor:
        return layer(tokens)

    @override
    def final_norm(self, tokens: Tensor) -> Tensor:
        return tokens if self._norm is None else self._norm(tokens)
