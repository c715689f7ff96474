"""The arm of fewer pixels gets the size that costs nearly as much, and pipelines that reduce the same pictures."""

from __future__ import annotations

from typing import Any

import pytest

from bus_toolkit.analysis.meta_macs import Frame, frame_of
from bus_toolkit.errors import ConfigError
from bus_toolkit.study.smaller_image import match_image
from tests.analysis.toy import toy

PACK = {"type": "PackRegions"}


class ByArea:
    """Counts 1 a pixel."""

    def inference(self, model: Any) -> int:
        side = model["backbone"]["img_size"]
        height, width = (side, side) if isinstance(side, int) else side
        return height * width

    def frame(self, model: Any) -> Frame:
        return frame_of(model)


def config(*pipeline: dict[str, Any]) -> dict[str, Any]:
    return {"model": toy(selectors=[]), "train_dataloader": {"dataset": {"pipeline": list(pipeline)}}}


def test_the_nearest_size_is_taken_and_the_full_one_where_it_costs_no_more() -> None:
    reduce = {"type": "mmpretrain.Resize", "scale": [48, 40], "interpolation": "area"}
    for target in (40 * 48 - 60, 40 * 48, 40 * 48 + 60):
        assert match_image(config(PACK), target, ByArea(), "here") == {  # type: ignore[arg-type]
            "model.backbone.img_size": [40, 48],
            "train_dataloader.dataset.pipeline": [reduce, PACK],
        }
    assert match_image(config(PACK), 64 * 64, ByArea(), "here") == {}  # type: ignore[arg-type]


def test_images_that_cannot_be_reduced_are_refused() -> None:
    with pytest.raises(
        ConfigError, match="attribute: image: smaller: train_dataloader: no pipeline .* Leave the arm out"
    ):
        match_image(config(), 64 * 40, ByArea(), "attribute")  # type: ignore[arg-type]
