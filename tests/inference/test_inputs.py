"""What may be given as images and texts, and what is said of everything else."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from bus_toolkit.data.transforms.decode import MAX_PIXELS
from bus_toolkit.errors import DataError
from bus_toolkit.inference.inputs import as_images, as_texts, pair_up

RED = (200, 30, 10)


def pixels(source):
    return as_images(source)[0].read(MAX_PIXELS).pixels


def solid(mode, colour, **info):
    image = Image.new(mode, (6, 4), colour)
    image.info.update(info)
    return image


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (solid("RGB", RED), (10, 30, 200)),
        (solid("L", 90), (90, 90, 90)),
        (solid("1", 1), (255, 255, 255)),
        (solid("LA", (90, 0)), (255, 255, 255)),
        (solid("RGBA", (*RED, 255)), (10, 30, 200)),
        (solid("RGBA", (*RED, 0)), (255, 255, 255)),
        (solid("PA", (0, 0)), (255, 255, 255)),
        (solid("CMYK", (0, 255, 255, 0)), (0, 0, 255)),
        (solid("I;16", 0x5A3C), (0x5A, 0x5A, 0x5A)),
        (solid("RGB", RED).quantize(4), (10, 30, 200)),
        (solid("P", 0, transparency=0), (255, 255, 255)),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else "",
)
def test_pil_images_of_every_kind_become_blue_green_red(image, expected):
    found = pixels(image)
    assert found.dtype == np.uint8 and found.shape == (4, 6, 3) and found.flags.c_contiguous
    assert (found == np.array(expected)).all()


def test_a_pil_image_gives_the_pixels_of_its_file(tmp_path):
    rng = np.random.default_rng(0)
    for mode, channels in (("RGB", 3), ("RGBA", 4), ("LA", 2)):
        image = Image.fromarray(rng.integers(0, 255, (4, 6, channels), dtype=np.uint8), mode)
        path = tmp_path / f"{mode}.png"
        image.save(path)
        assert np.array_equal(pixels(image), pixels(path)), mode


def test_a_turned_photo_is_put_upright_once(tmp_path):
    image = Image.fromarray(np.arange(72, dtype=np.uint8).reshape(4, 6, 3))
    exif = Image.Exif()
    exif[0x0112] = 6  # stored turned: shown after a quarter to the right
    image.save(tmp_path / "turned.png", exif=exif)
    upright = np.rot90(np.asarray(image), -1)[..., ::-1]
    assert np.array_equal(pixels(Image.open(tmp_path / "turned.png")), upright)
    assert np.array_equal(pixels(tmp_path / "turned.png"), upright)


def test_arrays_and_tensors_of_one_three_and_four_channels():
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 255, (4, 6, 3), dtype=np.uint8)
    grey = colour[..., 0]
    clear = np.dstack([colour, np.zeros((4, 6), np.uint8)])
    for array, expected in (
        (colour, colour[..., ::-1]),
        (grey, np.dstack([grey] * 3)),
        (clear, np.full_like(colour, 255)),
    ):
        assert np.array_equal(pixels(array), expected)
        tensor = torch.from_numpy(array)
        assert np.array_equal(pixels(tensor.permute(2, 0, 1) if array.ndim == 3 else tensor), expected)
    assert np.array_equal(pixels(grey[..., None]), np.dstack([grey] * 3))


@pytest.mark.parametrize(
    ("source", "got"),
    [
        (np.zeros((4, 6, 3), np.float32), r"ndarray float32 \(4, 6, 3\)"),
        (np.zeros((3, 4, 6), np.uint8), r"ndarray uint8 \(3, 4, 6\)"),
        (torch.zeros(5, 6, 3, dtype=torch.uint8), r"Tensor uint8 \(5, 6, 3\)"),
        (np.zeros((2, 4, 6, 3), np.uint8), r"ndarray uint8 \(2, 4, 6, 3\)"),
        (np.zeros((0, 6, 3), np.uint8), r"ndarray uint8 \(0, 6, 3\)"),
        (3, "int"),
        (None, "NoneType"),
        (b"abc", "bytes"),
    ],
)
def test_what_is_no_image_is_reported_with_its_place(source, got):
    with pytest.raises(DataError, match=rf"image 1: must be a path, a PIL image, .*\(3, H, W\) RGB, got {got}\. Scale"):
        as_images([np.zeros((4, 6, 3), np.uint8), source])


def test_no_image_a_folder_and_a_missing_file_are_reported(tmp_path):
    with pytest.raises(DataError, match="images: needs at least one, got none"):
        as_images([])
    with pytest.raises(DataError, match=r"image 0 \(.*\): a folder. Give the path of an image"):
        as_images(tmp_path)
    with pytest.raises(DataError, match=r"image 0 \(gone.jpg\): no such file"):
        as_images("gone.jpg")


def test_images_that_cannot_be_decoded_are_reported(tmp_path):
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(DataError, match=r"image 0 \(.*empty.jpg\): the image has 0 bytes"):
        pixels(tmp_path / "empty.jpg")
    with pytest.raises(DataError, match="image 0: pixels of kind 'F' have no scale of 8 bits: convert it"):
        pixels(Image.new("F", (6, 4)))
    stream = io.BytesIO()
    Image.effect_noise((64, 64), 90).save(stream, "PNG")
    cut = Image.open(io.BytesIO(stream.getvalue()[:900]))
    with pytest.raises(DataError, match="image 0: .*Repair it or leave it out"):
        pixels(cut)


def test_a_huge_image_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    path = tmp_path / "large.png"
    Image.new("1", (300, 200)).save(path)
    opened = Image.open(path)
    monkeypatch.setattr(type(opened), "load", lambda self: pytest.fail("it was decoded"))
    for source in (opened, path):
        with pytest.raises(DataError, match=r"image 0.*refused.*300 x 200 pixels, max_pixels is 50000"):
            as_images(source)[0].read(50_000)


def test_names_are_paths_or_places(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    found = as_images([tmp_path / "a.png", Image.new("RGB", (4, 4))])
    assert [image.name for image in found] == [str(tmp_path / "a.png"), "image 1"]


@pytest.mark.parametrize("texts", [["a dog", "  "], ["a dog", 3], ["a dog", None]])
def test_empty_and_wrong_texts_are_reported(texts):
    with pytest.raises(DataError, match=r"questions\[1\]: must be a string with at least one word, got"):
        as_texts(texts, "questions")
    with pytest.raises(DataError, match="texts: needs at least one, got none"):
        as_texts([])
    assert as_texts("a dog") == ["a dog"]


def test_pairs():
    assert pair_up([1], ["a", "b"]) == ([1, 1], ["a", "b"])
    assert pair_up([1, 2], ["a"]) == ([1, 2], ["a", "a"])
    assert pair_up([1, 2], ["a", "b"]) == ([1, 2], ["a", "b"])
    with pytest.raises(
        DataError, match="images and texts: must be equally many, or one image, or one text, got 2 and 3"
    ):
        pair_up([1, 2], ["a", "b", "c"])
