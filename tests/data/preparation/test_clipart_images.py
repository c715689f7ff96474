import cv2
import numpy as np
import pytest

from bus_toolkit.data.preparation import clipart_images
from bus_toolkit.data.preparation.clipart_images import shrink_on_white
from tests.data.preparation.tiny_clipart import png


def test_transparent_pixels_are_white_and_the_longer_side_is_shrunk():
    image = shrink_on_white(png(9, (20, 40)), 10)
    assert image.shape == (5, 10, 3) and image.dtype == np.uint8
    assert (image[:2] == 255).all() and (image[3:] == (9, 0, 7)).all()


def test_nothing_is_enlarged_and_grey_has_three_channels():
    wanted = np.arange(0, 240, 10, dtype=np.uint8).reshape(4, 6)
    image = shrink_on_white(cv2.imencode(".png", wanted)[1].tobytes(), 256)
    assert (image == wanted[:, :, None]).all() and image.shape == (4, 6, 3)


def test_a_line_never_shrinks_to_nothing():
    line = np.zeros((2, 600, 3), np.uint8)
    line[:, 300:] = 255
    assert shrink_on_white(cv2.imencode(".png", line)[1].tobytes(), 100).shape == (1, 100, 3)


def test_what_cannot_be_decoded_or_is_too_large_is_refused(monkeypatch):
    with pytest.raises(OSError, match="cannot be decoded"):
        shrink_on_white(b"no picture", 10)
    monkeypatch.setattr(clipart_images, "MOST_PIXELS", 100)
    with pytest.raises(OSError, match="20 x 10 pixels, max_pixels is 100"):
        shrink_on_white(png(1, (10, 20)), 10)


def test_an_empty_page_is_refused_and_a_thin_line_is_not():
    page = np.full((100, 100, 3), 255, np.uint8)
    page[:7, 50] = 0
    with pytest.raises(OSError, match="shows nothing"):
        shrink_on_white(cv2.imencode(".png", page)[1].tobytes(), 256)
    page[:, 50] = 0
    assert shrink_on_white(cv2.imencode(".png", page)[1].tobytes(), 256)[50, 50].tolist() == [0, 0, 0]
