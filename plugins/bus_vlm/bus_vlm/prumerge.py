"""LLaVA-PruMerge: kept tokens absorb those with near keys, one extra token takes the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from bus_toolkit.ops import TokenPlan, at_least_float32, gather_tokens, keep_plan, top_indices
from bus_toolkit.selectors import BlockView, PatchSelector, Site
from bus_toolkit.structures import Decision
from bus_vlm.attention import attention_to_candidates
from bus_vlm.slots import own_slots


class PruMergeSelector(PatchSelector):
    """Keep by CLS attention; each kept token absorbs its nearest others, an extra one the rest (``PruMerge``).

    arXiv 2403.15388; 42Shawn/LLaVA-PruMerge:llava/model/multimodal_encoder/clip_encoder.py. The attention is that of
    one head over the whole width. A kept token is itself plus the sum of the dropped ones among its nearest keys (by
    cosine), each times its attention; the extra token is such a sum without a whole part. Neither is normalised. In
    ``reduce_tokens(model, vision=...)`` it acts on the published features, those that leave the tower's last layer but
    one (block 23 of 24), by that layer's queries and keys; the code reads those of the last layer.

    Ours: a token ends in one place, so a dropped one goes to the nearest of the kept ones that have it among their
    nearest, else into the extra token (there several may absorb it, kept ones absorb one another, and the extra token
    takes all dropped ones again). In an image whose kept tokens absorb every dropped one, the extra token is empty, and
    nothing reads it, in the backbone or after it. The attention is a softmax over the candidates without the CLS token.
    The number kept is fixed: the published count of outliers is each image's own. ``plus`` there adds as many samples
    as are kept; here half of the number are samples, and none is counted twice. Goes into ``model.selectors``.

    Args:
        blocks: Backbone blocks to sit in, counted from 1; meant for the last.
        keep_ratio: Share of the candidates kept, beside the extra token, in (0, 1], or a schedule.
        num_neighbors: Nearest keys, kept ones among them, that a kept token looks at, 1 or more.
        plus: Whether half of the kept tokens are evenly spaced samples; then the scores do not rank.

    Raises:
        ValueError: ``num_neighbors`` below 1.
    """

    site: ClassVar[Site] = "inside_block"
    reads_block: ClassVar[bool] = True

    def __init__(
        self,
        *,
        blocks: Sequence[int],
        keep_ratio: float | Mapping[str, Any] = 0.125,
        num_neighbors: int = 32,
        plus: bool = False,
    ) -> None:
        super().__init__(blocks=blocks, keep_ratio=keep_ratio)
        if num_neighbors < 1:
            raise ValueError(f"num_neighbors: must be 1 or more keys, got {num_neighbors}.")
        self.num_neighbors, self.plus = num_neighbors, plus
        self.ranks = not plus  # type: ignore[misc]  # the samples are no best ones

    def score(self, view: BlockView) -> Tensor:
        """Return the attention of the CLS token (B, N), by one head over the whole width."""
        # (B, H, E) -> (B, D) and (B, N, H, E) -> (B, N, D): the published attention has one head.
        query, keys = view.inside.cls_query().flatten(1), view.inside.keys().flatten(2)
        return attention_to_candidates(query[:, None, None], keys.unsqueeze(2), view.key_weights)[:, 0]

    def num_left(self, view: BlockView) -> int:
        """Return how many tokens come out, the extra one included."""
        kept = self.num_kept(view)
        return kept + int(kept < view.patches.shape[1])

    def forward(self, view: BlockView) -> Decision:
        """Plan the reduction."""
        scores, count = self.score(view), self.num_kept(view)
        if count == scores.shape[1]:
            return Decision(keep_plan(scores, count), scores)
        # Samples come first, then the best scores.
        priority = scores.detach()
        if self.plus:
            priority = priority.index_fill(1, _evenly_spaced(count // 2, scores.shape[1], scores.device), torch.inf)
        keep = top_indices(priority, count)
        nearest = _absorber(view.inside.keys().detach().flatten(2), keep, self.num_neighbors)
        own = own_slots(keep, scores.shape[1])
        slots = torch.where(own >= 0, own, nearest.masked_fill(nearest < 0, count))
        # What no attention is paid to adds nothing anywhere.
        slots = slots.masked_fill((own < 0) & (scores == 0), -1)
        plan = TokenPlan(keep, slots, scores.scatter(1, keep, 1.0), fused=True, merging=True, may_be_empty=True)
        return Decision(plan, scores)


def _evenly_spaced(count: int, num_tokens: int, device: torch.device) -> Tensor:
    """Return the middles of ``count`` equal stretches, int64."""
    return (2 * torch.arange(count, device=device) + 1) * num_tokens // max(1, 2 * count)


def _absorber(keys: Tensor, absorbing: Tensor, num_neighbors: int) -> Tensor:
    """Return which of the absorbing tokens (B, A) is nearest among those that reach each token, int64 (B, N), or -1."""
    with torch.autocast(keys.device.type, enabled=False):
        keys = F.normalize(at_least_float32(keys), dim=-1)
        cosine = gather_tokens(keys, absorbing) @ keys.transpose(1, 2)
    cosine = cosine.scatter(2, absorbing.unsqueeze(2), -torch.inf)  # itself is no neighbour
    neighbors = torch.sort(cosine, dim=2, descending=True, stable=True).indices[..., :num_neighbors]
    reached = torch.zeros_like(cosine, dtype=torch.bool).scatter(2, neighbors, True)
    best, nearest = cosine.masked_fill(~reached, -torch.inf).max(dim=1)
    return nearest.masked_fill(best == -torch.inf, -1)
