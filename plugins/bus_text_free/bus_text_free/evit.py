"""EViT: the CLS token's attention says which patches stay."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor

from bus_toolkit.selectors import BlockView, Fuse, PatchSelector, Site


class EViTSelector(PatchSelector):
    """Keep the patches with the highest mean-head CLS attention inside a block; fuse the rest by it (``EViT``).

    arXiv 2202.07800, section 3; youweiliang/evit:evit.py. The fused token is the plain weighted sum there (``raw``) and
    the number kept is rounded up. Ours: kept patches stay in positional order, where EViT leaves them in the order of
    their scores. Its DeiT-S uses ``blocks: [4, 7, 10], keep_ratio: 0.7``. Goes into ``model.selectors``.

    Args:
        blocks: Backbone blocks to sit in, counted from 1.
        keep_ratio: Share of the candidates kept, in (0, 1], or a schedule.
        fuse: ``raw`` (EViT), ``normalized`` or ``none``.
    """

    site: ClassVar[Site] = "inside_block"
    reads_block: ClassVar[bool] = True

    def __init__(
        self, *, blocks: Sequence[int], keep_ratio: float | Mapping[str, Any] = 0.7, fuse: Fuse = "raw"
    ) -> None:
        super().__init__(blocks=blocks, keep_ratio=keep_ratio, fuse=fuse)

    def score(self, view: BlockView) -> Tensor:
        """Return the attention of the CLS token (B, N)."""
        return view.inside.cls_attention()

    def fuse_weights(self, scores: Tensor) -> Tensor:
        """Weigh the fused patches by that attention."""
        return scores

    def num_kept(self, view: BlockView) -> int:
        """Return the share of the candidates, rounded up, guarded against float error."""
        return max(1, math.ceil(view.patches.shape[1] * self.keep_ratio - 1e-9))
