"""VisPruner: what the CLS token attends to, and of the rest what is no duplicate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from bus_toolkit.ops import gather_tokens
from bus_toolkit.selectors import BlockView, PatchSelector, Site
from bus_vlm.greedy import cosines, scores_of_order


class VisPrunerSelector(PatchSelector):
    """Keep important tokens, then diverse ones among the others (``VisPruner``).

    arXiv 2412.01818; Theia-4869/VisPruner:llava/model/llava_arch.py. Of the tokens that stay, half have the highest
    CLS attention in the tower's last-but-one layer. The others, in falling attention, are thinned out: every second
    one is compared with those between, and the ``step`` of them whose nearest of these is most alike (by the cosine
    of their features) go; what is left of them comes first, in the order of falling likeness, and so on until enough
    are gone. Ours: an odd number of tokens is split, too, and equal numbers keep their order. The scores put
    important tokens first, and rank nothing. In ``reduce_tokens(model, vision=...)`` it acts where it is published;
    there the mean of all tokens replaces a CLS token that a tower does not have. Goes into ``model.selectors``.

    Args:
        blocks: Layers or blocks to sit in, counted from 1; meant for the last-but-one of a tower.
        keep_ratio: Share of the candidates kept, in (0, 1], or a schedule.
        important_share: Share of these that the attention chooses, in [0, 1], rounded down.
        step: How many duplicates go at a time, 1 or more.

    Raises:
        ValueError: A share outside [0, 1], or a ``step`` below 1.
    """

    site: ClassVar[Site] = "inside_block"
    ranks: ClassVar[bool] = False
    reads_block: ClassVar[bool] = True

    def __init__(
        self,
        *,
        blocks: Sequence[int],
        keep_ratio: float | Mapping[str, Any] = 0.5,
        important_share: float = 0.5,
        step: int = 8,
    ) -> None:
        super().__init__(blocks=blocks, keep_ratio=keep_ratio)
        if not 0.0 <= important_share <= 1.0 or step < 1:
            raise ValueError(
                f"important_share and step: must be in [0, 1] and 1 or more tokens, got {important_share} and {step}."
            )
        self.important_share, self.step = important_share, step

    @torch.no_grad()
    def score(self, view: BlockView) -> Tensor:
        """Return numbers (B, N) that put important tokens first, then diverse ones, then the others at 0."""
        attention, count = view.inside.cls_attention(), self.num_kept(view)
        # 1e-9: 0.29 * 100 is 28.999... in floating point, and must give 29.
        num_important = int(count * self.important_share + 1e-9)
        order = attention.sort(dim=1, descending=True, stable=True).indices
        important, others = order[:, :num_important], order[:, num_important:]
        diverse = _without_duplicates(view.patches, others, count - num_important, self.step)
        return scores_of_order(torch.cat([important, diverse], dim=1), attention.shape[1], attention.dtype)


def _without_duplicates(features: Tensor, places: Tensor, count: int, step: int) -> Tensor:
    """Return ``count`` of the ``places`` (B, R) of features (B, N, D), int64 (B, count)."""
    if count == 0:
        return places[:, :0]
    while places.shape[1] > count:
        first, second = places[:, ::2], places[:, 1::2]
        likeness = cosines(gather_tokens(features, first), gather_tokens(features, second)).amax(dim=2)
        gone = min(step, places.shape[1] - count, first.shape[1])
        by_likeness = likeness.sort(dim=1, descending=True, stable=True).indices
        places = torch.cat([first.gather(1, by_likeness[:, gone:]), second], dim=1)
    return places
