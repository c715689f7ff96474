"""VisionZip: dominant tokens by CLS attention, contextual ones by merging what is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from bus_toolkit.ops import TokenPlan, at_least_float32, gather_tokens, keep_plan, num_kept, top_indices
from bus_toolkit.selectors import BlockView, PatchSelector, Site
from bus_toolkit.structures import Decision
from bus_vlm.slots import equal_shares, own_slots


class VisionZipSelector(PatchSelector):
    """Keep what the CLS token attends to, merge the rest into evenly spaced tokens of it (``VisionZip``).

    arXiv 2412.04467; dvlab-research/VisionZip:visionzip/clip_encoder.py. The candidates with the highest CLS attention
    are dominant and stay as they are. Of the rest, every s-th one is a target; each other one goes to the target whose
    key, averaged over the heads, has the highest cosine with its own. A contextual token is the target PLUS the plain
    mean of what came to it: a sum of two, not a mean. In ``reduce_tokens(model, vision=...)`` it acts where it is
    published, after the tower's last layer but one (block 23 of 24) by its attention and keys.

    Ours: all tokens stay in positional order, where contextual ones come last there; the CLS token is apart and not
    counted, and where a tower has none the mean of all tokens replaces it; in a vision backbone merging happens
    before the block's feed-forward part, not after it. The scores do not rank, since targets are no best ones. Goes
    into ``model.selectors``.

    Args:
        blocks: Backbone blocks to sit in, counted from 1; meant for the last but one.
        keep_ratio: Share of the candidates that come out, dominant and contextual, in (0, 1], or a schedule.
        contextual_share: Share of these that are contextual, in [0, 1), rounded down; at least one if it is not 0 and
            two or more tokens come out. The default is VisionZip's 10 of 64. 0 drops the rest.

    Raises:
        ValueError: A share outside [0, 1).
    """

    site: ClassVar[Site] = "inside_block"
    ranks: ClassVar[bool] = False
    reads_block: ClassVar[bool] = True

    def __init__(
        self,
        *,
        blocks: Sequence[int],
        keep_ratio: float | Mapping[str, Any] = 0.33,
        contextual_share: float = 10 / 64,
    ) -> None:
        super().__init__(blocks=blocks, keep_ratio=keep_ratio)
        if not 0.0 <= contextual_share < 1.0:
            raise ValueError(f"contextual_share: must be in [0, 1), got {contextual_share}.")
        self.contextual_share = contextual_share

    def score(self, view: BlockView) -> Tensor:
        """Return the attention of the CLS token (B, N)."""
        return view.inside.cls_attention()

    def num_contextual(self, count: int) -> int:
        """Return how many of ``count`` tokens are contextual."""
        if count == 1 or self.contextual_share == 0.0:
            return 0
        return num_kept(count, self.contextual_share)

    def forward(self, view: BlockView) -> Decision:
        """Plan the reduction."""
        scores, count = self.score(view), self.num_kept(view)
        contextual = self.num_contextual(count)
        if count == scores.shape[1] or contextual == 0:
            return Decision(keep_plan(scores, count), scores)
        dominant = top_indices(scores.detach(), count - contextual)
        return Decision(_plan(dominant, contextual, at_least_float32(view.inside.keys().detach()).mean(dim=2)), scores)


def _plan(dominant: Tensor, num_contextual: int, metric: Tensor) -> TokenPlan:
    """Return the plan for dominant tokens (B, A), ascending, and a metric (B, N, E) of all candidates."""
    num_tokens = metric.shape[1]
    num_rest = num_tokens - dominant.shape[1]
    is_dominant = own_slots(dominant, num_tokens) >= 0
    # False sorts before True, so the candidates that are not dominant come first, in positional order.
    rest = torch.sort(is_dominant, dim=1, stable=True).indices[:, :num_rest]
    # Every step-th of the rest is a target: evenly spaced over the image, (B, num_contextual).
    step = num_rest // num_contextual
    targets = rest[:, : step * num_contextual : step]
    keep = torch.cat([dominant, targets], dim=1).sort(dim=1).values
    own = own_slots(keep, num_tokens)
    # No autocast: in half precision, rounded cosines would change which target is the nearest.
    with torch.autocast(metric.device.type, enabled=False):
        metric = F.normalize(metric, dim=-1)
        # (B, N, E) @ (B, E, C) -> (B, N, C), then the best target of each candidate, (B, N).
        nearest = (metric @ gather_tokens(metric, targets).transpose(1, 2)).max(dim=2).indices
    slots = torch.where(own >= 0, own, own.gather(1, targets).gather(1, nearest))
    # The target has weight 1, its members share another 1: the slot is the target plus their mean, not one mean.
    weights = torch.where(own >= 0, 1.0, equal_shares(slots, own < 0, keep.shape[1], metric.dtype))
    return TokenPlan(keep, slots, weights, merging=True)
