"""Slowly moving copies of a model's parts, which give stable and soft targets."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bus_toolkit.heads.base import Copied, VLPHead
from bus_toolkit.ops.shards import own_part
from bus_toolkit.step.parts import encode_by, fuse_by
from bus_toolkit.structures import FusedTokens, TextTokens, TokenBatch, VisualTokens

_log = logging.getLogger(__name__)


class MomentumBranch(nn.Module):
    """Exponential moving averages of backbone, decoder, text encoder and of what the heads need beside these.

    That is the projections of a contrastive head, and fusion, text decoder and prediction layers of heads that distil
    (``VLPHead.distils``). The copies never get gradient and always run in eval mode. With ``selection: none`` their
    images are unpruned and text-free, as in the published ELIP (guoyang9/ELIP:ALBEF/models/model_pretrain.py).

    Args:
        model: The trained model.
        copied: The name of each copy, with the path of its original in ``model``; see ``followed_parts``.
        decay: Share of the old value kept at each step, in [0, 1).
        selection: ``none`` or ``same`` (selected by the own caption; only where every head sees that).
        alpha_ramp_epochs: So many epochs the ``alpha`` of all heads grows from 0, linearly, since the copies know
            nothing at first; fractions count. 1 in salesforce/ALBEF:Pretrain.py, 2 in salesforce/BLIP:pretrain.py.

    Attributes:
        trust: The factor of every head's ``alpha`` at the present epoch, from 0 to 1; 1 outside of a training.

    Raises:
        ValueError: ``decay`` outside [0, 1), an unknown ``selection``, or a negative or infinite ramp.
    """

    def __init__(
        self,
        model: nn.Module,
        copied: Mapping[str, str],
        *,
        decay: float = 0.995,
        selection: Literal["none", "same"] = "none",
        alpha_ramp_epochs: float = 0.0,
    ) -> None:
        super().__init__()
        if not 0.0 <= decay < 1.0 or selection not in ("none", "same"):
            raise ValueError(
                f"model.momentum: decay must be in [0, 1) and selection none or same, got {decay} and {selection!r}."
            )
        if not 0.0 <= alpha_ramp_epochs < math.inf:
            raise ValueError(
                f"model.momentum.alpha_ramp_epochs: must be 0 or more, and finite, got {alpha_ramp_epochs}."
            )
        self.decay = decay
        self.selection = selection
        self.alpha_ramp_epochs = alpha_ramp_epochs
        self.trust = 1.0
        self._was_warned = False
        self.paths = dict(copied)
        self.copies: Any = nn.ModuleDict()
        for name, path in self.paths.items():
            *folder, last = name.split(".")
            parent: Any = self.copies
            for part in folder:
                if part not in parent:
                    parent[part] = nn.ModuleDict()
                parent = parent[part]
            parent[last] = copy.deepcopy(model.get_submodule(path))
        self.copies.requires_grad_(False)
        self.copies.eval()

    @property
    def selects(self) -> bool:
        """Whether the text selects the patches of the copies' images."""
        return self.selection == "same"

    @property
    def projections(self) -> nn.Module | None:
        """The copy of the contrastive projections; ``None`` without a contrastive head."""
        return self.copies["projections"] if "projections" in self.copies else None

    def train(self, mode: bool = True) -> MomentumBranch:
        """Stay in eval mode."""
        return super().train(False)

    def set_progress(self, epoch: float) -> None:
        """Set how far training is: the heads' trust in the copies, and their keep ratios, where they select."""
        self.trust = min(1.0, epoch / self.alpha_ramp_epochs) if self.alpha_ramp_epochs else 1.0
        self.copies["backbone"].set_progress(epoch)

    def restart(self, model: nn.Module) -> None:
        """Set every copy to its original."""
        for original, copied in self._pairs(model):
            copied.load_state_dict(original.state_dict())

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move every copy by ``1 - decay`` towards its original; buffers are copied."""
        for original, copied in self._pairs(model):
            # Weights that are spread over ranks are spread alike: each rank moves its own part.
            targets: list[Tensor] = [own_part(parameter) for parameter in copied.parameters()]
            sources: list[Tensor] = [own_part(parameter) for parameter in original.parameters()]
            if targets:
                self._warn_of_rounding(targets[0].dtype)
                torch._foreach_lerp_(targets, sources, 1.0 - self.decay)
            for target, source in zip(copied.buffers(), original.buffers(), strict=True):
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
    def encode_text(self, tokens: TokenBatch) -> TextTokens:
        """Encode ids (B, L)."""
        return self.copies["text_encoder"](tokens)

    @torch.no_grad()
    def encode_visual(self, images: Tensor, text: TextTokens | None) -> VisualTokens:
        """Encode images (B, 3, H, W), each under its text or its Q texts (B * Q, L, D); ``None`` leaves every patch."""
        backbone = self.copies["backbone"]
        shared = backbone.forward_shared(images)
        return encode_by(backbone, self.copies["decoder"], shared, text, "none" if text is None else "all")

    @torch.no_grad()
    def fuse(self, text: TextTokens, visual: VisualTokens) -> FusedTokens:
        """Let texts (B, L, D) and visual tokens (B, P + S, D_v) meet."""
        return fuse_by(self.copies["fusion"], self.copies["prior"] if "prior" in self.copies else None, text, visual)

    @torch.no_grad()
    def decode(self, tokens: TokenBatch, memory: Tensor, memory_mask: Tensor) -> Tensor:
        """Return next-token logits (B, L, V) from ids (B, L) and states (B, M, D) with their mask (B, M)."""
        return self.copies["text_decoder"](tokens, memory, memory_mask)

    def head(self, name: str) -> nn.Module:
        """Return the copy of a head."""
        return self.copies["heads"][name]

    def _warn_of_rounding(self, dtype: torch.dtype) -> None:
        if dtype.itemsize < 4 and not self._was_warned:
            self._was_warned = True
            _log.warning(
                "model.momentum: copies of %s weights hardly move, since steps of %.3g of a difference are rounded "
                "away. Keep the weights in float32, and train in mixed precision.",
                str(dtype).removeprefix("torch."),
                1.0 - self.decay,
            )

    def _pairs(self, model: nn.Module) -> Iterator[tuple[nn.Module, nn.Module]]:
        """Yield each original with its copy."""
        for name, path in self.paths.items():
            yield model.get_submodule(path), self.copies.get_submodule(name)


def followed_parts(heads: Mapping[str, VLPHead], projections: str | None, *, has_prior: bool = False) -> dict[str, str]:
    """Return what a momentum branch copies: the name of each copy, with the path of its original in the model.

    Args:
        heads: Those of the model by name; what they distil by is copied, and nothing that none of them needs.
        projections: The head whose contrastive projections are copied; ``None`` without one.
        has_prior: Whether the fusion has a prior, of which its copy has one too.
    """
    parts = {name: name for name in ("text_encoder", "backbone", "decoder")}
    if projections is not None:
        parts["projections"] = f"heads.{projections}.projections"
    wanted = {part for head in heads.values() for part in head.momentum_parts}
    for part in (Copied.FUSION, Copied.TEXT_DECODER):
        if part in wanted:
            parts[part.value] = part.value
    if has_prior and Copied.FUSION in wanted:
        parts["prior"] = "prior"
    for name, head in heads.items():
        if Copied.HEAD in head.momentum_parts:
            parts[f"heads.{name}"] = f"heads.{name}"
    return parts


def copied_parts(model: nn.Module) -> dict[str, str]:
    """Return the path of each momentum copy in ``model`` by that of its original."""
    found: dict[str, str] = {}
    for path, part in model.named_modules():
        if isinstance(part, MomentumBranch):
            found |= part.copied_paths(path)
    return found
