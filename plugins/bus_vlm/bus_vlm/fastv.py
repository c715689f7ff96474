"""FastV: the last text token's attention says which visual tokens stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor

from bus_toolkit.ops import share_of_mass
from bus_toolkit.selectors import BlockView, PatchSelector, Site, check_widths


class FastVSelector(PatchSelector):
    """Keep the visual tokens that the last text token attends to most (``FastV``).

    arXiv 2403.06764; pkunlp-icler/FastV:src/FastV/llava-hf. After layer K of the language model, image tokens are
    ranked by the attention of the sequence's last token in that layer, averaged over the heads; ``round((1 - R) n)``
    stay, positions kept, the others are dropped. In ``reduce_tokens(model, selectors=...)`` it is that, with K in
    ``blocks`` (2 in the paper); in training the last token is that of the question, before the answer.

    In a vision backbone (ours) the block's own query weights replace the language model's, the softmax is over the
    candidates alone, and the last token is that of the text encoder, which in BERT is [SEP] and has read the text from
    both sides.

    ``mass`` is ours too, after GlimpsePrune (arXiv 2508.01548) and VisionSelector (arXiv 2510.16598), which keep
    another number of tokens for each sample: the fewest that hold this share of the attention which goes to the
    visual tokens. Goes into ``model.selectors``.

    Args:
        blocks: Layers or blocks to sit in, counted from 1.
        embed_dim: Width D of the visual tokens; filled in where it is known.
        text_dim: Width of the text tokens; filled in where it is known. Must equal D.
        keep_ratio: Share of the candidates kept (FastV's 1 - R), in (0, 1], or a schedule; with ``mass`` the most that
            stay.
        mass: Share of the attention that what stays must hold, in (0, 1]; ``None``: all samples keep equally many.

    Raises:
        ValueError: Unequal widths, or a ``mass`` outside (0, 1].
    """

    site: ClassVar[Site] = "inside_block"
    needs_text: ClassVar[bool] = True
    reads_block: ClassVar[bool] = True

    def __init__(
        self,
        *,
        blocks: Sequence[int],
        embed_dim: int | None = None,
        text_dim: int | None = None,
        keep_ratio: float | Mapping[str, Any] = 0.5,
        mass: float | None = None,
    ) -> None:
        super().__init__(blocks=blocks, keep_ratio=keep_ratio)
        check_widths(embed_dim, text_dim)
        if mass is not None and not 0.0 < mass <= 1.0:
            raise ValueError(f"mass: must be a share in (0, 1], or None for equally many tokens, got {mass}.")
        self.mass = mass

    def score(self, view: BlockView) -> Tensor:
        """Return the attention (B, N) of the last text token."""
        return view.inside.text_attention()

    def marked(self, scores: Tensor) -> Tensor | None:
        """Return which candidates hold the mass, bool (B, N)."""
        return None if self.mass is None else share_of_mass(scores, self.mass)

    def num_kept(self, view: BlockView) -> int:
        """Return the share of the candidates, rounded to the nearest, at least one."""
        return max(1, round(view.patches.shape[1] * self.keep_ratio))
