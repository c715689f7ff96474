"""Whether what prepares a batch gives a model its images."""

from __future__ import annotations

import inspect

from mmengine.model import BaseDataPreprocessor
from torch import nn

from bus_toolkit.errors import ConfigError, Problem

_OPENMMLAB = ("mmengine", "mmpretrain")


def check_preprocessor(model: nn.Module) -> None:
    """Refuse a data preprocessor that hands pixels on by another name than the model takes them by.

    Of OpenMMLab's, ``MultiModalDataPreprocessor`` alone calls them ``images``, as our models do; others, and that which
    MMEngine takes where a config has none, call them ``inputs``, as mmpretrain's models do. A plugin's may do both.

    Raises:
        ConfigError: It does.
    """
    from mmpretrain.models.utils.data_preprocessor import MultiModalDataPreprocessor

    preprocessor = getattr(model, "data_preprocessor", None)
    takes = inspect.signature(model.forward).parameters
    if "images" not in takes or "inputs" in takes or isinstance(preprocessor, MultiModalDataPreprocessor):
        return
    if type(preprocessor).__module__.partition(".")[0] not in _OPENMMLAB:
        return
    found = "none" if type(preprocessor) is BaseDataPreprocessor else f"a {type(preprocessor).__name__}"
    text = (
        f"must hand on images, which {type(model).__name__} takes, got {found}. Add data_preprocessor: {{type: "
        "mmpretrain.MultiModalDataPreprocessor, mean: [127.5, 127.5, 127.5], std: [63.75, 63.75, 63.75], to_rgb: "
        "true}, with mean and std that the backbone was trained with, on the scale 0 to 255."
    )
    raise ConfigError(Problem("model.data_preprocessor", text))
