"""SparseVLM: text tokens that see something in the image rate the patches; the best dropped ones are recycled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from bus_toolkit.ops import TokenPlan, at_least_float32, at_least_float32_dtype, gather_tokens, keep_plan
from bus_toolkit.selectors import BlockView, PatchSelector, Site, check_widths
from bus_toolkit.structures import Decision
from bus_vlm.density_peaks import density_peaks
from bus_vlm.slots import equal_shares, own_slots


class SparseVLMSelector(PatchSelector):
    """Let the visually relevant text tokens rate the patches; keep the best, cluster the next best (``SparseVLM``).

    arXiv 2410.04417, its first version; Gumpest/SparseVLMs:llava/model/language_model/{modelling_sparse_llama,score,
    utils}.py. A word is a rater if its share in a softmax of ``patch . word`` over the text, averaged over the patches,
    exceeds the mean; both are as they enter the language model. After layers 3, 7 and 16 the raters' attention,
    averaged over heads and raters, is the score. Of the dropped tokens the best ``int(share n) + 1`` are clustered by
    density peaks, ``int(m / 10) + 1`` clusters of m tokens, each of which becomes its mean; the others are gone.

    Ours: raters are found again at each stage, by the patches that are left. Where no word exceeds the mean all of
    them rate. In a vision backbone the block's own query weights replace the language model's, patches and text do
    not share a space unless training brings them to it, and the softmax is over the candidates alone. The number of
    tokens is fixed by ``keep_ratio``, clusters included, instead of by the rank of the attention; the number of
    clusters is computed from the tokens that have to go. A cluster has the position of its centre. The scores do not
    rank, since centres are no best ones. Goes into ``model.selectors``.

    Args:
        blocks: Backbone blocks to sit in, counted from 1.
        embed_dim: Width D of the visual tokens; filled in where it is known.
        text_dim: Width of the text tokens; filled in where it is known. Must equal D.
        keep_ratio: Share of the candidates that come out, kept ones and clusters, in (0, 1], or a schedule.
        recycle_share: Share of the dropped tokens that are clustered, in [0, 1]; 0 drops all of them.
        center_share: Clusters to recycled tokens, in [0, 1].

    Raises:
        ValueError: Unequal widths or a share outside [0, 1].
    """

    site: ClassVar[Site] = "inside_block"
    needs_text: ClassVar[bool] = True
    ranks: ClassVar[bool] = False
    reads_block: ClassVar[bool] = True

    def __init__(
        self,
        *,
        blocks: Sequence[int],
        embed_dim: int | None = None,
        text_dim: int | None = None,
        keep_ratio: float | Mapping[str, Any] = 0.5,
        recycle_share: float = 0.3,
        center_share: float = 0.1,
    ) -> None:
        super().__init__(blocks=blocks, keep_ratio=keep_ratio)
        check_widths(embed_dim, text_dim)
        if not 0.0 <= recycle_share <= 1.0 or not 0.0 <= center_share <= 1.0:
            raise ValueError(
                f"recycle_share and center_share: must be in [0, 1], got {recycle_share} and {center_share}."
            )
        self.recycle_share, self.center_share = recycle_share, center_share

    def score(self, view: BlockView) -> Tensor:
        """Return the attention (B, N) of the raters."""
        assert view.text is not None
        patches, words = view.inside.entered()
        raters = _raters(patches, words, view.text.attention_mask).float()
        attention = view.inside.attention_of_words()  # (B, L, N)
        # Mean over the raters alone: (B, L, N) -> (B, N); at least one token rates, so nothing is divided by 0.
        return (attention * raters.unsqueeze(2)).sum(dim=1) / raters.sum(dim=1, keepdim=True)

    def num_centers(self, num_tokens: int, count: int) -> int:
        """Return how many of the ``count`` tokens that come out are clusters."""
        if self.recycle_share == 0.0:
            return 0
        # 1e-9: 0.29 * 100 is 28.999... in floating point, and must give 29.
        recycled = int(self.recycle_share * (num_tokens - count) + 1e-9) + 1
        return min(count - 1, int(self.center_share * recycled + 1e-9) + 1)

    def forward(self, view: BlockView) -> Decision:
        """Plan the reduction; without a text the CLS attention rates."""
        scores = view.inside.cls_attention() if view.text is None else self.score(view)
        num_tokens, count = scores.shape[1], self.num_kept(view)
        centers = self.num_centers(num_tokens, count)
        if count == num_tokens or centers == 0:
            return Decision(keep_plan(scores, count), scores)
        # Stable: equal scores keep the order of the patches, on every device.
        order = torch.sort(scores.detach(), dim=1, descending=True, stable=True).indices
        kept, dropped = order[:, : count - centers], order[:, count - centers :]
        num_recycled = int(self.recycle_share * dropped.shape[1] + 1e-9) + 1
        # Ascending: density_peaks breaks ties by the index, so the order of the scores must not matter there.
        recycled = dropped[:, : max(centers, min(num_recycled, dropped.shape[1]))].sort(dim=1).values
        return Decision(_plan(view.patches.detach(), kept, recycled, centers), scores)


def _raters(patches: Tensor, words: Tensor, mask: Tensor) -> Tensor:
    """Return which words rate, bool (B, L): at least one, and no padding unless there is nothing else."""
    first = torch.arange(mask.shape[1], device=patches.device) == 0
    valid = mask | (first & ~mask.any(dim=1, keepdim=True))
    # In half precision the comparison with the mean below would depend on rounding.
    with torch.autocast(patches.device.type, enabled=False):
        patches, words = at_least_float32(patches.detach()), at_least_float32(words.detach())
        similarity = patches @ words.transpose(1, 2)  # (B, N, L)
    # Softmax over the text, mean over the patches: (B, N, L) -> (B, L).
    relevance = similarity.masked_fill(~valid.unsqueeze(1), -torch.inf).softmax(dim=2).mean(dim=1)
    # The shares of a text sum to 1. A hair above the mean is rounding: tokens that are all alike have no raters.
    above = valid & (relevance > (1.0 + 1e-5) / valid.sum(dim=1, keepdim=True))
    return above | (valid & ~above.any(dim=1, keepdim=True))


def _plan(patches: Tensor, kept: Tensor, recycled: Tensor, num_centers: int) -> TokenPlan:
    """Return the plan that keeps tokens (B, A) and makes ``num_centers`` means of recycled ones (B, M), ascending."""
    num_tokens = patches.shape[1]
    chosen, cluster = density_peaks(gather_tokens(patches, recycled), num_centers)
    centers = recycled.gather(1, chosen)  # positions among the recycled tokens -> positions among all candidates
    keep = torch.cat([kept, centers], dim=1).sort(dim=1).values
    own = own_slots(keep, num_tokens)
    # Each recycled token goes to the slot of its cluster's centre; tokens in no cluster keep -1 and are dropped.
    slots = own.scatter(1, recycled, own.gather(1, centers).gather(1, cluster))
    weights = equal_shares(slots.clamp(min=0), slots >= 0, keep.shape[1], at_least_float32_dtype(patches))
    return TokenPlan(keep, slots, weights, merging=True)
