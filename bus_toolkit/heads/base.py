"""What a VLP head is given and what it returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from bus_toolkit.ops.collective import shared_noise
from bus_toolkit.structures import FusedTokens, Selection, TextTokens, TokenBatch, VisualTokens


class Boxes(NamedTuple):
    """Padded boxes of R images: ``xyxy`` (R, M, 4) pixels, ``valid`` and ``named`` bool (R, M), ``size`` (H, W)."""

    xyxy: Tensor
    valid: Tensor
    named: Tensor
    size: tuple[int, int]


class Masked(NamedTuple):
    """Captions with words hidden: ``tokens``; for each place ``positions``, ``targets``, ``valid``, all (B, K)."""

    tokens: TokenBatch
    positions: Tensor
    targets: Tensor
    valid: Tensor


class NestedPart(NamedTuple):
    """A part that a head takes as an argument: the registry it is from, and its node where the config gives none."""

    registry: str
    default: Mapping[str, Any]


MomentumTokens = tuple[VisualTokens, TextTokens, nn.Module]
ReadWeights = Callable[[str], Mapping[str, Tensor]]
"""Returns the tensors of a checkpoint file by name, without running code in it; raises ``CheckpointError``."""


class Step(Protocol):
    """One batch on its way through the model. Everything is computed when first asked for, and once.

    A head asks for what it needs; which text conditions the image is decided by ``conditioning.mode``, not by the head.
    """

    tokens: TokenBatch
    similarity: tuple[Tensor, Tensor] | None
    iteration: int
    num_images: int
    """Images a text: 1, but for statements about several."""

    @property
    def image_ids(self) -> Tensor:
        """Image ids (B,)."""

    @property
    def labels(self) -> Tensor | None:
        """Class labels (B,), or ``None``."""

    def field(self, name: str) -> list[Any]:
        """Return a field of each caption row's data sample; ``None`` where a sample has none."""

    @property
    def text(self) -> TextTokens:
        """The encoded captions."""

    @property
    def masked(self) -> Masked:
        """The captions with words hidden (needs the MLM head)."""

    @property
    def prefix_lengths(self) -> Tensor:
        """Tokens of each caption, (B,), that the prefix language model is given (needs its head)."""

    @property
    def prefix_text(self) -> TextTokens:
        """The encoded beginnings of the captions that the prefix language model is given (needs its head)."""

    def visual(self, objective: str) -> VisualTokens:
        """Return the images under the condition of an objective: B x ``num_images`` rows, those of a text in a row."""

    def visual_pairs(self, objective: str, image_rows: Tensor, text_rows: Tensor) -> tuple[VisualTokens, TextTokens]:
        """Return images and texts paired by global row numbers (all ranks)."""

    def visual_for(self, image_rows: Tensor, text: TextTokens) -> VisualTokens:
        """Return this rank's images at ``image_rows``, conditioned on ``text``."""

    def boxes(self) -> Boxes:
        """Return the boxes of the caption rows."""

    def tokenize(self, texts: list[str]) -> TokenBatch:
        """Return the token ids of other texts."""

    def words(self, ids: list[int]) -> list[str]:
        """Return the vocabulary entries of token ids."""

    def sentence(self, ids: list[int]) -> str:
        """Return the text of token ids, without special tokens."""

    def patch_scores(self, objective: str) -> tuple[list[Selection], Boxes]:
        """Return what the selectors decided on all rows, those for patch-text supervision last, and their boxes."""

    def encode_text(self, tokens: TokenBatch) -> TextTokens:
        """Encode other texts."""

    def fuse(self, text: TextTokens, visual: VisualTokens) -> FusedTokens:
        """Let text and image meet."""

    def decode(self, tokens: TokenBatch, memory: Tensor, memory_mask: Tensor) -> Tensor:
        """Return next-token logits (B, L, V) of the text decoder."""

    def momentum_tokens(self) -> MomentumTokens | None:
        """Return images, texts and ITC projections of the momentum model; ``None`` without one."""


class VLPHead(nn.Module):
    """Base of all heads: an objective with its loss and its predictions. Goes into ``model.heads.<name>``.

    A subclass that calls ``step.fuse`` says so by ``needs_fusion``, one that calls ``step.decode`` by
    ``needs_text_decoder``, one that cannot do without momentum tokens by ``needs_momentum``; a config without these
    parts is then refused. ``several_images`` says that it can work with more than one
    image a text. ``only_name`` is for heads that the model finds by name. ``nested_parts`` are arguments that
    the model builder turns from a YAML node into a part.

    Args:
        weight: Factor of the loss in the sum.
        start_epoch: The loss joins in at this epoch (fractions count).

    Raises:
        ValueError: A negative weight or start.
    """

    needs_fusion: ClassVar[bool] = False
    needs_text_decoder: ClassVar[bool] = False
    needs_momentum: ClassVar[bool] = False
    several_images: ClassVar[bool] = False
    only_name: ClassVar[str | None] = None
    nested_parts: ClassVar[Mapping[str, NestedPart]] = {}

    def __init__(self, *, weight: float = 1.0, start_epoch: float = 0.0) -> None:
        super().__init__()
        if weight < 0 or start_epoch < 0:
            raise ValueError(f"weight and start_epoch: must be 0 or more, got {weight} and {start_epoch}.")
        self.weight = weight
        self.start_epoch = start_epoch

    def loss(self, step: Step) -> dict[str, Tensor]:
        """Return the loss as ``loss_<objective>`` and any figures to log; no other key may contain "loss"."""
        raise NotImplementedError

    def predict(self, step: Step) -> dict[str, Any]:
        """Return named predictions, each with one entry a sample."""
        return {}

    def load_weights(self, read: ReadWeights) -> None:
        """Load what the head needs from files of its own; called when a training starts, not when one is resumed."""

    def after_step(self) -> None:
        """Update state that is not trained by gradient, after the optimizer's step."""


def noise(step: Step, name: str, *shape: int) -> Tensor:
    """Return uniform numbers for this rank's rows that do not depend on the number of ranks."""
    return shared_noise(name, step.iteration, shape, step.tokens.input_ids.device)


def other_rows(image_ids: Tensor) -> Tensor:
    """Return for each row the next one (cyclically) that shows another image, (B,), or -1 where there is none."""
    count = image_ids.shape[0]
    rows = torch.arange(count, device=image_ids.device)
    candidates = (rows.unsqueeze(1) + rows[1:].unsqueeze(0)) % count if count > 1 else rows.new_zeros(count, 0)
    if candidates.shape[1] == 0:
        return torch.full_like(rows, -1)
    differs = image_ids[candidates] != image_ids.unsqueeze(1)
    first = candidates.gather(1, differs.int().argmax(dim=1, keepdim=True)).squeeze(1)
    return torch.where(differs.any(dim=1), first, -1)
