"""PuMer where it was published first: inside the blocks of a single-stream model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor

from bus_toolkit.ops import (
    TokenPlan,
    bipartite_merge_plan,
    compose,
    gather_tokens,
    keep_plan,
    num_kept,
    similarity_of_halves,
)
from bus_toolkit.selectors import BlockView, PatchSelector
from bus_toolkit.structures import Decision


class PuMerSelector(PatchSelector):
    """Prune the patches that no word attends to and merge those alike, in one block (``PuMer``).

    arXiv 2305.17530; csarron/PuMer:src/pumer/model/vilt/vit_vilt.py. Between attention and feed-forward part of a block
    that reads words and patches together: patches are ranked by the attention that they got from the words, the mean
    of all heads and words; the last ones go, and of the others those with the most similar keys merge, as in ToMe, each
    token counting once, however many patches are in it. Goes into ``model.selectors`` of a model whose fusion is
    ``SingleStreamFusion``.

    Ours: the image's class token is kept apart (there it is ranked and may be pruned); kept patches stay in the order
    they have, which merging splits in two (there: of their scores); padded words do not ask; words do not merge (there
    20 % do, and the padding with them); without a text the CLS attention ranks. The distillation from an unpruned model
    is not here.

    Args:
        blocks: Blocks to sit in, counted from 1 (there, for ViLT: 3, 6, 9).
        keep_ratio: Share of the patches left by both steps, in (0, 1], or a schedule (there 1 - 0.1 - 0.3).
        merge_share: Share of the others that merges instead of being pruned, in [0, 1] (there 0.3 of 0.4); at most half
            of what is not pruned can merge.

    Raises:
        ValueError: A share outside its range.
    """

    site: ClassVar = "inside_block"
    needs_text: ClassVar[bool] = True
    ranks: ClassVar[bool] = False
    reads_block: ClassVar[bool] = True
    needs_word_stream: ClassVar[bool] = True

    def __init__(
        self, *, blocks: Sequence[int], keep_ratio: float | Mapping[str, Any] = 0.6, merge_share: float = 0.75
    ) -> None:
        super().__init__(blocks=blocks, keep_ratio=keep_ratio)
        if not 0.0 <= merge_share <= 1.0:
            raise ValueError(f"merge_share: must be in [0, 1], got {merge_share}.")
        self.merge_share = merge_share

    def forward(self, view: BlockView) -> Decision:
        """Plan both steps as one."""
        scores = view.inside.cls_attention() if view.text is None else view.inside.word_attention()
        present, left = scores.shape[1], self.num_kept(view)
        # A merge takes two tokens, so that no more can merge than are left.
        merged = min(int((present - left) * self.merge_share + 1e-9), left)
        plan = keep_plan(scores, left + merged)
        if merged:
            keys = gather_tokens(view.inside.keys().mean(dim=2), plan.keep_indices)  # mean of the heads: (B, K, E)
            # A token that holds no patch merges away first and weighs nothing; all others weigh alike.
            held = view.sizes().clamp(max=1).gather(1, plan.keep_indices)
            num_prefix = view.prefix.shape[1]
            edges = similarity_of_halves(keys, num_prefix=num_prefix)
            plan = _both(plan, bipartite_merge_plan(edges, merged, held, num_prefix=num_prefix))
        return Decision(plan, scores)

    def num_kept(self, view: BlockView) -> int:
        """Return how many tokens are left."""
        return num_kept(view.patches.shape[1], self.keep_ratio)


def _both(pruning: TokenPlan, merging: TokenPlan) -> TokenPlan:
    """Return the plan that prunes and then merges what is left."""
    slots: Tensor = compose(pruning.slots, merging)
    weights = merging.weights.gather(1, pruning.slots.clamp(min=0)).masked_fill(slots < 0, 0.0)
    return TokenPlan(pruning.keep_indices.gather(1, merging.keep_indices), slots, weights, merging=True)
