"""Words and patches as one sequence through the blocks of a vision transformer: the passes of single-stream models.

Dims: B batch, P prefix tokens of the image, L text length, N patches, S tokens left of them, D width.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from bus_toolkit.backbones.adapters.base import TransformerAdapter
from bus_toolkit.backbones.conditioned_pass import ConditionedPass, Select
from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone
from bus_toolkit.structures import SharedTokens, TextTokens, VisualTokens


class JointTokens(NamedTuple):
    """Both sides after a pass: ``visual`` (B, P + S, D) with its selections, and ``words`` (B, L, D)."""

    visual: VisualTokens
    words: Tensor


def run_joint(
    backbone: TokenReducingBackbone, visual: VisualTokens, text: TextTokens, num_blocks: int | None = None
) -> JointTokens:
    """Run all blocks on the tokens of images and texts together; selectors remove image tokens alone.

    The words are prefix tokens that follow the image's own: they stay, have no place in the image, and padding among
    them is read by nobody. A selector gets them, as they are at its place, as ``BlockView.text``.

    Args:
        backbone: Gives the blocks, the selectors and the last norm.
        visual: Embedded images (B, P + N, D) that no block has seen.
        text: A text each, as wide (B, L, D).
        num_blocks: Stop after this block, before the last norm; all blocks when not given.
    """
    prefix, patches = visual.embeds[:, : visual.num_prefix], visual.embeds[:, visual.num_prefix :]
    tokens = torch.cat([prefix, text.embeds, patches], dim=1)
    both = _run(backbone, SharedTokens(tokens, visual.grid, 0), text, visual.num_prefix, num_blocks)
    image, words = _apart(both.embeds, visual.num_prefix, text.embeds.shape[1])
    unread = None if both.unread is None else _apart(both.unread, visual.num_prefix, text.embeds.shape[1])[0]
    return JointTokens(replace(both, embeds=image, num_prefix=visual.num_prefix, unread=unread), words)


def run_words(backbone: TokenReducingBackbone, text: TextTokens) -> Tensor:
    """Run all blocks on texts (B, L, D) alone, without any image."""
    return _run(backbone, SharedTokens(text.embeds, (0, 0), 0), text, 0, None).embeds


def run_image(
    backbone: TokenReducingBackbone, visual: VisualTokens, select: Select, num_blocks: int | None = None
) -> VisualTokens:
    """Run all blocks on embedded images (B, P + N, D) alone, without any text; ``select`` says which selectors act."""
    tokens = SharedTokens(visual.embeds, visual.grid, 0)
    return backbone.forward_conditioned(tokens, select=select, num_blocks=num_blocks)


def stream_problems(adapter: TransformerAdapter) -> Iterator[str]:
    """Yield why the blocks of a transformer cannot read words beside patches; nothing if they can."""
    name = type(adapter.vit).__name__
    if not adapter.has_blocks:
        yield f"padding among the words must be hidden inside the blocks, got {name}, whose blocks are closed"
    elif not adapter.num_prefix or adapter.pools:
        yield f"the image needs a class token, got {name} without one"
    elif type(adapter).logit_bias is not TransformerAdapter.logit_bias:
        yield f"words have no place among relative positions, got {name}"


def _run(
    backbone: TokenReducingBackbone, tokens: SharedTokens, text: TextTokens, num_prefix: int, num_blocks: int | None
) -> VisualTokens:
    adapter = copy.copy(backbone.adapter)  # holds no weights
    adapter.num_prefix = num_prefix + text.embeds.shape[1]
    selectors = backbone.selectors if tokens.grid != (0, 0) else ()
    stream = ConditionedPass(
        adapter, selectors, shared=tokens, text=text, own_code=backbone.own_code, words=text.attention_mask
    )
    return stream.run(backbone.num_blocks if num_blocks is None else num_blocks)


def _apart(both: Tensor, num_prefix: int, length: int) -> tuple[Tensor, Tensor]:
    """Return the image's (B, P + S, ...) and the words' part (B, L, ...) of a sequence."""
    end = num_prefix + length
    return torch.cat([both[:, :num_prefix], both[:, end:]], dim=1), both[:, num_prefix:end]
