"""Slowly moving copies of the encoders, which give stable targets to the contrastive loss."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bus_toolkit.step.encoders import decode_visual
from bus_toolkit.structures import TextTokens, TokenBatch, VisualTokens


class MomentumBranch(nn.Module):
    """Exponential moving averages of backbone, decoder, text encoder and contrastive projections.

    The copies never get gradient and always run in eval mode. With ``selection: none`` their images are unpruned and
    text-free, as in the published ELIP (guoyang9/ELIP:ALBEF/models/model_pretrain.py).

    Args:
        modules: The trained modules by their path in the model; the last name of the path (``backbone``, ``decoder``,
            ``text_encoder``, ``projections``) is that of the copy.
        decay: Share of the old value kept at each step, in [0, 1).
        selection: ``none`` or ``same`` (selected by the own caption; only where every head sees that).

    Raises:
        ValueError: ``decay`` outside [0, 1) or an unknown ``selection``.
    """

    def __init__(
        self, modules: Mapping[str, nn.Module], *, decay: float = 0.995, selection: Literal["none", "same"] = "none"
    ) -> None:
        super().__init__()
        if not 0.0 <= decay < 1.0 or selection not in ("none", "same"):
            raise ValueError(
                f"model.momentum: decay must be in [0, 1) and selection none or same, got {decay} and {selection!r}."
            )
        self.decay = decay
        self.selection = selection
        self.paths = {path.rsplit(".", 1)[-1]: path for path in modules}
        self.copies: Any = nn.ModuleDict({name: copy.deepcopy(modules[path]) for name, path in self.paths.items()})
        self.copies.requires_grad_(False)
        self.copies.eval()

    def train(self, mode: bool = True) -> MomentumBranch:
        """Stay in eval mode."""
        return super().train(False)

    def set_progress(self, epoch: float) -> None:
        """Set the keep ratios that hold at ``epoch``, where the copies select."""
        self.copies["backbone"].set_progress(epoch)

    def restart(self, model: nn.Module) -> None:
        """Set every copy to its original."""
        for name, path in self.paths.items():
            self.copies[name].load_state_dict(model.get_submodule(path).state_dict())

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move every copy by ``1 - decay`` towards its original; buffers are copied."""
        for name, path in self.paths.items():
            module, copied = model.get_submodule(path), self.copies[name]
            targets: list[Tensor] = list(copied.parameters())
            sources: list[Tensor] = list(module.parameters())
            if targets:
                torch._foreach_lerp_(targets, sources, 1.0 - self.decay)
            for target, source in zip(copied.buffers(), module.buffers(), strict=True):
                target.copy_(source)

    def start_from_weights(self, state_dict: dict[str, Tensor], prefix: str, *_: object) -> None:
        """Let copies that a model's weights do not have (of another kind of training) start from their originals.

        Args:
            state_dict: The model's weights, to which the copies are added.
            prefix: What all names of the model start with.
        """
        for path, copied in self.copied_paths("momentum").items():
            if any(key.startswith(f"{prefix}{copied}.") for key in state_dict):
                continue
            start = f"{prefix}{path}."
            self._copy_metadata(state_dict, f"{prefix}{path}", f"{prefix}{copied}")
            for key in [key for key in state_dict if key.startswith(start)]:
                state_dict[f"{prefix}{copied}.{key[len(start) :]}"] = state_dict[key]

    def copied_paths(self, path: str) -> dict[str, str]:
        """Return the path of each copy in the model by that of its original; ``path`` is that of this branch."""
        return {original: f"{path}.copies.{name}" for name, original in self.paths.items()}

    @staticmethod
    def _copy_metadata(state_dict: dict[str, Tensor], path: str, copied: str) -> None:
        """Let the metadata of a part, such as the grid of its positions, hold for its copy too."""
        metadata = getattr(state_dict, "_metadata", None) or {}
        for own in [own for own in metadata if own == path or own.startswith(f"{path}.")]:
            metadata[copied + own[len(path) :]] = metadata[own]

    @torch.no_grad()
    def forward(self, images: Tensor, tokens: TokenBatch) -> tuple[VisualTokens, TextTokens, nn.Module]:
        """Return images, texts and projections of the momentum model."""
        text = self.copies["text_encoder"](tokens)
        prefix = self.copies["backbone"].forward_shared(images)
        if self.selection == "none":
            visual, seen = self.copies["backbone"].forward_conditioned(prefix, None, select="none"), None
        else:
            visual, seen = self.copies["backbone"].forward_conditioned(prefix, text), text
        return decode_visual(self.copies["decoder"], visual, seen), text, self.copies["projections"]


def copied_parts(model: nn.Module) -> dict[str, str]:
    """Return the path of each momentum copy in ``model`` by that of its original."""
    found: dict[str, str] = {}
    for path, part in model.named_modules():
        if isinstance(part, MomentumBranch):
            found |= part.copied_paths(path)
    return found
