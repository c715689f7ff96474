"""The conformance kit for transforms and data sets."""

from __future__ import annotations

import copy
import pickle
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from bus_toolkit.blank_texts import is_blank
from bus_toolkit.data.transforms.load import LoadImage
from bus_toolkit.draws import kept_generators, seed_cpu_generators
from bus_toolkit.registry import DATASETS, SCOPE, TRANSFORMS
from bus_toolkit.testing import tiny
from bus_toolkit.testing.check import run_checks
from bus_toolkit.testing.engine_parts import EngineFactory
from bus_toolkit.testing.model import tiny_model

_HEIGHT, _WIDTH = 40, 48
_RESIZE = {"type": "mmpretrain.Resize", "scale": (tiny.SIDE, tiny.SIDE)}


def _load(sample: dict[str, Any]) -> dict[str, Any]:
    """Load the image unless the data set made it itself."""
    return sample if "img" in sample else LoadImage()(sample)


_PIPELINE = (_load, _RESIZE, {"type": f"{SCOPE}.PackRegions"})


class TransformCase:
    """A transform and a sample with an image, a caption and two boxes."""

    def __init__(self, part: str | Callable[..., Any], settings: dict[str, Any]) -> None:
        self.factory = EngineFactory(TRANSFORMS, part, settings)
        self.name = self.factory.name

    def build(self) -> Any:
        """Return a new transform."""
        return self.factory.build()

    def run(self, transform: Any, seed: int = 0) -> Any:
        """Return the sample after the transform."""
        with _seeded(seed), tempfile.TemporaryDirectory() as folder:
            return transform(_sample(Path(folder) / "image.png"))


def check_transform(part: str | Callable[..., Any], **settings: Any) -> None:
    """Check that a transform keeps pixels, boxes and caption consistent and is repeatable.

    Args:
        part: Its registered name (in ``bus_toolkit.registry.TRANSFORMS``), or its class.
        **settings: Its arguments.

    Raises:
        ConformanceError: Promises are broken; all are named.
        ComponentError: It cannot be built.
    """
    run_checks(TransformCase(part, settings), (check_sample, check_repeatable, check_pickled_transform))


def check_sample(case: TransformCase) -> None:
    """It returns a sample whose image, boxes and caption are still of their kind; or ``None`` to reject a sample."""
    for seed in range(4):
        sample = case.run(case.build(), seed)
        if sample is None:
            continue
        assert isinstance(sample, dict), f"it returns a {type(sample).__name__}, not the sample (a dict)"
        if "img" in sample:
            _assert_image(sample)
        if "text" in sample:
            text = sample["text"]
            assert isinstance(text, str) and not is_blank(text), f"the caption is {text!r}"


def _assert_image(sample: dict[str, Any]) -> None:
    image, boxes, named = sample["img"], sample.get("gt_bboxes"), sample.get("named")
    assert isinstance(image, np.ndarray) and image.ndim == 3, f"img is no array (H, W, 3) but {type(image).__name__}"
    if boxes is None:
        return
    assert boxes.ndim == 2 and boxes.shape[1] == 4, f"gt_bboxes have shape {boxes.shape}, not (n, 4)"
    assert named is None or len(named) == len(boxes), f"there are {len(boxes)} boxes and {len(named)} entries of named"
    assert bool((boxes[:, 2:] >= boxes[:, :2]).all()), f"a box has its corners swapped: {boxes.tolist()}"


def check_repeatable(case: TransformCase) -> None:
    """The same seed gives the same sample: its random numbers come from NumPy's, Python's or torch's generator."""
    one, two = (pickle.dumps(_plain(case.run(case.build(), seed=3))) for _ in range(2))
    assert one == two, "two runs with one seed differ"


def check_pickled_transform(case: TransformCase) -> None:
    """A transform survives pickling, as data-loader workers need it."""
    pickle.loads(pickle.dumps(case.build()))


