"""Score image-text pairs by matching; what no pair changes in an image or a text is computed once."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from bus_toolkit.evaluation.retrieval.device_memory import DeviceMemory, join
from bus_toolkit.evaluation.retrieval.image_tokens import ImageTokens
from bus_toolkit.heads.base import need_head
from bus_toolkit.heads.itm import ITMHead
from bus_toolkit.structures import TextTokens


class EncodedTexts:
    """Encoded captions, each cut to its own length; one is encoded when it is first asked for.

    Args:
        model: The bare model: its ``tokenizer`` and ``encode_text`` are used.
        texts: All captions.
        batch_size: Captions encoded at a time.
        memory: How much of them may stay on the device.
    """

    def __init__(self, model: Any, texts: Sequence[str], batch_size: int, memory: DeviceMemory | None = None) -> None:
        self._model, self._texts, self._batch_size = model, texts, batch_size
        self._memory, self._device = memory or DeviceMemory(), next(model.parameters()).device
        self._encoded: dict[int, tuple[Tensor, Tensor]] = {}

    def __len__(self) -> int:
        """Return the number of captions."""
        return len(self._texts)

    def take(self, rows: Sequence[int]) -> TextTokens:
        """Return the captions at ``rows`` as one batch, padded to the longest of them."""
        missing = sorted({row for row in rows if row not in self._encoded})
        for start in range(0, len(missing), self._batch_size):
            self._encode(missing[start : start + self._batch_size])
        embeds = [self._encoded[row][0] for row in rows]
        lengths = torch.tensor([embed.shape[0] for embed in embeds])
        mask = torch.arange(int(lengths.max())).unsqueeze(0) < lengths.unsqueeze(1)  # (R, L)
        padded = join(embeds, partial(pad_sequence, batch_first=True), self._device)
        pooled = join([self._encoded[row][1] for row in rows], torch.stack, self._device)
        return TextTokens(padded, pooled, mask.to(self._device))

    def _encode(self, rows: Sequence[int]) -> None:
        tokens = self._model.tokenizer([self._texts[row] for row in rows])
        encoded = self._model.encoders.encode_text(type(tokens)(*(part.to(self._device) for part in tokens)))
        lengths, keep = tokens.attention_mask.sum(dim=1).tolist(), self._memory.keep
        self._encoded |= {
            row: (keep(encoded.embeds[i, :n].clone()), keep(encoded.pooled[i].clone()))
            for i, (row, n) in enumerate(zip(rows, lengths, strict=True))
        }


def score_pairs(
    model: Any,
    images: ImageTokens,
    texts: EncodedTexts,
    pairs: Sequence[tuple[Hashable, int]],
    batch_size: int,
    *,
    select_by_text: bool = True,
) -> Tensor:
    """Return the logits of "no match" and "match" of each pair, the image selected under the pair's caption.

    Args:
        model: The bare model.
        images: Holds every image of the pairs.
        texts: The captions.
        pairs: P pairs (image id, row of the caption); pairs of one image should be next to each other, so that it is
            put into few batches.
        batch_size: Pairs at a time.
        select_by_text: ``False`` selects as in a pass without text, which runs once an image of a batch.

    Returns:
        float32 or float64 (P, 2) on the CPU.
    """
    if not pairs:
        return torch.zeros(0, 2)
    device = next(model.parameters()).device
    head = need_head(model.heads, ITMHead, "scoring pairs")
    logits = []
    for start in range(0, len(pairs), batch_size):
        chunk = pairs[start : start + batch_size]
        ids = list(dict.fromkeys(image for image, _ in chunk))
        # Each image is put into the batch once; only what reads its texts is run for each of its pairs.
        row_of = {image: row for row, image in enumerate(ids)}
        rows = torch.tensor([row_of[image] for image, _ in chunk], device=device)
        text = texts.take([row for _, row in chunk])
        shared = images.take(ids, device)
        if select_by_text:
            visual = model.encoders.encode_pairs(shared, rows, text)
        else:
            visual = model.encoders.encode_visual(shared, model.encoders.free_text(len(ids))).paired(rows)
        logits.append(head.class_logits(model.encoders.fuse(text, visual, first_only=True)))
    return torch.cat(logits).cpu()
