"""What a selector may look at: the tokens at its place, the text, and, on request, the inside of the block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from bus_toolkit.ops.follow_plans import patches_in_tokens
from bus_toolkit.ops.precision import at_least_float32_dtype
from bus_toolkit.structures import TextTokens


class BlockAccess(Protocol):
    """The block that a selector sits at; nothing is computed before it is asked for.

    Shapes: B batch, N candidates, P prefix tokens, D width, H heads, E = D / H. Everything but ``look_ahead`` carries
    gradient. Inside a block, queries and keys are those that its own attention has just used; elsewhere they cost D^2
    MACs a token. No map of size N x N is ever built.
    """

    def cls_attention(self) -> Tensor:
        """Return the CLS token's attention to each candidate in this block, averaged over the heads, (B, N)."""

    def cls_query(self) -> Tensor:
        """Return the CLS token's query (B, H, E) in this block."""

    def keys(self) -> Tensor:
        """Return the candidates' keys (B, N, H, E) in this block."""

    def attention_received(self) -> Tensor:
        """Return the attention that each candidate gets in this block, mean of all queries and heads, (B, N).

        Without gradient, and in pieces: it costs N^2 D MACs once more, which the other members do not.
        """

    def word_attention(self) -> Tensor:
        """Return the attention that each candidate gets from the words in the same sequence, (B, N), without gradient.

        The mean of all heads and of the words that are no padding. Only in a single-stream model; see
        ``PatchSelector.needs_word_stream``.
        """

    def text_attention(self) -> Tensor:
        """Return the attention that each candidate gets from the last word of the text, (B, N), mean of all heads.

        In a language model a row of its own attention map. In a ViT, which reads no words, the block's own query
        weights read the encoded text (our choice), over the candidates alone; text and patches must be equally wide
        there.
        """

    def attention_of_words(self) -> Tensor:
        """Return the same for each of the L tokens of the text, (B, L, N); padding is not left out."""

    def entered(self) -> tuple[Tensor, Tensor]:
        """Return candidates (B, N, D) and words (B, L, D) as they entered the first layer of a language model.

        There they share a space that deeper layers leave. In a ViT both as they are here.
        """

    def project_query(self, vectors: Tensor) -> Tensor:
        """Return this block's query projection (B, ..., D) of ``vectors`` (B, ..., D), such as a text's [CLS]."""

    def normed(self) -> Tensor:
        """Return the candidates (B, N, D) through this block's second norm, as its feed-forward part reads them."""

    def read(self, vectors: Tensor) -> Tensor:
        """Return what extra tokens (B, M, D) become in this block: they read its tokens, which do not read them."""

    def look_ahead(self, prefix: Tensor, num_blocks: int) -> Tensor:
        """Run this and the next blocks without gradient and return the CLS attention (B, N) of the last of them.

        Args:
            prefix: Prefix tokens (B, P, D) to use in place of the real ones.
            num_blocks: How many blocks, this one included; cut off at the end of the backbone.
        """


@dataclass(frozen=True)
class BlockView:
    """What a selector sees.

    Attributes:
        patches: Candidates (B, N, D) at the selector's site, prefix tokens apart. The fused token of an earlier stage
            is one.
        prefix: CLS and register tokens (B, P, D).
        text: The text that conditions this pass; ``None`` when there is none. In a single-stream model it is the words
            in the sequence as they are at this place, ``pooled`` their [CLS].
        origin: int64 (B, M), the candidate that each of the image's M original patches is in, or -1.
        block: Number of the block, from 1.
        key_weights: How much each candidate counts as a key in attention, (B, N); ``None`` where all count alike.
        inside: The block itself.
        grid: Rows and columns of the M original patches, which lie row by row: patch i is at row ``i // columns``,
            column ``i % columns``.
    """

    patches: Tensor
    prefix: Tensor
    text: TextTokens | None
    origin: Tensor
    block: int
    key_weights: Tensor | None
    inside: BlockAccess
    grid: tuple[int, int]

    @property
    def num_original(self) -> int:
        """Number of patches of the image, before any selection."""
        return self.origin.shape[1]

    def sizes(self) -> Tensor:
        """Return how many original patches were merged into each candidate, (B, N), in float32 at least.

        In half precision counts would be rounded: bfloat16 knows no 257.
        """
        return patches_in_tokens(self.origin, self.patches.shape[1]).to(at_least_float32_dtype(self.patches))


def shapes_alone(block: int, count: int, grid: tuple[int, int]) -> BlockView:
    """Return a view of ``count`` candidates that has shapes and no numbers, for a selector that is asked how many stay.

    Args:
        block: Number of the block, from 1.
        count: Candidates of the one image.
        grid: Rows and columns of its patches.
    """
    inside: Any = None
    with torch.device("meta"):
        patches, origin = torch.empty(1, count, 1), torch.empty(1, grid[0] * grid[1], dtype=torch.int64)
        return BlockView(patches, patches[:, :1], None, origin, block, None, inside, grid)
