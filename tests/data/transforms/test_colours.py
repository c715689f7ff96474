"""Changes of colour."""

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from bus_toolkit.data.transforms.colours import ColourEnhance, ColourJitter
from bus_toolkit.errors import ConfigError
from tests.data.transforms.test_crops import noise_image


def test_jitter_moves_all_channels_alike_at_mid_grey():
    np.random.seed(0)
    grey = np.full((2, 2, 3), 128, np.uint8)
    out = ColourJitter(brightness=0.1, contrast=0.2)({"img": grey})["img"]
    assert out.dtype == np.uint8 and len(np.unique(out)) == 1 and 128 - 26 <= out[0, 0, 0] <= 128 + 26


@pytest.mark.parametrize("kind", ["Brightness", "Contrast", "Color"])
def test_factors_are_those_of_pillow(kind):
    spreads = [0.4 * (kind == name) for name in ("Brightness", "Contrast", "Color")]
    for seed in range(5):
        np.random.seed(seed)
        out = ColourEnhance(*spreads, prob=1.0)({"img": noise_image()})["img"]
        np.random.seed(seed)
        np.random.random(), np.random.permutation(3)
        factors = 1.0 + np.random.uniform(-1, 1, 3) * 0.4  # one of the three draws moves something
        peers = [getattr(ImageEnhance, kind)(Image.fromarray(noise_image()[..., ::-1])).enhance(f) for f in factors]
        errors = [np.abs(np.asarray(peer)[..., ::-1].astype(int) - out).max() for peer in peers]
        assert min(errors) <= 2 and out.dtype == np.uint8


def test_some_images_keep_their_colours():
    np.random.seed(0)
    image = noise_image()
    kept = sum(ColourEnhance()({"img": image})["img"] is image for _ in range(200))
    assert 20 < kept < 60


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ColourJitter(brightness=-1), r"ColourJitter.brightness: must be in \[0, 1\], got -1"),
        (lambda: ColourEnhance(saturation=2), r"ColourEnhance.saturation: must be in \[0, 1\], got 2"),
    ],
)
def test_refuses_values_out_of_range(build, message):
    with pytest.raises(ConfigError, match=message):
        build()
