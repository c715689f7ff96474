"""Slowly moving copies of the encoders, which give stable targets to the contrastive loss."""

from __future__ import annotations

import copy
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bus_toolkit.structures import TextTokens, TokenBatch, VisualTokens


class MomentumBranch(nn.Module):
    """Exponential moving averages of backbone, decoder, text encoder and contrastive projections.

    The copies never get gradient and always run in eval mode. With ``selection: none`` their images are unpruned and
    text-free, as in the published ELIP (guoyang9/ELIP:ALBEF/models/model_pretrain.py).

    Args:
        modules: The trained modules by name: ``backbone``, ``decoder``, ``text_encoder``, ``projections``.
        decay: Share of the old value kept at each step, in [0, 1).
        selection: ``none`` or ``same`` (selected by the own caption).

    Raises:
        ValueError: ``decay`` outside [0, 1) or an unknown ``selection``.
    """

    def __init__(
        self, modules: dict[str, nn.Module], *, decay: float = 0.995, selection: Literal["none", "same"] = "none"
    ) -> None:
        super().__init__()
        if not 0.0 <= decay < 1.0 or selection not in ("none", "same"):
            raise ValueError(
                f"model.momentum: decay must be in [0, 1) and selection none or same, got {decay} and {selection!r}."
            )
        self.decay = decay
        self.selection = selection
        self.copies: Any = nn.ModuleDict({name: copy.deepcopy(module) for name, module in modules.items()})
        self.copies.requires_grad_(False)
        self.copies.eval()

    def train(self, mode: bool = True) -> MomentumBranch:
        """Stay in eval mode."""
        return super().train(False)

    def restart(self, modules: dict[str, nn.Module]) -> None:
        """Set every copy to its original."""
        for name, module in modules.items():
            self.copies[name].load_state_dict(module.state_dict())

    @torch.no_grad()
    def update(self, modules: dict[str, nn.Module]) -> None:
        """Move every copy by ``1 - decay`` towards its original; buffers are copied."""
        for name, module in modules.items():
            copied = self.copies[name]
            targets: list[Tensor] = list(copied.parameters())
            sources: list[Tensor] = list(module.parameters())
            if targets:
                torch._foreach_lerp_(targets, sources, 1.0 - self.decay)
            for target, source in zip(copied.buffers(), module.buffers(), strict=True):
                target.copy_(source)

    @torch.no_grad()
    def forward(self, images: Tensor, tokens: TokenBatch) -> tuple[VisualTokens, TextTokens, nn.Module]:
        """Return images, texts and projections of the momentum model."""
        text = self.copies["text_encoder"](tokens)
        prefix = self.copies["backbone"].forward_shared(images)
        if self.selection == "none":
            visual = self.copies["backbone"].forward_conditioned(prefix, None, select="none")
            visual = self.copies["decoder"](visual, None)
        else:
            visual = self.copies["decoder"](self.copies["backbone"].forward_conditioned(prefix, text), text)
        return visual, text, self.copies["projections"]
