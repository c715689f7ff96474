"""Score image-text pairs by matching; what no text touches in an image is computed once and kept on the CPU."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from bus_toolkit.errors import DataError
from bus_toolkit.evaluation.retrieval.ranking import as_key
from bus_toolkit.heads.base import need_head
from bus_toolkit.heads.itm import ITMHead
from bus_toolkit.structures import SharedTokens, TextTokens


class PrefixCache:
    """Backbone tokens of each image before the first selector, by image id, on the CPU.

    Args:
        owner: What a user called, for messages.
    """

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self._prefixes: dict[Hashable, SharedTokens] = {}

    def __contains__(self, image_id: Hashable) -> bool:
        return image_id in self._prefixes

    def ids(self) -> list[Hashable]:
        """Return the ids of the images held."""
        return list(self._prefixes)

    def keep_only(self, image_ids: set[Hashable]) -> None:
        """Forget all other images."""
        self._prefixes = {key: prefix for key, prefix in self._prefixes.items() if key in image_ids}

    def add_batch(self, model: Any, data_batch: dict[str, Any]) -> None:
        """Encode the images of a loader's batch that are not held yet; one may come with several captions."""
        samples = data_batch["data_samples"]
        rows = {as_key(sample.image_id): row for row, sample in enumerate(samples)}
        rows = {key: row for key, row in rows.items() if key not in self}
        if not rows:
            return
        chosen = list(rows.values())
        inputs = data_batch["inputs"]
        part = inputs[torch.tensor(chosen)] if isinstance(inputs, Tensor) else [inputs[row] for row in chosen]
        batch = model.data_preprocessor({"inputs": part, "data_samples": [samples[row] for row in chosen]}, False)
        encoded = model.encoders.encode_shared(batch["images"]).to("cpu")
        # Rows are copied out: a view would keep the batch alive, or share its memory with the model.
        self._prefixes |= {key: encoded.index(torch.tensor([row])) for row, key in enumerate(rows)}

    def take(self, image_ids: Sequence[Hashable], device: torch.device) -> SharedTokens:
        """Return the given images as one batch on ``device``.

        Raises:
            DataError: The images have different patch grids.
        """
        parts = [self._prefixes[key] for key in image_ids]
        grids = {part.grid for part in parts}
        if len(grids) > 1:
            raise DataError(
                f"{self.owner}: images re-ranked together must have one patch grid, got {sorted(grids)}. "
                "Resize all images to one size, or leave re-ranking out."
            )
        inputs = [part.block_input for part in parts if part.block_input is not None]
        together = replace(
            parts[0], tokens=torch.cat([p.tokens for p in parts]), block_input=torch.cat(inputs) if inputs else None
        )
        return together.to(device)


class TextCache:
    """Encoded captions on the CPU, each cut to its own length.

    Args:
        model: The bare model: its ``tokenizer`` and ``encode_text`` are used.
        texts: All captions; one is encoded when it is first asked for.
        batch_size: Captions encoded at a time.
        device: Where the model is.
    """

    def __init__(self, model: Any, texts: Sequence[str], batch_size: int, device: torch.device) -> None:
        self._model, self._texts, self._batch_size, self._device = model, texts, batch_size, device
        self._encoded: dict[int, tuple[Tensor, Tensor]] = {}

    def take(self, rows: Sequence[int]) -> TextTokens:
        """Return the captions at ``rows`` as one batch, padded to the longest of them."""
        missing = sorted({row for row in rows if row not in self._encoded})
        for start in range(0, len(missing), self._batch_size):
            self._encode(missing[start : start + self._batch_size])
        embeds = [self._encoded[row][0] for row in rows]
        lengths = torch.tensor([embed.shape[0] for embed in embeds])
        mask = torch.arange(int(lengths.max())).unsqueeze(0) < lengths.unsqueeze(1)  # (R, L)
        pooled = torch.stack([self._encoded[row][1] for row in rows])
        padded = pad_sequence(embeds, batch_first=True)
        return TextTokens(padded.to(self._device), pooled.to(self._device), mask.to(self._device))

    def _encode(self, rows: Sequence[int]) -> None:
        tokens = self._model.tokenizer([self._texts[row] for row in rows])
        encoded = self._model.encoders.encode_text(type(tokens)(*(part.to(self._device) for part in tokens)))
        lengths = tokens.attention_mask.sum(dim=1).tolist()
        embeds, pooled = encoded.embeds.cpu(), encoded.pooled.cpu()
        self._encoded |= {
            row: (embeds[i, :n].clone(), pooled[i].clone())
            for i, (row, n) in enumerate(zip(rows, lengths, strict=True))
        }


def score_pairs(
    model: Any,
    prefixes: PrefixCache,
    texts: TextCache,
    pairs: Sequence[tuple[Hashable, int]],
    batch_size: int,
) -> Tensor:
    """Return the match logit of each pair, the image selected under the pair's caption.

    Args:
        model: The bare model.
        prefixes: Holds every image of the pairs.
        texts: The captions.
        pairs: P pairs (image id, row of the caption); pairs of one image next to each other share its transfer to the
            device.
        batch_size: Pairs at a time.

    Returns:
        float32 (P,) on the CPU.
    """
    if not pairs:
        return torch.zeros(0)
    device = next(model.parameters()).device
    head = need_head(model.heads, ITMHead, "scoring pairs")
    logits = []
    for start in range(0, len(pairs), batch_size):
        chunk = pairs[start : start + batch_size]
        images = list(dict.fromkeys(image for image, _ in chunk))
        # Each image goes to the device once, and is repeated there for the texts that it is paired with.
        row_of = {image: row for row, image in enumerate(images)}
        rows = torch.tensor([row_of[image] for image, _ in chunk], device=device)
        text = texts.take([row for _, row in chunk])
        visual = model.encoders.encode_visual(prefixes.take(images, device).index(rows), text)
        logits.append(head.match_logits(model.encoders.fuse(text, visual)).float().cpu())
    return torch.cat(logits)
