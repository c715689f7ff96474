"""Own images to what a model takes, and pictures of what was kept."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from bus_toolkit.errors import ConfigError, DataError
from bus_toolkit.inference import ImagePreprocessor, draw_kept
from bus_toolkit.inference.inputs import as_images
from tests.inference.toy import SIDE, TEXTS
from tests.tiny_model import tiny_model


def test_a_file_gives_what_the_inferencer_gives_its_model(inferencer, pictures):
    ((_, batch),) = list(inferencer._predictor.batches(as_images(pictures[:2])))
    wanted = inferencer.model.data_preprocessor(batch, False)["images"]
    preprocess = ImagePreprocessor.of(inferencer.model)
    assert torch.equal(preprocess(pictures[:2]), wanted)
    assert repr(preprocess) == "ImagePreprocessor(32 x 32 px, mean=[127.5, 100.0, 110.0], std=[60.0, 50.0, 70.0], cpu)"


def test_files_pictures_arrays_and_tensors_are_alike(pictures):
    preprocess = ImagePreprocessor((SIDE, SIDE), mean=[100.0, 110.0, 120.0], std=[50.0, 60.0, 70.0])
    picture = Image.open(pictures[0]).convert("RGB")
    array = np.array(picture)
    kinds = [pictures[0], picture, array, torch.from_numpy(array).permute(2, 0, 1)]
    rows = [preprocess(kind) for kind in kinds]
    assert all(torch.equal(row, rows[0]) for row in rows) and rows[0].shape == (1, 3, SIDE, SIDE)
    assert torch.equal(preprocess(np.stack([array, array])), torch.cat(rows[:2]))


def test_pixels_of_the_right_size_are_only_normalised():
    pixels = np.arange(2 * 2 * 3, dtype=np.uint8).reshape(2, 2, 3)
    out = ImagePreprocessor(2, mean=[1, 2, 3], std=[2, 4, 8])(pixels)
    wanted = (torch.from_numpy(pixels).float() - torch.tensor([1.0, 2, 3])) / torch.tensor([2.0, 4, 8])
    assert torch.equal(out[0].permute(1, 2, 0), wanted)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 0}, "size must be 1 or more pixels"),
        ({"mean": [1.0]}, "mean and std three numbers each"),
        ({"std": [0.0, 1.0, 1.0]}, "std above 0"),
        ({"mean": [0.5] * 3, "std": [0.5] * 3}, r"std: must be on the scale 0 to 255, got \[0.5, 0.5, 0.5\]. Multiply"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        ImagePreprocessor(**{"size": 8, "mean": [127.5] * 3, "std": [63.0] * 3, **settings})


def test_a_model_without_normalisation_is_named():
    with pytest.raises(ConfigError, match="the data_preprocessor of VLPModel holds no mean and std, got BaseData"):
        ImagePreprocessor.of(tiny_model())


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "images: needs at least one, got none"),
        (np.zeros((4, 4, 3), dtype=np.float32), r"got ndarray float32 \(4, 4, 3\). Scale values to 0-255"),
        (np.zeros((4, 4, 5), dtype=np.uint8), r"got ndarray uint8 \(4, 4, 5\)"),
        ("nowhere.png", "no such file"),
    ],
)
def test_what_is_no_image_is_named(images, message):
    with pytest.raises(DataError, match=message):
        ImagePreprocessor(8, mean=[127.5] * 3, std=[63.0] * 3)(images)


def test_kept_patches_are_drawn_over_the_images_as_they_came(inferencer, pictures, tmp_path):
    model = inferencer.model
    visual = model.encode(ImagePreprocessor.of(model)(pictures[:2]), list(TEXTS[:2]))
    picture = draw_kept(pictures[:2], visual, list(TEXTS[:2]), tmp_path / "kept.png")
    assert isinstance(picture, Image.Image) and Image.open(tmp_path / "kept.png").size == picture.size
    plain = draw_kept(pictures[:2], model.encode(ImagePreprocessor.of(model)(pictures[:2])))
    assert plain.size[1] == picture.size[1]
    with pytest.raises(DataError, match="each row of visual, 2, and at most 40 rows, got 1 images and 1 texts"):
        draw_kept(pictures[0], visual, TEXTS[0])
    with pytest.raises(DataError, match="draw_kept.out: cannot write to"):
        draw_kept(pictures[:2], visual, list(TEXTS[:2]), tmp_path / "missing" / "kept.png")


def test_an_explanation_shows_itself_in_a_notebook(inferencer, pictures, tmp_path):
    (held,) = inferencer.explain(pictures[0], TEXTS[0])
    assert Image.open(io.BytesIO(held._repr_png_())).size == held["picture"].shape[1::-1]
    (written,) = inferencer.explain(pictures[0], TEXTS[0], out=tmp_path / "one.png")
    assert written._repr_png_() == (tmp_path / "one.png").read_bytes()
