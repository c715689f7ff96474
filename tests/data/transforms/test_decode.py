import io
import re

import cv2
import mmcv
import numpy as np
import pytest
from PIL import Image, ImageOps

from bus_toolkit.data.transforms.decode import MAX_PIXELS, decode_image, decode_pillow
from tests.data.odd_images import RED, WHITE, animation, encode, huge_png, photo, rotated_jpeg

PLAIN = {
    "jpeg": encode(photo(), "JPEG", quality=90),
    "progressive jpeg": encode(photo(), "JPEG", progressive=True),
    "jpeg of 4:4:4": encode(photo(), "JPEG", subsampling=0),
    "grey jpeg": encode(photo().convert("L"), "JPEG"),
    "png": encode(photo(), "PNG"),
    "palette png": encode(photo().convert("P"), "PNG"),
    "1-bit png": encode(photo().convert("1"), "PNG"),
    "webp": encode(photo(), "WEBP", quality=80),
}


@pytest.mark.parametrize("data", PLAIN.values(), ids=PLAIN)
def test_plain_pictures_have_the_pixels_of_mmcv(data):
    pixels = decode_image(data)
    assert pixels.dtype == np.uint8 and pixels.shape == (48, 64, 3) and pixels.flags.c_contiguous
    assert np.array_equal(pixels, mmcv.imfrombytes(data, flag="color", backend="cv2"))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_rotation_in_the_exif_of_a_jpeg_is_applied_once(orientation):
    data = rotated_jpeg(orientation)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))[:, :, ::-1]
    pixels = decode_image(data)
    assert pixels.shape == ((64, 48, 3) if orientation > 4 else (48, 64, 3))
    # Another build of libjpeg may round chroma otherwise.
    assert np.abs(pixels.astype(int) - upright).max() <= 8


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_a_rotation_in_other_formats_is_applied_once(kind):
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encode(photo(), kind, exif=exif, **options)
    assert np.array_equal(decode_image(data), np.rot90(np.asarray(photo()), -1)[:, :, ::-1])


def test_transparent_pixels_show_white_and_not_the_hidden_colour():
    half = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    half.paste((255, 0, 0, 255), (0, 0, 4, 2))
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    for data in (encode(half, "PNG"), encode(half, "WEBP", lossless=True), encode(half, "TIFF")):
        assert decode_image(data)[:, 0].tolist() == [RED, RED, WHITE, WHITE]
    assert (decode_image(encode(palette, "PNG", transparency=1)) == 255).all()
    assert (decode_image(encode(Image.new("LA", (4, 4), (10, 0)), "PNG")) == 255).all()
    assert (decode_image(encode(Image.new("L", (4, 4), 9), "PNG", transparency=9)) == 255).all()
    # Half transparent red over white: 0.5 * 0 + 0.5 * 255 of blue and green.
    mixed = decode_image(encode(Image.new("RGBA", (1, 1), (255, 0, 0, 128)), "PNG"))
    assert mixed[0, 0].tolist() == [127, 127, 255]


def test_16_bits_are_scaled_to_8():
    values = np.array([[0, 255, 256, 30_000, 65_535]], np.uint16)
    expected = [0, 0, 1, 117, 255]
    grey = decode_image(encode(Image.fromarray(values), "PNG"))
    assert grey[0, :, 0].tolist() == expected and (grey == grey[:, :, :1]).all()
    colour = np.stack([values, values[:, ::-1], values], axis=-1)
    pixels = decode_image(cv2.imencode(".png", colour)[1].tobytes())
    assert pixels[0, :, 0].tolist() == expected and pixels[0, :, 1].tolist() == expected[::-1]
    assert decode_pillow(Image.fromarray(values))[0, :, 2].tolist() == expected


def test_cmyk_and_grey_become_colours():
    red = decode_image(encode(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG"))
    assert np.abs(red.astype(int) - RED).max() <= 2
    assert (decode_image(encode(Image.new("L", (4, 4), 77), "PNG")) == 77).all()


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_an_animation_is_its_first_frame(kind):
    pixels = decode_image(animation(kind))
    assert pixels.shape == (8, 8, 3) and np.abs(pixels.astype(int) - RED).max() <= 2


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "GIF"])
def test_further_formats_are_read(kind):
    grey = photo().convert("L")
    assert np.array_equal(decode_image(encode(grey, kind))[:, :, 1], np.asarray(grey))


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.66, 0.9])
def test_a_file_that_ends_early_is_an_error_at_every_length(name, share):
    data = PLAIN[name]
    with pytest.raises(OSError, match="the image cannot be decoded"):
        decode_image(data[: int(len(data) * share)])


