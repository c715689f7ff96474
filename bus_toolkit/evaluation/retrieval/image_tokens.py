"""What no text touches in an image: computed once, for the features and for every pair that is scored later."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from bus_toolkit.errors import DataError
from bus_toolkit.evaluation.retrieval.device_memory import DeviceMemory, join
from bus_toolkit.structures import SharedTokens


class ImageTokens:
    """Backbone tokens of each image before the first selector, by image id; each image is encoded once.

    They are kept on the device that computed them as long as ``memory`` lasts, and on the CPU from then on.

    Args:
        owner: What a user called, for messages.
        memory: How much may stay on the device.
    """

    def __init__(self, owner: str, memory: DeviceMemory | None = None) -> None:
        self.owner, self.memory = owner, memory or DeviceMemory()
        self._images: dict[Hashable, SharedTokens] = {}

    def __contains__(self, image_id: Hashable) -> bool:
        return image_id in self._images

    def __len__(self) -> int:
        """Return the number of images held."""
        return len(self._images)

    def ids(self) -> list[Hashable]:
        """Return the ids of the images held."""
        return list(self._images)

    def keep_only(self, image_ids: set[Hashable]) -> None:
        """Forget all other images."""
        for image_id in self._images.keys() - image_ids:
            for tensor in _tensors(self._images.pop(image_id)):
                self.memory.release(tensor)

    def encode(self, model: Any, images: Tensor, image_ids: Sequence[Hashable]) -> SharedTokens:
        """Return the tokens of a batch, B rows, and keep them; images that are held, or come again, are not encoded.

        Args:
            model: The bare model.
            images: (B, 3, H, W), normalised, on its device.
            image_ids: Their B ids; equal ids are one image.

        Raises:
            DataError: Images of the batch have different patch grids.
        """
        rows: dict[Hashable, int] = {}
        for row, image_id in enumerate(image_ids):
            if image_id not in self:
                rows.setdefault(image_id, row)
        all_new = len(rows) == len(image_ids)
        if rows:
            chosen = images if all_new else images[list(rows.values())]
            encoded = model.encoders.encode_shared(chosen)
            self._images |= {image_id: self._row(encoded, row) for row, image_id in enumerate(rows)}
            if all_new:
                return encoded
        return self.take(image_ids, images.device)

    def take(self, image_ids: Sequence[Hashable], device: torch.device) -> SharedTokens:
        """Return the given images as one batch on ``device``.

        Raises:
            DataError: The images have different patch grids.
        """
        parts = [self._images[image_id] for image_id in image_ids]
        grids = {part.grid for part in parts}
        if len(grids) > 1:
            raise DataError(
                f"{self.owner}: images re-ranked together must have one patch grid, got {sorted(grids)}. "
                "Resize all images to one size, or leave re-ranking out."
            )
        inputs = [part.block_input for part in parts if part.block_input is not None]
        tokens = join([part.tokens for part in parts], torch.cat, device)
        return replace(parts[0], tokens=tokens, block_input=join(inputs, torch.cat, device) if inputs else None)

    def _row(self, encoded: SharedTokens, row: int) -> SharedTokens:
        """Return a copy of one image: a view would keep the whole batch alive, or share its memory with the model."""
        one = encoded.index(slice(row, row + 1))
        block_input = None if one.block_input is None else self.memory.keep(one.block_input.clone())
        return replace(one, tokens=self.memory.keep(one.tokens.clone()), block_input=block_input)


def _tensors(shared: SharedTokens) -> list[Tensor]:
    return [tensor for tensor in (shared.tokens, shared.block_input) if tensor is not None]
