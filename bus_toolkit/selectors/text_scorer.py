"""The network that scores visual tokens against a text: that of ``TSPS``, and of what scores without selecting.

Shape suffixes: B texts, I images of B / I texts each, N visual tokens, D their width, E the width of the text.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bus_toolkit.ops.precision import at_least_float32
from bus_toolkit.ops.repeat_rows import repeat_rows

Interaction = Literal["concat", "product"]


def add_text_scorer(part: Any, embed_dim: int, text_dim: int, interaction: Interaction) -> None:
    """Give a module the layers of the scorer, under names that are those of its state dict.

    Args:
        part: The module, whose constructor has called that of ``nn.Module``.
        embed_dim: Width D of the visual tokens.
        text_dim: Width E of the text's [CLS].
        interaction: ``concat`` reads ``[x ; c]``; ``product`` reads ``[x ; c ; x * c]``.

    Raises:
        ValueError: An unknown ``interaction``.
    """
    if interaction not in ("concat", "product"):
        raise ValueError(f"interaction: must be concat or product, got {interaction!r}.")
    part.norm = nn.LayerNorm(embed_dim)
    part.text_proj = nn.Linear(text_dim, embed_dim)
    part.patch_in = nn.Linear(embed_dim, embed_dim)
    # The first layer on [x ; c] is a sum of two: the text half is computed once a sample instead of once a patch.
    part.text_in = nn.Linear(embed_dim, embed_dim, bias=False)
    part.product_in = nn.Linear(embed_dim, embed_dim, bias=False) if interaction == "product" else None
    part.hidden = nn.Linear(embed_dim, embed_dim // 2)
    part.out = nn.Linear(embed_dim // 2, 1)


def score_by_text(part: Any, tokens_IND: Tensor, text_BE: Tensor) -> Tensor:
    """Return logits (B, N) of "this token belongs to what the text says", in float32 or more.

    Args:
        part: A module that ``add_text_scorer`` gave its layers.
        tokens_IND: Visual tokens; what no text changes is computed once an image.
        text_BE: The [CLS] of a text for each image, or of several next to each other.
    """
    tokens_IND = part.norm(tokens_IND)
    text_B1D = part.text_proj(text_BE).unsqueeze(1)  # added to every token below
    first_IND, count = part.patch_in(tokens_IND), text_BE.shape[0] // tokens_IND.shape[0]
    hidden = repeat_rows(first_IND, count) + part.text_in(text_B1D)
    if part.product_in is not None:
        hidden = hidden + part.product_in(repeat_rows(tokens_IND, count) * text_B1D)
    return patch_logits(part, hidden)


def patch_logits(part: Any, first_BND: Tensor) -> Tensor:
    """Return one logit a token, (B, N), in float32 or more, from what the first of three layers gave.

    Args:
        part: A module with the other two as ``hidden`` and ``out``.
        first_BND: Before the activation.
    """
    hidden = F.gelu(part.hidden(F.gelu(first_BND)))
    # In half precision many patches would tie, and ties go to the upper left.
    with torch.autocast(hidden.device.type, enabled=False):
        weight, bias = at_least_float32(part.out.weight), at_least_float32(part.out.bias)
        return F.linear(at_least_float32(hidden), weight, bias).squeeze(-1)  # (B, N, 1) -> (B, N)
