"""FastV: the last text token's attention says which patches stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from bus_toolkit.selectors import BlockView, PatchSelector, Site
from bus_toolkit.structures import TextTokens
from bus_vlm.attention import attention_of_text, check_widths


class FastVSelector(PatchSelector):
    """Keep the patches that the last text token attends to most (``FastV``).

    arXiv 2403.06764; pkunlp-icler/FastV:src/FastV/llava-hf. There, after layer K of the language model, image tokens
    are ranked by the mean-head attention of the sequence's last token; ``round((1 - R) n)`` stay, positions kept, the
    others are dropped. Ours: the vision block's own query weights replace the language model's, the softmax is
    over the candidates alone, and the last token is that of the text encoder, which in BERT is [SEP] and has read the
    text from both sides. With several blocks it is PyramidDrop's schedule too. Goes into ``model.selectors``.

    Args:
        blocks: Backbone blocks to sit in, counted from 1.
        embed_dim: Width D of the visual tokens; filled in from the backbone.
        text_dim: Width of the text tokens; filled in from the text encoder. Must equal D.
        keep_ratio: Share of the candidates kept (FastV's 1 - R), in (0, 1], or a schedule.

    Raises:
        ValueError: Unequal widths.
    """

    site: ClassVar[Site] = "inside_block"
    needs_text: ClassVar[bool] = True
    reads_block: ClassVar[bool] = True

    def __init__(
        self, *, blocks: Sequence[int], embed_dim: int, text_dim: int, keep_ratio: float | Mapping[str, Any] = 0.5
    ) -> None:
        super().__init__(blocks=blocks, keep_ratio=keep_ratio)
        check_widths(embed_dim, text_dim)

    def score(self, view: BlockView) -> Tensor:
        """Return the attention (B, N) of the last text token."""
        assert view.text is not None
        return attention_of_text(view, _last_token(view.text)).squeeze(1)

    def num_kept(self, view: BlockView) -> int:
        """Return the share of the candidates, rounded to the nearest, at least one."""
        return max(1, round(view.patches.shape[1] * self.keep_ratio))


def _last_token(text: TextTokens) -> Tensor:
    """Return the last token (B, 1, D) that may be attended; the first one where none may."""
    positions = torch.arange(text.attention_mask.shape[1], device=text.embeds.device)
    last = torch.where(text.attention_mask, positions, 0).max(dim=1).values
    return text.embeds.gather(1, last[:, None, None].expand(-1, 1, text.embeds.shape[2]))
