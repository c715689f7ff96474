"""CrossGET: learned cross tokens carry the other modality and say which tokens may be merged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bus_cross_modal.complete_graph import complete_graph_plan
from bus_toolkit.ops import keep_plan
from bus_toolkit.selectors import BlockView, MergingSelector
from bus_toolkit.structures import Decision, Guide


class CrossGETSelector(MergingSelector):
    """Merge tokens that are alike and far from a learned cross token, inside every block (``CrossGET``).

    arXiv 2305.17455; sdc17/CrossGET:CLIP/clip/{model,reducer}.py. Importance is the cosine of the cross token's query
    and a patch's key, both averaged over the heads; ``complete_graph_plan`` matches and weighs. Sizes count in later
    attention, as in ToMe.

    No gradient reaches the cross tokens through the merging. They learn what the text says from ``GuidanceHead``
    (``loss: kl``) alone, which is given what each of them reads in its block: without that head they stay random.

    Ours: a cross token is one learned vector a block, the same for all images, which reads the block and is not read;
    there it is part of the sequence, is read by the patches, and starts each block from its own output of the block
    before. Its query is taken after a layer norm without weights, in place of the block's first norm. Only the image
    is reduced here. Goes into ``model.selectors``, usually at every block.

    Args:
        blocks: Backbone blocks to sit in, counted from 1.
        embed_dim: Width D of the visual tokens; filled in from the backbone.
        merging: The other arguments of ``MergingSelector``.
    """

    def __init__(self, *, blocks: Sequence[int], embed_dim: int, **merging: Any) -> None:
        super().__init__(blocks=blocks, **merging)
        self.cross_tokens = nn.Parameter(torch.empty(len(self.blocks), embed_dim))
        nn.init.normal_(self.cross_tokens, std=0.02)

    def cross_token(self, view: BlockView) -> Tensor:
        """Return the cross token (1, D) of the block."""
        return self.cross_tokens[self.blocks.index(view.block)].unsqueeze(0)

    def score(self, view: BlockView) -> Tensor:
        """Return how close each candidate is to what the cross token asks, a cosine, (B, N)."""
        token, keys = self.cross_token(view), view.inside.keys()
        query = view.inside.project_query(F.layer_norm(token, token.shape[-1:]))
        query = query.unflatten(-1, keys.shape[2:]).mean(dim=-2)  # (1, D) -> (1, H, E) -> (1, E)
        return F.cosine_similarity(keys.mean(dim=2), query, dim=-1)

    def forward(self, view: BlockView) -> Decision:
        """Plan the merging; the guide is what the cross token reads in the block."""
        token, importance = self.cross_token(view), self.score(view)
        # One token for all images, (1, D) -> (B, 1, D), since it reads the block of each.
        answers = view.inside.read(token.expand(view.patches.shape[0], -1, -1))
        guide = Guide(token, answers)
        present, left = view.patches.shape[1], self.num_kept(view)
        if left == present:
            return Decision(keep_plan(importance, present), importance, guide=guide)
        sizes = view.sizes()
        # Keys are averaged over the heads, as the query is: (B, N, H, E) -> (B, N, E).
        plan = complete_graph_plan(view.inside.keys().mean(dim=2), importance, present - left, sizes)
        return Decision(self.weigh(plan, sizes), importance, guide=guide)
