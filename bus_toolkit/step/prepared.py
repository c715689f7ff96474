"""What a data loader's worker has made of the rows of a batch: padded tensors, each of all rows.

The process that trains then has nothing to tokenize and nothing to pad. Each data sample of the batch holds the same
``PreparedRows`` and its row in it, so that a part of the batch finds its own; what would not fit is made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from bus_toolkit.ops.to_device import on_one_device
from bus_toolkit.structures import TokenBatch
from bus_toolkit.tokenizers import TextTokenizer
from bus_toolkit.tokenizers.base import TextsSeen

FIELD = "prepared"
"""The field of a data sample: its ``PreparedRows``, and which of them it is."""


@dataclass(frozen=True, repr=False)
class PreparedRows:
    """The R rows of a batch, on the CPU.

    Attributes:
        texts: What the ids were made of.
        tokens: Ids and mask (R, L).
        boxes: Corners float32 (R, M, 4) and which of them a text names, bool (R, M); R rows of M places.
        counts: Boxes of each row.
        seen: What the tokenizer has counted, until somebody has added it.
    """

    texts: tuple[str, ...]
    tokens: TokenBatch
    boxes: tuple[Tensor, Tensor]
    counts: tuple[int, ...]
    seen: list[TextsSeen]


def prepare_rows(samples: Sequence[Any], tokenizer: TextTokenizer) -> None:
    """Give the data samples of a batch what a step makes of them; texts that cannot be read are left for the step.

    Args:
        samples: R data samples with a ``text``, and ``gt_boxes`` (n, 4) and ``named`` (n,) where they have some.
        tokenizer: The model's, or its copy in a worker.
    """
    texts = tuple(sample.get("text") for sample in samples)
    try:
        tokens, seen = tokenizer.counted_apart(texts)
    except Exception:  # the step says what is wrong, in the process whose errors a user reads
        return
    boxes, counts = padded_boxes(samples)
    prepared = PreparedRows(texts, tokens, boxes, counts, [seen])
    for row, sample in enumerate(samples):
        sample.set_field((prepared, row), FIELD, dtype=None)


def tokens_of(samples: Sequence[Any], tokenizer: TextTokenizer) -> TokenBatch | None:
    """Return the ids (B, L) of rows that were prepared, padded as the tokenizer pads them; ``None`` if they were not.

    A text that somebody has changed since is not one of them.
    """
    prepared, rows = _rows_of(samples)
    if prepared is None or any(sample.text != prepared.texts[row] for sample, row in zip(samples, rows, strict=True)):
        return None
    if prepared.seen:
        tokenizer.add(prepared.seen.pop())
    ids, mask = prepared.tokens
    if rows != list(range(len(ids))):
        ids, mask = ids[rows], mask[rows]
        length = tokenizer.padded_length(int(mask.sum(dim=1).max()))
        ids, mask = ids[:, :length], mask[:, :length]
    return TokenBatch(ids, mask)


def boxes_of(samples: Sequence[Any]) -> tuple[Tensor, Tensor, Tensor]:
    """Return boxes (R, M, 4), ``valid`` and ``named`` (R, M) of rows, prepared or not."""
    prepared, rows = _rows_of(samples)
    if prepared is None:
        (corners, named), counts = padded_boxes(samples)
    else:
        (corners, named), counts = prepared.boxes, tuple(prepared.counts[row] for row in rows)
        if rows != list(range(len(corners))):
            places = max(1, *counts)
            corners, named = corners[rows, :places], named[rows, :places]
    # (boxes,) < (R, 1) -> (R, boxes): the first counts[r] places of each row hold boxes.
    valid = torch.arange(corners.shape[1]) < torch.tensor(counts).unsqueeze(1)
    return corners, valid, named


def padded_boxes(samples: Sequence[Any]) -> tuple[tuple[Tensor, Tensor], tuple[int, ...]]:
    """Return boxes (R, M, 4) and ``named`` (R, M), zero where a row has fewer than M, and how many each row has."""
    none = torch.zeros(0, 4)
    boxes = on_one_device([torch.as_tensor(sample.get("gt_boxes", none)) for sample in samples])
    is_named = on_one_device([torch.as_tensor(sample.get("named", none[:, 0])) for sample in samples])
    named = [one.bool() for one in is_named]
    counts = tuple(len(one) for one in boxes)
    # One more row sets the length: at least one place, also where no image has a box.
    places = max(1, *counts)
    corners = pad_sequence([*boxes, boxes[0].new_zeros(places, 4)], batch_first=True)[:-1]
    return (corners, pad_sequence([*named, named[0].new_zeros(places)], batch_first=True)[:-1]), counts


def _rows_of(samples: Sequence[Any]) -> tuple[PreparedRows | None, list[int]]:
    """Return what prepared all of some samples, and their rows in it."""
    held = [sample.get(FIELD) for sample in samples]
    if not held or any(one is None or one[0] is not held[0][0] for one in held):
        return None, []
    return held[0][0], [row for _, row in held]
