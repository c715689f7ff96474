"""Patch scores of selectors in both towers, as a patch-text head trains them.

Shapes: B rows, N patches of an image, V visual tokens that the language model reads, C candidates of a selector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from bus_toolkit.structures import PatchScores, Selection, VisualTokens


def on_patches(visual: VisualTokens, inner: Sequence[Selection]) -> list[Selection]:
    """Return what all selectors decided, those of the backbone first, by the patches of the image.

    Selections in the language model have none where a decoder's queries took the place of the patches.

    Args:
        visual: What the language model reads; ``origin`` says in which of the V tokens a patch is.
        inner: The selections in the language model, which counts the V tokens as its patches.
    """
    if visual.origin is None:
        return list(visual.selections)
    later = [replace(one, slots_before=_through(visual.origin, one.slots_before)) for one in inner]
    return [*visual.selections, *later]


def trainable(selections: Sequence[Selection]) -> list[PatchScores]:
    """Return the scores that are logits of selections by patches."""
    return [
        PatchScores(one.decision.scores, one.slots_before, one.decision.learns_from)
        for one in selections
        if one.decision.supervised
    ]


def _through(origin: Tensor, slots: Tensor) -> Tensor:
    """Return where patches are, (B, N), by the token of each, (B, N), and where tokens are, (B, V); -1 is gone."""
    return torch.where(origin < 0, -1, slots.gather(1, origin.clamp(min=0)))