def test_a_jpeg_without_its_last_bytes_is_an_error_thumbnail_or_not():
    with pytest.raises(OSError, match="the JPEG is cut off .* bytes, no end mark"):
        decode_image(PLAIN["jpeg"][:-2])
    whole = rotated_jpeg(1, thumbnail=PLAIN["jpeg"])
    assert b"\xff\xd9" in whole[: whole.index(b"\xff\xda", 2000)], "the mark of the thumbnail comes first"
    assert decode_image(whole).shape == (48, 64, 3)
    with pytest.raises(OSError, match="the JPEG is cut off"):
        decode_image(whole[:-2])


def test_what_follows_a_whole_jpeg_does_not_matter():
    assert np.array_equal(decode_image(PLAIN["jpeg"] + b"trailer" * 50), decode_image(PLAIN["jpeg"]))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the image has 0 bytes"),
        (b"<html>", "the image cannot be decoded: no header of JPEG, PNG, WEBP, GIF, BMP, TIFF (6 bytes)"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "no header of JPEG"),
        (encode(Image.new("F", (4, 4), 0.5), "TIFF"), "pixels of kind 'F' have no known scale of 8 bits"),
        (encode(Image.fromarray(np.ones((4, 4), np.uint16)), "TIFF"), "deep TIFF pixels may use fewer than 16 bits"),
    ],
)
def test_what_is_no_picture_is_reported(data, message):
    with pytest.raises(OSError, match=re.escape(message)):
        decode_image(data)


def test_a_header_that_claims_too_much_is_refused_before_decoding(monkeypatch):
    data = huge_png(30_000)
    assert len(data) < 200

    def decoded(*_):
        raise AssertionError("nothing may be allocated")

    monkeypatch.setattr(cv2, "imdecode", decoded)
    monkeypatch.setattr(Image.Image, "load", decoded)
    with pytest.raises(OSError, match="refused before decoding: its header claims more than 178956970 pixels"):
        decode_image(data)
    with pytest.warns(Image.DecompressionBombWarning), pytest.raises(OSError, match="claims 9600 x 9600 pixels"):
        decode_image(huge_png(9600))
    with pytest.raises(OSError, match="claims 64 x 48 pixels, max_pixels is 3071"):
        decode_image(PLAIN["jpeg"], max_pixels=64 * 48 - 1)
    assert MAX_PIXELS == Image.MAX_IMAGE_PIXELS


def test_a_damaged_header_is_an_error_of_the_file():
    damaged = bytearray(PLAIN["png"])
    damaged[18] ^= 0xFF
    with pytest.raises(OSError, match="the image cannot be decoded"):
        decode_image(bytes(damaged))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "CMYK", "YCbCr", "P", "L"])
def test_a_picture_that_is_converted_in_strips_has_the_pixels_of_a_whole_one(mode, monkeypatch):
    bands = {"RGBA": 4, "LA": 2, "CMYK": 4, "L": 1}.get(mode, 3)
    values = np.random.default_rng(0).integers(0, 256, (33, 17, bands), dtype=np.uint8)
    planes = [Image.fromarray(values[..., band]) for band in range(bands)]
    picture = Image.merge("RGB", planes).convert("P") if mode == "P" else Image.merge(mode, planes)
    if mode == "P":
        picture.info["transparency"] = 3
    whole = decode_pillow(picture.copy())
    monkeypatch.setattr("bus_toolkit.data.transforms.decode._STRIP", 4 * 17 + 1)
    np.testing.assert_array_equal(decode_pillow(picture.copy()), whole)
    if mode == "RGBA":
        background = Image.new("RGBA", picture.size, "white")
        expected = np.asarray(Image.alpha_composite(background, picture).convert("RGB"))[:, :, ::-1]
        np.testing.assert_array_equal(whole, expected)
