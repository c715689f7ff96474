"""The text under which a backbone of an OpenMMLab model encodes its images, for the duration of one forward pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bus_toolkit.errors import ConfigError
from bus_toolkit.structures import TextTokens

Repeat = Literal["each", "all"]
WithoutText = Literal["cls", "none"]


@dataclass
class ConditionedPasses:
    """What happened while ``conditioned_on`` was open.

    Attributes:
        count: How many passes of the backbone it conditioned.
        scores: For each supervised selection of these passes, the logits (B, N) of the candidates and, int64 (B, M),
            the candidate that each original patch was in, or -1.
    """

    count: int = 0
    scores: list[tuple[Tensor, Tensor]] = field(default_factory=list)


@contextmanager
def conditioned_on(
    backbone: nn.Module,
    text: TextTokens | None,
    *,
    repeat: Repeat = "each",
    without_text: WithoutText = "cls",
    with_scores: bool = False,
) -> Iterator[ConditionedPasses]:
    """Let ``backbone`` encode images under ``text`` while this is open, whoever calls it.

    The text travels as arguments of the call, as tensors and in order, so that a pass that activation checkpointing
    repeats after this is closed reads the same text, and gives it its gradient. Nothing is kept on the backbone. Of
    contexts inside each other, the inner one holds.

    Args:
        backbone: A ``TokenReducedViT``, or what a library wrapped it in.
        text: One text for each image, or for each group of equally many images; ``None`` asks for a pass without text.
        repeat: How texts are repeated for groups: ``each`` (1 1 2 2: the images of a text in a row), or ``all`` (1 2 1
            2).
        without_text: What selectors that read a text do in a pass without: ``cls`` attention picks, or ``none``: they
            let everything through.
        with_scores: Whether to collect the scores of supervised selectors.

    Raises:
        ConfigError: The backbone did not run in the meantime; images that are no multiple of the texts.
    """
    passes = ConditionedPasses()

    def add_text(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        if not args:
            raise ConfigError(
                f"model: {type(backbone).__name__} takes its images as the first argument without a name while "
                "conditioned_on is open, got none. Call backbone(images)."
            )
        passes.count += 1
        images = args[0]
        if text is None:
            return (images, None, None, None, without_text, with_scores)
        rows = _repeated(text, images.shape[0], repeat)
        return (images, rows.embeds, rows.pooled, rows.attention_mask, None, with_scores)

    def take_scores(module: nn.Module, args: Any, output: tuple[Any, ...]) -> tuple[Any, ...]:
        # mmpretrain's models take the first output or the last one: theirs is left alone.
        passes.scores += zip(output[1::2], output[2::2], strict=True)
        return output[:1]

    with backbone.register_forward_pre_hook(add_text), backbone.register_forward_hook(take_scores):
        yield passes
    if not passes.count:
        raise ConfigError(
            f"model: {type(backbone).__name__} should have encoded images under a text, got no call of it. "
            "Call the backbone itself, as a module, while conditioned_on is open."
        )


def _repeated(text: TextTokens, num_images: int, repeat: Repeat) -> TextTokens:
    num_texts = text.embeds.shape[0]
    times, rest = divmod(num_images, num_texts)
    if rest:
        raise ConfigError(
            f"model: needs one text an image, or one for equally many images each, got {num_texts} texts for "
            f"{num_images} images. Look at the texts of the data samples."
        )
    if repeat == "each":
        return text.repeat_each(times)
    return text.index(torch.arange(num_texts, device=text.embeds.device).repeat(times))
