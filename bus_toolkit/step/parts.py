"""The parts of a model, and how the model and its momentum copies run them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from inspect import signature
from typing import Any, NamedTuple

from torch import nn

from bus_toolkit.backbones.token_reducing_backbone import Select, TokenReducingBackbone
from bus_toolkit.priors.base import FusionPrior
from bus_toolkit.structures import FusedTokens, SharedTokens, TextTokens, VisualTokens


@dataclass(frozen=True)
class Parts:
    """The built parts of a model, in the order in which data passes through them.

    Attributes:
        tokenizer: Texts to ids (any object that keeps the tokenizer contract).
        text_encoder: Ids to ``TextTokens``.
        backbone: The backbone with its selectors.
        decoder: ``VisualTokens`` to fewer ``VisualTokens``.
        fusion: ``TextTokens`` and ``VisualTokens`` to ``FusedTokens``; ``None`` for heads that need none.
        text_decoder: Next-token logits from ids and states; ``None`` for heads that write nothing.
        prior: ``TextTokens`` and ``VisualTokens`` to attention logits for the fusion; ``None`` adds nothing.
    """

    tokenizer: Any
    text_encoder: nn.Module
    backbone: TokenReducingBackbone
    decoder: nn.Module
    fusion: nn.Module | None = None
    text_decoder: nn.Module | None = None
    prior: FusionPrior | None = None


class ForBlocks(NamedTuple):
    """What the blocks after the shared ones read.

    Attributes:
        shared: A row for each pass through them.
        text: The text of each row; ``None`` where they read none.
        texts: For so many texts each row serves.
    """

    shared: SharedTokens
    text: TextTokens | None
    texts: int

    @classmethod
    def of(cls, shared: SharedTokens, text: TextTokens | None, *, read_text: bool) -> ForBlocks:
        """Return images with a text each or, for blocks that do not ``read_text``, every image once and no text."""
        count = num_texts(shared, text)
        if count == 1 or read_text:
            return cls(shared.repeat_each(count), text, 1)
        return cls(shared, None, count)


def encode_by(
    backbone: TokenReducingBackbone, decoder: nn.Module, shared: SharedTokens, text: TextTokens | None, select: Select
) -> VisualTokens:
    """Return what the rest of a backbone and a decoder make of images, each under its text.

    Args:
        backbone: Of towers.
        decoder: Of its tokens.
        shared: Of B images.
        text: For each image one text, or Q next to each other, (B * Q, L, D): parts that read no text then run once an
            image. ``None`` is a text-free pass.
        select: Which selectors act.
    """
    blocks = ForBlocks.of(shared, text, read_text=backbone.needs_text)
    visual = backbone.forward_conditioned(blocks.shared, blocks.text, select=select)
    if blocks.texts == 1 or getattr(decoder, "reads_text", False):
        return decode_visual(decoder, visual.repeat_each(blocks.texts), text)
    return decode_visual(decoder, visual, None).repeat_each(blocks.texts)


def decode_visual(decoder: nn.Module, visual: VisualTokens, text: TextTokens | None) -> VisualTokens:
    """Return what a decoder makes of the tokens of a backbone, with these beside it."""
    decoded = decoder(visual, text)
    # Queries of a decoder all hold something, also where a decoder of a plugin does not say so.
    unread = None if decoded.origin is None else decoded.unread
    return replace(decoded, undecoded=visual, unread=unread, unrepeated=None)


def fuse_by(
    fusion: nn.Module, prior: nn.Module | None, text: TextTokens, visual: VisualTokens, *, first_only: bool = False
) -> FusedTokens:
    """Return what a fusion makes of texts and visual tokens under a prior, which reads the text that is fused.

    Args:
        fusion: Of towers.
        prior: The model's; ``None`` adds nothing.
        text: A text an image (B, L, D).
        visual: (B, P + S, D_v); a prior that they bring along (``VisualTokens.prior``) replaces the model's.
        first_only: Whether the global token is all that is wanted; a fusion may then leave out the others.
    """
    wanted = {"first_only": True} if first_only and _takes_first_only(type(fusion).forward) else {}
    if prior is None:
        return fusion(text, visual, **wanted)
    return fusion(text, visual, prior(text, visual) if visual.prior is None else visual.prior, **wanted)


@cache
def _takes_first_only(forward: Callable[..., Any]) -> bool:
    return "first_only" in signature(forward).parameters


def num_texts(shared: SharedTokens, text: TextTokens | None) -> int:
    """Return how many texts in a row belong to each image; 1 without a text."""
    return 1 if text is None else text.embeds.shape[0] // shared.tokens.shape[0]
