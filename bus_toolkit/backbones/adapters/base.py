"""What the token-reducing backbone asks of a transformer, whoever wrote it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from bus_toolkit.backbones.positions import TokenPositions
from bus_toolkit.ops.position_table import Grid, PositionTable
from bus_toolkit.ops.precision import at_least_float32_dtype
from bus_toolkit.selectors.base import Site

States = tuple[Tensor, Tensor, Tensor]


class TransformerAdapter(ABC):
    """Take a vision transformer apart: embedding, the two halves of each block, the end.

    An adapter holds no weights; it only knows the names inside the module that has them, so that state dicts keep
    the keys of their library. A subclass says how one library writes a block, and is listed in
    ``adapters/__init__.py``; a module from elsewhere returns its own from ``token_adapter()`` (see ``BlocksAdapter``).

    Shapes: B batch, n tokens, P prefix tokens, D width, H heads, E = D / H. ``layer`` is one of ``layers``;
    ``positions`` are the places of the patch tokens.

    Args:
        vit: The module.

    Attributes:
        sites: Where selectors may sit.
        has_blocks: Whether selectors can look inside a block.
        calls_transformer: Whether ``embed`` calls the module itself, and not only parts of it.
        libraries: Packages whose code this adapter knows; a forward pass from elsewhere in a module that is not called
            is warned of. None: nothing is known about it.
        tested_with: The versions of the library that its names are those of, for messages.
        embed_dim: Width D.
        num_prefix: Prefix tokens P before the patches inside the blocks; 0 for a transformer without class token.
        image_size: Height and width in pixels that it was built for.
        patch_size: Distance of two patches in pixels, vertically and horizontally.
        layers: The blocks.
        pools: Whether the global token is pooled from the others at the end; else the first prefix token is it.
    """

    sites: ClassVar[frozenset[Site]] = frozenset({"before_block", "inside_block", "after_block"})
    has_blocks: ClassVar[bool] = True
    calls_transformer: ClassVar[bool] = False
    libraries: ClassVar[tuple[str, ...]] = ()
    tested_with: ClassVar[str] = ""
    embed_dim: int
    num_prefix: int
    image_size: tuple[int, int]
    patch_size: tuple[int, int]
    layers: Sequence[Any]

    def __init__(self, vit: Any) -> None:
        self.vit = vit

    @abstractmethod
    def embed(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Return the tokens (B, P + N, D) that enter the first block and the patch grid (rows, columns)."""

    @abstractmethod
    def run_block(self, layer: Any, tokens: Tensor, positions: TokenPositions) -> Tensor:
        """Run a block of the library's own code (on tokens that are all there, unless ``runs_whole`` says more)."""

    @abstractmethod
    def norm1(self, layer: Any, tokens: Tensor) -> Tensor:
        """Return ``tokens`` as the block's attention reads them."""

    @abstractmethod
    def norm2(self, layer: Any, tokens: Tensor) -> Tensor:
        """Return ``tokens`` as the block's feed-forward part reads them."""

    @abstractmethod
    def project(self, layer: Any, normed: Tensor) -> States:
        """Return the query, key and value projections, each (B, n, D)."""

    @abstractmethod
    def project_one(self, layer: Any, normed: Tensor, part: int) -> Tensor:
        """Return one of these projections (..., D): 0 query, 1 key, 2 value."""

    @abstractmethod
    def num_heads(self, layer: Any) -> int:
        """Return H."""

    @abstractmethod
    def attention_branch(self, layer: Any, mixed: Tensor) -> Tensor:
        """Return what the block adds to its input for mixed values (B, n, D): output projection, layer scale, drops."""

    @abstractmethod
    def feed_forward_half(self, layer: Any, tokens: Tensor) -> Tensor:
        """Return ``tokens`` after the block's feed-forward part, residual included."""

    @abstractmethod
    def final_norm(self, tokens: Tensor) -> Tensor:
        """Return the tokens after the last block as the library returns them."""

    # From here on what most libraries leave at its default.

    @property
    def pools(self) -> bool:
        """See above; only transformers without prefix need to."""
        return not self.num_prefix

    def runs_whole(self, positions: TokenPositions) -> bool:
        """Return whether ``run_block`` also accepts reduced tokens: blocks that use no positions do."""
        return True

    def bypassed(self, layer: Any) -> Sequence[nn.Module]:
        """Return the modules of a block that are not called when it runs by its parts; what is in them may be."""
        return (layer,)

    def attention_dropout(self, layer: Any) -> float:
        """Return the dropout probability of attention weights in the current mode."""
        return 0.0

    def scale(self, layer: Any) -> float:
        """Return the factor of the attention logits."""
        return 1.0 / math.sqrt(self.embed_dim // self.num_heads(layer))  # to the bit what torch takes by itself

    def rotate(self, layer: Any, states: Tensor, positions: TokenPositions) -> Tensor:
        """Turn queries or keys (B, H, P + S, E) by the places of the S patches; only rotary transformers do."""
        return states

    def logit_bias(self, layer: Any, positions: TokenPositions, num_queries: int | None = None) -> Tensor | None:
        """Return what relative positions add to the logits of the first queries, (1 or B, H, n_q, n)."""
        return None

    def own_attention(self, layer: Any, states: States, positions: TokenPositions) -> Tensor:
        """Return the mixed values (B, H, n, E) by the library's own arithmetic, for tokens that are all there."""
        return F.scaled_dot_product_attention(*states, dropout_p=self.attention_dropout(layer), scale=self.scale(layer))

    def pool(self, tokens: Tensor, sizes: Tensor | None) -> Tensor:
        """Return one vector (B, D) for the image from what ``final_norm`` gave, (B, P + S, D); asked where ``pools``.

        The mean of the patches, each token weighted by the number of patches in it, ``sizes`` (B, S); ``None``: 1.
        """
        return _weighted_mean(tokens[:, self.num_prefix :], sizes)

    @property
    def takes_any_size(self) -> bool:
        """Whether the settings of the module say that images may have other sizes than ``image_size``."""
        return False

    @property
    def position_grid(self) -> Grid:
        """Rows and columns of patches that the module's tables of positions are of; checkpoints keep them."""
        (height, width), (down, across) = self.image_size, self.patch_size
        return height // down, width // across

    def position_tables(self) -> Sequence[PositionTable]:
        """Return the tensors of the module with rows by position, so that weights of another grid can be loaded.

        Of tables that are not named here, weights of another grid are refused as a mismatch of shapes, and as many rows
        of a grid in another shape are taken as they are.
        """
        return ()


def _weighted_mean(tokens_BSD: Tensor, sizes_BS: Tensor | None) -> Tensor:
    if sizes_BS is None:
        return tokens_BSD.mean(dim=1)
    sizes_BS1 = sizes_BS.to(at_least_float32_dtype(tokens_BSD)).unsqueeze(-1)
    return ((tokens_BSD * sizes_BS1).sum(dim=1) / sizes_BS1.sum(dim=1)).to(tokens_BSD.dtype)
