"""DivPrune: the most diverse visual tokens stay."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from bus_toolkit.selectors import BlockView, PatchSelector
from bus_vlm.greedy import cosines, farthest_first, scores_of_order


class DivPruneSelector(PatchSelector):
    """Keep tokens that are far from one another (``DivPrune``).

    arXiv 2503.02175: the visual tokens between projector and language model are cut to the subset whose smallest
    cosine distance is largest (the max-min diversity problem), found greedily: the first is the one with the largest
    distance to its nearest neighbour, each next one has the largest distance to the nearest of those chosen. Written
    from descriptions of the paper; its code has a licence that forbids commercial use, and was not read. In
    ``reduce_tokens(model, projected=...)`` it acts where it is published, in a vision backbone after a block. The
    scores say when a token was chosen. Goes into ``model.selectors``.
    """

    ranks: ClassVar[bool] = False

    def score(self, view: BlockView) -> Tensor:
        """Return 1 for the token that is chosen first, falling to 0 for those never chosen, (B, N)."""
        distances = 1.0 - cosines(view.patches, view.patches)
        order = farthest_first(distances, self.num_kept(view))
        return scores_of_order(order, distances.shape[1], distances.dtype)
