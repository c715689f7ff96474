"""MADTP: tokens shared by image and text say, for each image, where importance ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from bus_toolkit.ops import TokenPlan, apply_plan, keep_plan
from bus_toolkit.selectors import BlockView, Fuse, PatchSelector, Site
from bus_toolkit.structures import Decision, Guide


class MADTPSelector(PatchSelector):
    """Keep what is attended to and aligned with tokens that image and text share; each image has its bar (``MADTP``).

    arXiv 2403.02991; double125/MADTP:models/{vit,utils}.py. Importance is the mean of the attention that a patch
    receives, the CLS token's attention to it, and its best alignment with the shared tokens. An image's threshold is
    the lowest, over the shared tokens, of the mean importance weighted by their alignment. What is not kept becomes one
    token, weighted by importance. The shared tokens learn from ``GuidanceHead`` (``loss: cosine``), and through the
    weights of the fused token.

    There an image keeps what lies above its threshold, but the most that any image of the batch keeps, so that results
    depend on batch mates. Ours does not: ``keep_ratio`` fixes the number, and kept patches that are not above their own
    image's threshold are closed. They stay in the sequence, but no token reads them any more: their weight as a key is
    0, and what attention they had goes to the other keys, by the softmax. Closed patches are the first to go at a later
    stage. Nothing reads them after the backbone either. So an image has what it would have there alone in its batch,
    but for what ``keep_ratio`` takes.

    Also ours: each of the three parts is divided by its sum over the patches (the alignment, which may be negative,
    goes through a softmax), so that they weigh alike; heads are averaged; attention received counts the CLS token's
    query; alignment is taken from the patches as the feed-forward part reads them, divided by the root of D; patches
    without weight as keys do not align. Goes into ``model.selectors``.

    Args:
        blocks: Backbone blocks to sit in, counted from 1; all use the same shared tokens.
        embed_dim: Width D of the visual tokens; filled in from the backbone.
        keep_ratio: Share of the candidates kept, in (0, 1], or a schedule; 1 closes none.
        num_tokens: Number M of shared tokens.
        temperature: Divides the alignment that weighs the importance for the threshold, above 0. Small ones give each
            shared token its best patch; large ones bring the threshold to the mean importance.
        fuse: ``normalized`` (MADTP), ``raw`` or ``none``.

    Raises:
        ValueError: ``num_tokens`` below 1 or ``temperature`` not above 0.
    """

    site: ClassVar[Site] = "inside_block"
    reads_block: ClassVar[bool] = True

    def __init__(
        self,
        *,
        blocks: Sequence[int],
        embed_dim: int,
        keep_ratio: float | Mapping[str, Any] = 0.7,
        num_tokens: int = 100,
        temperature: float = 1.0,
        fuse: Fuse = "normalized",
    ) -> None:
        super().__init__(blocks=blocks, keep_ratio=keep_ratio, fuse=fuse)
        if num_tokens < 1 or temperature <= 0:
            raise ValueError(
                f"num_tokens and temperature: must be 1 or more and above 0, got {num_tokens} and {temperature}."
            )
        self.temperature = temperature
        self.shared_tokens = nn.Parameter(torch.randn(num_tokens, embed_dim))

    def alignment(self, patches: Tensor, key_weights: Tensor | None) -> Tensor:
        """Return how well patches (B, N, D) align with each shared token, as logits (B, N, M)."""
        # (B, N, D) @ (D, M) -> (B, N, M), scaled as attention logits are.
        logits = patches @ self.shared_tokens.t() / patches.shape[-1] ** 0.5
        return logits if key_weights is None else logits + key_weights.clamp(min=1e-6).log().unsqueeze(-1)

    def importance(self, view: BlockView, alignment: Tensor) -> Tensor:
        """Return the importance (B, N) of the candidates of each image; it sums to 1."""
        parts = (
            _share(view.inside.attention_received()),
            _share(view.inside.cls_attention()),
            alignment.amax(dim=2).softmax(dim=1),
        )
        return (parts[0] + parts[1] + parts[2]) / 3

    def threshold(self, importance: Tensor, alignment: Tensor) -> Tensor:
        """Return the threshold (B, 1) of each image."""
        # Softmax over the patches: for each shared token a weight per patch, (B, N, M).
        weights = (alignment / self.temperature).softmax(dim=1)
        # Mean importance as each shared token sees it, (B, M); the lowest of these is the threshold, (B, 1).
        return (importance.unsqueeze(2) * weights).sum(dim=1).amin(dim=1, keepdim=True)

    def forward(self, view: BlockView) -> Decision:
        """Plan the reduction; the guide is what the shared tokens gather from the candidates."""
        patches = view.inside.normed()
        alignment = self.alignment(patches, view.key_weights)
        importance = self.importance(view, alignment)
        plan = keep_plan(
            importance,
            self.num_kept(view),
            fuse=self.fuse != "none",
            fuse_weights_BN=importance,
            normalize=self.fuse == "normalized",
        )
        if not plan.is_identity:
            # Hard comparison: no gradient may reach the scores through it.
            is_open = importance.detach() > self.threshold(importance, alignment).detach()
            plan = replace(plan, key_weights=_key_weights(plan, is_open, view.key_weights), may_hide=True)
        # (B, M, N) @ (B, N, D) -> (B, M, D)
        answers = alignment.softmax(dim=1).transpose(1, 2).to(patches.dtype) @ patches
        return Decision(plan, importance, guide=Guide(self.shared_tokens, answers))


def _share(values: Tensor) -> Tensor:
    return values / values.sum(dim=1, keepdim=True).clamp(min=torch.finfo(values.dtype).tiny)


def _key_weights(plan: TokenPlan, is_open: Tensor, earlier: Tensor | None) -> Tensor:
    """Return how much each token counts as a key, (B, S): weights go through the plan as tokens do, closed ones are 0.

    The fused token so counts as the mean of its tokens, one key in the usual case, as in MADTP.
    """
    weights = torch.ones_like(plan.weights) if earlier is None else earlier.to(plan.weights.dtype)
    # As tokens of width 1: (B, N) -> (B, N, 1) -> (B, S, 1) -> (B, S).
    carried = apply_plan(weights.unsqueeze(-1), plan).squeeze(-1)
    stays_open = is_open.gather(1, plan.keep_indices)
    # Only kept tokens can be closed; the fused token comes after them and stays as it is.
    return torch.cat([carried[:, : stays_open.shape[1]] * stays_open, carried[:, stays_open.shape[1] :]], dim=1)
