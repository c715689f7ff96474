"""Classify images by the names of classes, as ``ZeroShotLoop`` does.

Dims: I images, C classes, E width of the features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from bus_toolkit.errors import ConfigError
from bus_toolkit.evaluation.zero_shot.class_texts import class_feats
from bus_toolkit.heads.base import need_head
from bus_toolkit.heads.itc import ITCHead
from bus_toolkit.inference.index import ImageIndex
from bus_toolkit.inference.numbers import refuse_nan


@torch.no_grad()
def classify(
    model: Any, index: ImageIndex, names: Sequence[str], templates: Sequence[str], *, topk: int
) -> list[dict[str, Any]]:
    """Return the nearest classes of each image; see ``Inferencer.classify``.

    Args:
        model: A model with an ITC head.
        index: The encoded images.
        names: C names, checked.
        templates: Checked.
        topk: How many classes of each image; at most all.

    Raises:
        ConfigError: ``topk`` below 1.
        ComponentError: The similarities hold NaN.
    """
    if topk < 1:
        raise ConfigError(f"Inferencer.classify.topk: must be 1 or more, got {topk}.")
    scale = need_head(model.heads, ITCHead, "classification").scale().cpu()
    cosines = index.feats @ class_feats(model, names, templates).cpu().T  # (I, C)
    refuse_nan(cosines, "the similarities of images and classes")
    probabilities = (scale * cosines).softmax(dim=1)
    nearest = cosines.topk(min(topk, len(names)), dim=1).indices.tolist()
    return [
        {
            "image": image,
            "class": names[row[0]],
            "probability": probabilities[number, row[0]].item(),
            "classes": [
                {
                    "index": place,
                    "class": names[place],
                    "score": cosines[number, place].item(),
                    "probability": probabilities[number, place].item(),
                }
                for place in row
            ],
        }
        for number, (image, row) in enumerate(zip(index.names, nearest, strict=True))
    ]