class DatasetCase:
    """A data set; where it takes a pipeline, images are loaded if it did not, resized to 32 x 32 pixels and packed."""

    def __init__(self, part: str | Callable[..., Any], settings: dict[str, Any]) -> None:
        self.factory = EngineFactory(DATASETS, part, settings, defaults={"pipeline": _PIPELINE})
        self.name = self.factory.name

    def build(self) -> Any:
        """Return a new data set."""
        return self.factory.build()


def check_dataset(part: str | Callable[..., Any], **settings: Any) -> None:
    """Check that a data set gives samples that a model can train on.

    Args:
        part: Its registered name (in ``bus_toolkit.registry.DATASETS``), or its class.
        **settings: Its arguments; ``pipeline`` loads, resizes to 32 x 32 pixels and packs where it takes one.

    Raises:
        ConformanceError: Promises are broken; all are named.
        ComponentError: It cannot be built.
    """
    run_checks(DatasetCase(part, settings), (check_items, check_trains, check_pickled_dataset))


def check_items(case: DatasetCase) -> None:
    """Each item has ``inputs`` (3, H, W) and ``data_samples`` with a caption and the number of its image."""
    dataset = case.build()
    assert len(dataset) > 0, "it is empty"
    for index in sorted({0, len(dataset) // 2, len(dataset) - 1}):
        item = dataset[index]
        assert isinstance(item, dict), f"item {index} is a {type(item).__name__}, not a dict; the pipeline must pack"
        missing = [key for key in ("inputs", "data_samples") if key not in item]
        assert not missing, f"item {index} has no {' and no '.join(missing)}; the pipeline must end with PackRegions"
        assert item["inputs"].shape[-3] == 3, f"inputs have shape {tuple(item['inputs'].shape)}, not (3, H, W)"
        sample = item["data_samples"]
        absent = [name for name in ("text", "image_id") if sample.get(name) is None]
        assert not absent, f"the data sample of item {index} has no {' and no '.join(absent)}"
        assert not is_blank(str(sample.get("text"))), f"the caption of item {index} is empty"
    assert isinstance(getattr(dataset, "metainfo", None), dict), "metainfo, facts for metrics, is no dict attribute"


def check_trains(case: DatasetCase) -> None:
    """A tiny model trains a step on its first items."""
    dataset = case.build()
    items = [dataset[index] for index in range(min(4, len(dataset)))]
    images = torch.stack([item["inputs"].float() / 255.0 for item in items])
    model = tiny_model({"itc": {"type": "ITCHead", "feature_dim": 16}}).train()
    losses = model.loss(images, [item["data_samples"] for item in items])
    assert all(torch.isfinite(value) for value in losses.values()), "the loss is not finite"


def check_pickled_dataset(case: DatasetCase) -> None:
    """A data set survives pickling, as data-loader workers need it."""
    dataset = case.build()
    assert len(pickle.loads(pickle.dumps(dataset))) == len(dataset), "after pickling it has another length"


def _sample(path: Path) -> dict[str, Any]:
    """Return a sample as it enters a pipeline and as it is in the middle of one; the image is written to ``path``."""
    image = np.random.default_rng(0).integers(0, 256, (_HEIGHT, _WIDTH, 3), dtype=np.uint8)
    encoded = cv2.imencode(".png", image)[1].tobytes()
    path.write_bytes(encoded)
    return {
        "img_path": str(path),
        "img_bytes": encoded,
        "img": image,
        "img_shape": image.shape[:2],
        "ori_shape": image.shape[:2],
        "text": "a red circle left of a blue square",
        "image_id": 0,
        "text_id": 0,
        "gt_bboxes": np.array([[2, 4, 12, 16], [20, 10, 40, 36]], dtype=np.float32),
        "named": np.array([True, False]),
    }


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the three generators, and leave them afterwards as they were."""
    with kept_generators():
        seed_cpu_generators(seed)
        yield


def _plain(sample: Any) -> Any:
    """Return what two runs on one image must share: all but the path of the temporary file."""
    if not isinstance(sample, dict):
        return sample
    kept = {key: value for key, value in sample.items() if key not in ("img_path", "data_samples")}
    return copy.deepcopy({key: value.tolist() if hasattr(value, "tolist") else value for key, value in kept.items()})
