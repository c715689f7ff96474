"""A model of ours gets its images from its data preprocessor."""

from __future__ import annotations

from typing import Any

import pytest
from mmengine.model import BaseDataPreprocessor, ImgDataPreprocessor
from mmpretrain.models import ClsDataPreprocessor, MultiModalDataPreprocessor
from torch import nn

from bus_toolkit.engine.preprocessor_check import check_preprocessor
from bus_toolkit.errors import ConfigError
from bus_toolkit.testing import tiny_model
from tests.models.causal.tiny import model as tiny_causal_vlm

MODELS = [lambda: tiny_model({"itc": {"type": "ITCHead", "feature_dim": 8}}), tiny_causal_vlm]


@pytest.mark.parametrize("build", MODELS)
@pytest.mark.parametrize(
    ("preprocessor", "found"),
    [
        (BaseDataPreprocessor(), "none"),  # what MMEngine takes where a config has none
        (ImgDataPreprocessor(), "a ImgDataPreprocessor"),
        (ClsDataPreprocessor(), "a ClsDataPreprocessor"),
    ],
)
def test_one_that_calls_the_images_otherwise_is_refused(build: Any, preprocessor: nn.Module, found: str) -> None:
    model = build()
    model.data_preprocessor = preprocessor
    message = (
        f"model.data_preprocessor: must hand on images, which {type(model).__name__} takes, got {found}. Add data_"
    )
    with pytest.raises(ConfigError, match=message):
        check_preprocessor(model)


def test_one_that_gives_images_and_one_of_a_plugin_are_taken() -> None:
    class Own(BaseDataPreprocessor):
        pass

    model = tiny_causal_vlm()
    for preprocessor in (MultiModalDataPreprocessor(mean=[0.0], std=[1.0]), Own()):
        model.data_preprocessor = preprocessor
        check_preprocessor(model)


def test_models_that_take_inputs_keep_theirs() -> None:
    class Classifier(nn.Module):
        data_preprocessor = ClsDataPreprocessor()

        def forward(self, inputs: Any, data_samples: Any = None, mode: str = "tensor") -> Any: ...

    check_preprocessor(Classifier())
