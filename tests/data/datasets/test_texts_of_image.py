"""Several texts of an image in one sample: each fits the one picture, and draws can be repeated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader

from bus_toolkit.data import MixedSources, PackRegions, SampleDataset, TextsOfImage, collate_texts_of_images
from bus_toolkit.data import browse as browsing
from bus_toolkit.data.datasets.bad_samples import BadSample, LoadingError, TooManyBadSamples
from bus_toolkit.data.datasets.seeded_samples import SeededSamples
from bus_toolkit.data.datasets.texts_of_image import texts_an_item
from bus_toolkit.data.samplers.numbered import Draw
from bus_toolkit.data.samplers.region_batch_sampler import RegionRow
from bus_toolkit.engine.batches import Batches
from bus_toolkit.engine.loader_checks import check_loader
from bus_toolkit.errors import ConfigError, DataError

COLOURS = {"red": (0, 0, 255), "green": (0, 255, 0), "blue": (255, 0, 0), "white": (255, 255, 255)}  # blue green red
PLACES = {"red": (4, 8), "green": (16, 30), "blue": (30, 6), "white": (44, 34)}  # left and top of 10 x 10 px
AUGMENTED = [
    {"type": "bus_toolkit.LoadImage"},
    {"type": "bus_toolkit.RandomCropKeepNamed", "scale": (0.4, 0.9)},
    {"type": "mmpretrain.Resize", "scale": 48},
    {"type": "bus_toolkit.RandomFlipWithText"},
    {"type": "bus_toolkit.ColourJitter", "brightness": 0.02, "contrast": 0.0},
    {"type": "bus_toolkit.PackRegions"},
]


class Squares(SampleDataset):
    """Images of four squares with questions that name one of them, and one that names none."""

    def __init__(self, folder: str, *, questions: tuple[int, ...] = (5, 2), pipeline: Any = AUGMENTED, bad: int = -1):
        self.folder, self.bad_row = folder, bad
        names = [*list(COLOURS)[:3], "", "white"]
        self.questions = [(image, names[place]) for image, count in enumerate(questions) for place in range(count)]
        super().__init__(pipeline, size=len(self.questions), max_bad_samples=1)
        self.boxed_indices = [row for row, (_, name) in enumerate(self.questions) if name]

    def get_data_info(self, index: int) -> dict[str, Any]:
        image, name = self.questions[index]
        info: dict[str, Any] = {"img_path": f"{self.folder}/{image}.png", "image_id": f"id {image}", "text_id": index}
        if index == self.bad_row:
            raise BadSample("questions.json", "no text")
        if not name:
            return {**info, "text": "which background is to the left?"}
        side = "right" if name == "white" else "left"  # of the white square, or of the green one
        boxes = [[left, top, left + 10, top + 10] for left, top in PLACES.values()]
        return {
            **info,
            "text": f"{name} {side} of {'green' if name == 'white' else 'white'}",
            "gt_bboxes": np.array(boxes, dtype=np.float32),
            "named": np.array([name == other for other in COLOURS]),
        }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    picture = np.zeros((64, 64, 3), dtype=np.uint8)
    for name, (left, top) in PLACES.items():
        picture[top : top + 10, left : left + 10] = COLOURS[name]
    path: Path = tmp_path_factory.mktemp("squares")
    for image in range(3):
        cv2.imwrite(str(path / f"{image}.png"), picture)
    return str(path)


def texts_of(folder: str, texts: int = 4, **settings: Any) -> TextsOfImage:
    return TextsOfImage({"type": Squares, "folder": folder, **settings}, texts)


def fits(picture: torch.Tensor, sample: Any) -> None:
    """Check that the box which a text names shows its colour, and lies on the side that it says."""
    if "named" not in sample:
        assert "gt_boxes" not in sample and "background" in sample.text
        return
    assert sample.named.sum() == 1
    (box,), name = sample.gt_boxes[sample.named], sample.text.split()[0]
    middle = picture[:, int(box[1:4:2].mean()), int(box[0:3:2].mean())].float()
    assert (middle - torch.tensor(COLOURS[name])).abs().max() < 25, name
    others = sample.gt_boxes[~sample.named][:, 0]
    if "left" in sample.text and name == "red":
        assert box[0] <= others.min()
    if "right" in sample.text and name == "red":
        assert box[0] >= others.max()


def test_boxes_and_words_of_every_text_fit_the_one_picture(folder: str) -> None:
    data, sides = SeededSamples(texts_of(folder)), set()
    for seed in range(12):
        item = data[Draw(0, seed)]
        samples = item["data_samples"]
        assert item["inputs"].shape == (3, 48, 48) and len(samples) == 4
        for sample in samples:
            fits(item["inputs"], sample)
            sides |= {side for side in ("left", "right") if side in sample.text}
        mirrored = {("left" if "white" in sample.text.split()[0] else "right") in sample.text for sample in samples}
        assert len({sample.text_id for sample in samples}) == 4 and len(mirrored) == 1
    assert sides == {"left", "right"}


def test_draws_follow_from_the_seed_of_the_sample(folder: str) -> None:
    one, two = SeededSamples(texts_of(folder)), SeededSamples(texts_of(folder))
    two[Draw(1, 5)]
    first, second = one[Draw(0, 3)], two[Draw(0, 3)]
    assert torch.equal(first["inputs"], second["inputs"])
    assert [s.text for s in first["data_samples"]] == [s.text for s in second["data_samples"]]
    other = one[Draw(0, 4)]
    assert not torch.equal(first["inputs"], other["inputs"])


def test_an_image_with_fewer_texts_repeats_some_of_all(folder: str) -> None:
    item = texts_of(folder, 5)[1]
    ids = [sample.text_id for sample in item["data_samples"]]
    assert len(ids) == 5 and set(ids) == {5, 6}


def test_one_text_an_image_gives_what_the_data_set_gives(folder: str) -> None:
    plain = [{"type": "bus_toolkit.LoadImage"}, {"type": "bus_toolkit.PackRegions"}]
    settings = {"folder": folder, "questions": (1,), "pipeline": plain}
    item, alone = TextsOfImage({"type": Squares, **settings}, 1)[0], Squares(**settings)[0]
    assert torch.equal(item["inputs"], alone["inputs"])
    assert item["data_samples"][0].to_dict().keys() == alone["data_samples"].to_dict().keys()


def test_region_rows_are_texts_that_name_objects(folder: str) -> None:
    data = texts_of(folder, questions=(5, 2, 1))
    assert data.boxed_indices == [0, 1, 2]
    samples = data[RegionRow(0)]["data_samples"]
    assert all(sample.region_only and sample.named.any() for sample in samples) and len(samples) == 4


def test_a_batch_has_the_texts_of_an_image_next_to_each_other(folder: str) -> None:
    batch = next(iter(DataLoader(texts_of(folder), batch_size=2, collate_fn=collate_texts_of_images)))
    assert batch["inputs"].shape == (2, 3, 48, 48)
    assert [sample.image_id for sample in batch["data_samples"]] == ["id 0"] * 4 + ["id 1"] * 4


def test_a_text_that_cannot_be_used_is_left_out_and_counted(folder: str) -> None:
    data = texts_of(folder, bad=2)
    assert data.rows == [[0, 1, 3, 4], [5, 6]] and data._reader.bad.count == 1
    with pytest.raises(TooManyBadSamples, match="2 bad samples"):
        data._reader.folder = f"{folder}/gone"
        data[0]


def test_samples_count_texts(folder: str) -> None:
    loader = DataLoader(SeededSamples(texts_of(folder, 8)), batch_size=2)
    optim = type("Wrapper", (), {"_accumulative_counts": 1})()
    assert Batches.of(loader, optim).samples_per_update == 16
    mixed = MixedSources({"a": {"dataset": {"type": TextsOfImage, "texts_per_image": 3, "dataset": _squares(folder)}}})
    assert texts_an_item(mixed) == 3 and texts_an_item(ConcatDataset([mixed, mixed])) == 3
    samples = mixed[0]["data_samples"]
    assert {sample.source for sample in samples} == {"a"} and {sample.image_id for sample in samples} == {"0/a/id 0"}


def _squares(folder: str, **settings: Any) -> dict[str, Any]:
    return {"type": Squares, "folder": folder, **settings}


class PixelsByWords:
    """A transform that changes the picture by the text."""

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        sample["img"][0, 0] = len(sample["text"])
        return sample


def test_pixels_that_the_data_set_gives_itself_are_changed_for_every_text(folder: str) -> None:
    class Drawn(Squares):
        def get_data_info(self, index: int) -> dict[str, Any]:
            return {**super().get_data_info(index), "img": np.zeros((64, 64, 3), dtype=np.uint8)}

    small = [{"type": "mmpretrain.Resize", "scale": 32}, PixelsByImage(), {"type": "bus_toolkit.PackRegions"}]
    item = TextsOfImage({"type": Drawn, "folder": folder, "pipeline": small}, 2)[0]
    assert item["inputs"].shape == (3, 32, 32) and item["inputs"][0, 0, 0] == len("id 0")


class PixelsByImage:
    """A transform of a user that changes the picture alike for all of its texts."""

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        sample["img"][0, 0] = len(sample["image_id"])
        return sample


@pytest.mark.parametrize(
    ("settings", "texts", "message"),
    [
        ({}, 0, r"TextsOfImage.texts_per_image: must be a whole number of 1 or more, got 0"),
        ({}, True, r"TextsOfImage.texts_per_image: must be a whole number of 1 or more, got True"),
        (
            {"pipeline": [{"type": "bus_toolkit.RandomCropKeepNamed", "unless_words": ["left"]}]},
            2,
            r"Squares.pipeline.0: RandomCropKeepNamed would decide by the words of one text",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused(folder: str, settings: dict, texts: int, message: str) -> None:
    with pytest.raises(DataError, match=message):
        texts_of(folder, texts, **settings)


def test_data_sets_whose_images_cannot_be_known_are_refused(folder: str) -> None:
    class NoIds(Squares):
        def get_data_info(self, index: int) -> dict[str, Any]:
            return {**super().get_data_info(index), "image_id": None}

    with pytest.raises(DataError, match="TextsOfImage.dataset: samples must have an image_id.*got NoIds"):
        TextsOfImage({"type": NoIds, "folder": folder}, 2)
    with pytest.raises(DataError, match="TextsOfImage.dataset: must be a SampleDataset.*got MixedSources"):
        TextsOfImage({"type": MixedSources, "sources": {"a": {"dataset": _squares(folder)}}}, 2)


def test_pipelines_that_do_not_give_one_picture_are_refused(folder: str) -> None:
    def item(*transforms: Any) -> None:
        texts_of(folder, pipeline=[{"type": "bus_toolkit.LoadImage"}, *transforms])[0]

    with pytest.raises(LoadingError, match="must change the pixels alike.*after PixelsByWords, PackRegions"):
        item(PixelsByWords(), PackRegions())
    with pytest.raises(LoadingError, match="must end by packing, got ColourJitter at its end"):
        item({"type": "bus_toolkit.ColourJitter"})


def test_batches_of_unequal_items_are_refused() -> None:
    picture = torch.zeros(3, 4, 4)
    with pytest.raises(LoadingError, match="the same number of texts, got 1 and 2. Give all sources one"):
        collate_texts_of_images([{"inputs": picture, "data_samples": [1] * count} for count in (1, 2)])
    with pytest.raises(LoadingError, match="must have a list of texts, got a single data sample"):
        collate_texts_of_images([{"inputs": picture, "data_samples": 1}])


def test_an_evaluation_and_another_collate_function_are_refused(folder: str) -> None:
    model = torch.nn.Linear(1, 1)
    with pytest.raises(ConfigError, match="val_dataloader.dataset: draws some texts of each image.*Put its `dataset`"):
        check_loader(DataLoader(texts_of(folder)), "val_dataloader", model)
    with pytest.raises(ConfigError, match="train_dataloader.collate_fn: must be collate_texts_of_images"):
        check_loader(DataLoader(texts_of(folder)), "train_dataloader", model)
    check_loader(DataLoader(texts_of(folder), collate_fn=collate_texts_of_images), "train_dataloader", model)


def test_each_text_of_an_image_is_drawn_by_browse(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: dict[str, int] = {}
    monkeypatch.setattr(browsing, "draw_samples", lambda pictures, out, **_: drawn.update({out.name: len(pictures)}))
    node = {"type": TextsOfImage, "texts_per_image": 4, "dataset": _squares(folder)}
    browsing.browse(node, tmp_path, num=2)
    assert drawn == {"samples.png": 8, "sample_000000.png": 4, "sample_000001.png": 4}
