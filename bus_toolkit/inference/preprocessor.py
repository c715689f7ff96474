"""Images of a user's own to what a model takes: decoded, resized, normalised."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mmcv
import numpy as np
import torch
from torch import Tensor, nn

from bus_toolkit.data.transforms.decode import MAX_PIXELS
from bus_toolkit.errors import ConfigError, DataError
from bus_toolkit.inference.inputs import as_images


class ImagePreprocessor:
    """Files, PIL images and arrays to normalised floats (B, 3, H, W).

    The whole image is resized to the size of the model by Pillow's antialiased bicubic, as the paper-scale configs
    do it; ``Inferencer`` follows the pipeline of a config to the letter. Channels are red, green, blue.

    Args:
        size: Height and width in pixels, or one number for both.
        mean: Of each channel, on the scale 0 to 255.
        std: The same.
        device: Where the tensors go.

    Raises:
        ConfigError: A size below 1, or no three positive numbers.

    Example:
        >>> import numpy as np
        >>> from bus_toolkit.inference import ImagePreprocessor
        >>> preprocess = ImagePreprocessor(32, mean=[127.5] * 3, std=[127.5] * 3)
        >>> images = preprocess(np.full((48, 40, 3), 255, dtype=np.uint8))
        >>> images.shape, images.max().item()
        (torch.Size([1, 3, 32, 32]), 1.0)
    """

    def __init__(
        self,
        size: int | tuple[int, int],
        *,
        mean: Sequence[float],
        std: Sequence[float],
        device: torch.device | str = "cpu",
    ) -> None:
        self.size: tuple[int, int] = (size, size) if isinstance(size, int) else (size[0], size[1])
        self.mean, self.std, self.device = tuple(mean), tuple(std), torch.device(device)
        if min(self.size) < 1 or len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ConfigError(
                f"ImagePreprocessor: size must be 1 or more pixels, mean and std three numbers each and std above 0, "
                f"got {size}, {list(mean)} and {list(std)}. timm and Hugging Face give mean and std on the scale 0 to "
                "1: multiply them by 255."
            )
        if max(self.std) <= 1.0:
            raise ConfigError(
                f"ImagePreprocessor.std: must be on the scale 0 to 255, got {list(std)}. Multiply mean and std by 255."
            )

    @classmethod
    def of(cls, model: nn.Module) -> ImagePreprocessor:
        """Return that of a ``VLPModel``: its image size, device, and the mean and std of its ``data_preprocessor``.

        Raises:
            ConfigError: It has no normalisation.
        """
        normalises: Any = getattr(model, "data_preprocessor", None)
        mean, std = getattr(normalises, "mean", None), getattr(normalises, "std", None)
        if mean is None or std is None:
            raise ConfigError(
                f"ImagePreprocessor.of: the data_preprocessor of {type(model).__name__} holds no mean and std, got "
                f"{type(normalises).__name__}. Write ImagePreprocessor(model.backbone.image_size, mean=..., std=...)."
            )
        backbone: Any = model.backbone
        device = next(model.parameters()).device
        return cls(backbone.image_size, mean=mean.flatten().tolist(), std=std.flatten().tolist(), device=device)

    def __call__(self, images: Any) -> Tensor:
        """Return one or several images as float32 (B, 3, H, W).

        Args:
            images: One or a list of: a path, a PIL image, a NumPy array uint8 (H, W, 3), a torch tensor uint8
                (3, H, W).

        Raises:
            DataError: None at all, something else, or a file that cannot be decoded.
        """
        if isinstance(images, np.ndarray | Tensor) and images.ndim == 4:
            images = list(images)  # a batch in one array
        rows = [self._pixels(image.read(MAX_PIXELS).pixels) for image in as_images(images)]
        batch = torch.from_numpy(np.stack(rows)).to(self.device).permute(0, 3, 1, 2).float()  # (B, H, W, 3) -> channels
        # As MMEngine's data preprocessor: a subtraction, then a division, in float32.
        mean, std = (torch.tensor(numbers, device=self.device).view(3, 1, 1) for numbers in (self.mean, self.std))
        return (batch - mean) / std

    def __repr__(self) -> str:
        """Return size, mean and std."""
        mean, std = ([round(number, 1) for number in numbers] for numbers in (self.mean, self.std))
        return f"ImagePreprocessor({self.size[0]} x {self.size[1]} px, mean={mean}, std={std}, {self.device})"

    def _pixels(self, image: np.ndarray) -> np.ndarray:
        """Return pixels uint8 (H, W, 3), blue green red, of any size as red green blue of this size."""
        height, width = self.size
        if image.ndim != 3 or image.shape[2] != 3:
            raise DataError(f"images: must have three channels, got an array {image.shape}.")
        if image.shape[:2] != self.size:
            image = mmcv.imresize(image, (width, height), interpolation="bicubic", backend="pillow")
        return np.ascontiguousarray(image[:, :, ::-1])
