"""Patch scores of selectors in both towers, and of attention, as a patch-text head trains them.

Shapes: B rows, N patches of an image, V visual tokens that the language model reads, C candidates of a selector, Q
questions of a row, of which the language model reads T.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from bus_toolkit.heads.patch_text import PatchTextHead
from bus_toolkit.ops.repeat_rows import repeat_rows
from bus_toolkit.structures import Boxes, PatchScores, Selection, VisualTokens


def patch_text_loss(
    head: PatchTextHead,
    boxes: Boxes,
    visual: VisualTokens,
    inner: Sequence[Selection],
    attention: Sequence[Tensor],
    ends: Tensor,
) -> Tensor | None:
    """Return the mean loss of all scores that boxes can train; ``None`` where there are none.

    A selector has read the first question of its row, attention is that of each question.

    Args:
        head: Says what the loss is.
        boxes: Of the questions, B * Q rows.
        visual: What the language model reads, B rows; ``origin`` says in which of the V tokens a patch is.
        inner: The selections in the language model.
        attention: Scores (B, T, V) of layers; without a place of the patches in the V tokens they are left out.
        ends: int64 (B, T), where the questions end; below 0 for those that are not read, as they did not fit.
    """
    device = visual.embeds.device
    rows, read = torch.arange(len(visual.embeds), device=device).unsqueeze(1), ends.shape[1]
    turns = len(boxes.xyxy) // len(rows)
    first = boxes.rows(slice(None, None, turns))
    pairs = [(one, first) for one in trainable(on_patches(visual, inner))]
    if visual.origin is not None:
        own = boxes.rows((rows * turns + torch.arange(read, device=device)).flatten())
        own = own._replace(valid=own.valid & (ends >= 0).flatten().unsqueeze(1))
        slots = repeat_rows(visual.origin, read)
        pairs += [(PatchScores(one.flatten(0, 1), slots), own) for one in attention]
    losses = [head.loss_of([scores], of, *head.cover(of)) for scores, of in pairs]
    return torch.stack(losses).mean() if losses else None


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
