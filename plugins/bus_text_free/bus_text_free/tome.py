"""ToMe: similar tokens are merged, inside every block."""

from __future__ import annotations

from torch import Tensor

from bus_toolkit.ops import bipartite_merge_plan, similarity_of_halves
from bus_toolkit.selectors import BlockView, MergingSelector
from bus_toolkit.structures import Decision


class ToMeSelector(MergingSelector):
    """Merge the most similar pairs of patches by bipartite matching of their keys (``ToMe``).

    arXiv 2210.09461, section 3; written from the description and from what facebookresearch/ToMe:tome/merge.py does,
    since that code may not be reused. Keys are averaged over the heads; merged tokens are means weighted by the number
    of patches in them, and with ``proportional`` count as many keys in later attention. What comes out is in the order
    of the published code, which the next block splits in two (``bipartite_merge_plan``). Equal to it over three merges
    in a row, and to a slow version over three blocks of whole backbones. Ours: registers never merge, ties go to the
    lower index. No parameters; works on a trained transformer as it is. Goes into ``model.selectors``, usually at every
    block. Takes the arguments of ``MergingSelector``.
    """

    def forward(self, view: BlockView) -> Decision:
        """Plan the merging; the scores are the sizes before it, and rank nothing."""
        num_prefix = view.prefix.shape[1]
        # Section 3 compares the keys averaged over the heads: (B, N, H, E) -> (B, N, E).
        return merge_pairs(self, view, similarity_of_halves(view.inside.keys().mean(dim=2), num_prefix=num_prefix))


def merge_pairs(selector: MergingSelector, view: BlockView, edges_BAC: Tensor) -> Decision:
    """Return the merging of the pairs with the highest edges.

    Args:
        selector: Says how many pairs, and whether their sizes count in attention.
        view: The block.
        edges_BAC: How much each token of the first set wants each one of the second, (B, A, C).
    """
    sizes = view.sizes()
    count = view.patches.shape[1] - selector.num_kept(view)
    plan = bipartite_merge_plan(edges_BAC, count, sizes, num_prefix=view.prefix.shape[1])
    return Decision(selector.weigh(plan, sizes), sizes)
