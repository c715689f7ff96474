"""Random augmentation as ALBEF's code does it (salesforce-lavis has its file), and crops as torchvision's."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from bus_toolkit.data.transforms.crops import RandomResizedCropWithBoxes
from bus_toolkit.data.transforms.rand_augment import RandAugmentWithBoxes
from tests.parity.comparison import Comparison, Measured
from tests.parity.peers import load_file

COLOURS = ("Identity", "Equalize", "Brightness", "Sharpness")
CONTRAST = ("AutoContrast",)
PLACES = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")


def _image(seed: int, height: int = 96, width: int = 128, *, darkest: int = 0) -> np.ndarray:
    """Return a picture with soft shapes and some noise; smooth, so that a pixel's neighbours are like it."""
    draw = np.random.default_rng(seed)
    down, across = np.mgrid[:height, :width] / 32.0
    waves = [np.sin(down * draw.uniform(0.5, 2) + across * draw.uniform(0.5, 2) + draw.uniform(0, 6)) for _ in range(3)]
    noise = draw.normal(0, 4, (height, width, 3))
    image = (127 + 90 * np.stack(waves, axis=-1) + noise).clip(darkest, 255).astype(np.uint8)
    image[0, 0] = darkest
    return image


def _operations(names: tuple[str, ...], *, darkest: int = 0) -> Measured:
    """Compare each operation at several strengths; of its two directions the one that theirs took."""
    module = load_file("lavis", "processors/randaugment.py")
    pairs = []
    for name in names:
        for magnitude in (1, 5, 7, 10):
            for seed in range(6):
                image = _image(seed, darkest=darkest)
                ours = RandAugmentWithBoxes(1, magnitude, prob=1.0, operations=[name])
                theirs = module.RandomAugment(1, magnitude, augs=[name])
                theirs.get_random_ops = lambda name=name, magnitude=magnitude: [(name, 1.0, magnitude)]
                np.random.seed(seed)
                expected = theirs(image)
                found = [_seeded(ours, image, number) for number in range(8)]
                nearest = min(found, key=lambda one: np.abs(one.astype(int) - expected.astype(int)).sum())
                pairs.append((nearest, expected))
    return Measured.numbers(pairs)


def _seeded(transform: Any, image: np.ndarray, seed: int) -> np.ndarray:
    np.random.seed(seed)
    return transform.transform({"img": image.copy()})["img"]


def _crops_of_torchvision() -> Measured:
    """The same window from the same random numbers, resized by torchvision on tensors."""
    from torchvision.transforms import InterpolationMode, RandomResizedCrop

    ours = RandomResizedCropWithBoxes(64, (0.2, 1.0))
    theirs = RandomResizedCrop(64, (0.2, 1.0), interpolation=InterpolationMode.BICUBIC, antialias=True)
    return Measured.numbers(_crops(ours, theirs, lambda image: torch.from_numpy(image).permute(2, 0, 1)))


def _crops_of_pillow() -> Measured:
    """As ALBEF crops: torchvision on Pillow's images."""
    from PIL import Image
    from torchvision.transforms import InterpolationMode, RandomResizedCrop

    ours = RandomResizedCropWithBoxes(64, (0.2, 1.0))
    theirs = RandomResizedCrop(64, (0.2, 1.0), interpolation=InterpolationMode.BICUBIC)
    return Measured.numbers(_crops(ours, theirs, Image.fromarray))


def _crops(ours: Any, theirs: Any, form: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    pairs = []
    for seed in range(40):
        image = _image(seed, 90 + seed, 200 - 2 * seed)
        torch.manual_seed(seed)
        found = ours.transform({"img": image.copy()})["img"]
        torch.manual_seed(seed)
        expected = theirs(form(image))
        array = expected.permute(1, 2, 0).numpy() if isinstance(expected, torch.Tensor) else np.asarray(expected)
        pairs.append((found, array))
    return pairs


COMPARISONS = (
    Comparison("RandAugment, colours, grey levels", "salesforce-lavis", lambda: _operations(COLOURS, darkest=9)),
    Comparison("AutoContrast of images with black, grey levels", "salesforce-lavis", lambda: _operations(CONTRAST)),
    Comparison(
        "AutoContrast of images without black, grey levels",
        "salesforce-lavis",
        lambda: _operations(CONTRAST, darkest=9),
        0.0,
        "RandAugmentWithBoxes: theirs makes such images white",
    ),
    Comparison("RandAugment, places, grey levels", "salesforce-lavis", lambda: _operations(PLACES)),
    Comparison("random crop and resize, grey levels", "torchvision", _crops_of_torchvision, 1.0),
    Comparison(
        "random crop and resize of Pillow's images, grey levels",
        "torchvision",
        _crops_of_pillow,
        0.0,
        "RandomResizedCropWithBoxes: within 2 grey levels of Pillow",
    ),
)
