"""DynamicViT: a learned predictor drops patches, with a true gradient through the choice in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bus_toolkit.errors import ConfigError
from bus_toolkit.heads import HeadOutput, Step, VLPHead
from bus_toolkit.ops import at_least_float32, keep_plan
from bus_toolkit.selectors import BlockView, PatchSelector
from bus_toolkit.structures import Condition, Decision


class DynamicViTSelector(PatchSelector):
    """Predict for each patch whether to keep it, from itself and the mean of the patches kept so far (``DynamicViT``).

    arXiv 2106.02034, sections 3.2 and 3.3; raoyongming/DynamicViT:models/dyvit.py. In training every patch stays, and a
    hard Gumbel-softmax sample with straight-through gradient says how much each counts as a key in later attention (0
    or 1); in evaluation the most probable patches are gathered. Nothing here asks for the ratio: add ``KeepRatioHead``.
    The own token is not exempt from its mask (there it is), which changes only tokens that nobody reads: what comes
    after the backbone does not read masked ones, as it does without them in evaluation (there a classifier reads the
    class token, and the distillation the patches that are left). One entry is
    one predictor: a stage with a predictor of its own is an entry of its own. Goes into ``model.selectors``.

    Args:
        blocks: Backbone blocks after which it acts, counted from 1.
        embed_dim: Width D of the visual tokens, divisible by 4; filled in from the backbone.
        keep_ratio: Share of the candidates kept in evaluation, in (0, 1], or a schedule. 1 keeps all, in training too.

    Raises:
        ValueError: A width that 4 does not divide.
    """

    def __init__(self, *, blocks: Sequence[int], embed_dim: int, keep_ratio: float | Mapping[str, Any] = 0.7) -> None:
        super().__init__(blocks=blocks, keep_ratio=keep_ratio)
        if embed_dim % 4:
            raise ValueError(f"embed_dim: must be divisible by 4, got {embed_dim}. Choose another width.")
        self.embed = nn.Sequential(nn.LayerNorm(embed_dim), nn.Linear(embed_dim, embed_dim), nn.GELU())
        self.decide = nn.Sequential(
            nn.Linear(embed_dim, embed_dim // 2),
            nn.GELU(),
            nn.Linear(embed_dim // 2, embed_dim // 4),
            nn.GELU(),
            nn.Linear(embed_dim // 4, 2),
        )

    def log_probs(self, view: BlockView) -> Tensor:
        """Return the log-probabilities (B, N, 2) of keeping and of dropping each candidate."""
        # (B, N, D) -> twice (B, N, D / 2): what a patch says of itself, and what it adds to the mean.
        local, other = self.embed(view.patches).chunk(2, dim=-1)
        weights = view.key_weights
        if weights is None:
            mean = other.mean(dim=1, keepdim=True)
        else:
            weights = weights.unsqueeze(-1).to(other.dtype)
            mean = (other * weights).sum(dim=1, keepdim=True) / weights.sum(dim=1, keepdim=True).clamp(min=1e-6)
        logits = self.decide(torch.cat([local, mean.expand_as(local)], dim=-1))
        return at_least_float32(logits).log_softmax(dim=-1)

    def score(self, view: BlockView) -> Tensor:
        """Return the log-probability (B, N) of keeping."""
        return self.log_probs(view)[..., 0]

    def forward(self, view: BlockView) -> Decision:
        """Mask in training, gather in evaluation."""
        if not self.training or self.keep_ratio == 1.0:
            return super().forward(view)
        log_probs = self.log_probs(view)
        mask = F.gumbel_softmax(log_probs, hard=True, dim=-1)[..., 0]
        if view.key_weights is not None:
            mask = mask * view.key_weights
        # Every patch stays a token, so that the gradient reaches the mask through its weight as a key.
        plan = keep_plan(log_probs[..., 0], log_probs.shape[1])
        return Decision(replace(plan, key_weights=mask, may_hide=True), log_probs[..., 0])


class KeepRatioHead(VLPHead):
    """Ask soft masks to let a given share of the patches through (DynamicViT's ratio loss). Goes into ``model.heads``.

    ``(mean mask - ratio)^2``, averaged over images and stages (raoyongming/DynamicViT:losses.py, weight 2 there).

    Args:
        keep_ratio: Share of the original patches that each stage lets through: a list, or r for r, r^2, r^3, ...
        weight: Factor of the loss in the sum.
        start_epoch: The loss joins in at this epoch.

    Raises:
        ValueError: A share outside (0, 1].
    """

    # How many patches are let through is no part of any text.
    sees = Condition.CAPTION

    def __init__(
        self, *, keep_ratio: float | Sequence[float] = 0.7, weight: float = 2.0, start_epoch: float = 0.0
    ) -> None:
        super().__init__(weight=weight, start_epoch=start_epoch)
        ratios = list(keep_ratio) if isinstance(keep_ratio, Sequence) else [keep_ratio]
        if not ratios or not all(0.0 < ratio <= 1.0 for ratio in ratios):
            raise ValueError(f"keep_ratio: each share must be in (0, 1], got {keep_ratio}.")
        self.keep_ratio = keep_ratio

    def loss(self, step: Step) -> HeadOutput:
        """Return ``loss_keep_ratio`` and the share let through by the last stage.

        Raises:
            ConfigError: Another number of masks than ratios.
        """
        selections = step.visual(Condition.CAPTION).selections
        masks = [s.decision.plan.key_weights for s in selections if s.decision.plan.key_weights is not None]
        if not masks:
            return HeadOutput({"keep_ratio": step.text.pooled.sum() * 0.0})
        ratios = self.keep_ratio
        targets = list(ratios) if isinstance(ratios, Sequence) else [ratios**s for s in range(1, len(masks) + 1)]
        if len(targets) != len(masks):
            raise ConfigError(
                f"KeepRatioHead.keep_ratio: {len(masks)} stages mask patches, got {len(targets)} shares. "
                "Give one a stage, or a single number."
            )
        shares = torch.stack([mask.mean(dim=1) for mask in masks])
        loss = (shares - shares.new_tensor(targets).unsqueeze(1)).square().mean()
        return HeadOutput({"keep_ratio": loss}, {"kept_by_mask": shares[-1].detach().mean()})
