"""What an exported file says of itself, so that somebody who has nothing else can use it."""

from __future__ import annotations

import hashlib
from typing import Any

import torch

from bus_toolkit import __version__
from bus_toolkit.config import config_text
from bus_toolkit.export.image_side import ImageSide
from bus_toolkit.inference.preprocessor import ImagePreprocessor
from bus_toolkit.models.vlp import VLPModel

_TEXT = {
    "text_embeds": ["batch", "length", "{width}"],
    "text_pooled": ["batch", "{width}"],
    "text_mask": ["batch", "length"],
}


def describe_image_side(
    model: VLPModel, side: ImageSide, cfg: Any | None, outputs: list[torch.Tensor]
) -> dict[str, Any]:
    """Return names, shapes and types of inputs and outputs, how images are prepared, and what the selectors keep.

    Args:
        model: The model.
        side: Its image side.
        cfg: The config, of which a digest is kept; ``None`` for a model that was built without one.
        outputs: Of the side, for some inputs.
    """
    prepares = ImagePreprocessor.of(model)
    height, width = prepares.size
    rgb = bool(getattr(model.data_preprocessor, "_channel_conversion", True))
    tokens, kept = outputs[:2]
    shapes = {name: [side.text_width if size == "{width}" else size for size in _TEXT[name]] for name in side.reads}
    kinds = {name: "bool" if name == "text_mask" else "float32" for name in side.reads}
    of_output = [["batch", *tokens.shape[1:]], ["batch", kept.shape[1]], ["batch", tokens.shape[1]]]
    return {
        "toolkit": f"bus_toolkit {__version__}",
        "torch": torch.__version__,
        "part": "image",
        "inputs": {"images": {"shape": ["batch", 3, height, width], "dtype": "float32"}}
        | {name: {"shape": shapes[name], "dtype": kinds[name]} for name in side.reads},
        "outputs": {
            name: {"shape": shape, "dtype": "float32" if name == "tokens" else "bool"}
            for name, shape, _ in zip(side.output_names, of_output, outputs, strict=False)
        },
        "image": {
            "size": [height, width],
            "channels": "RGB" if rgb else "BGR",
            "mean": list(prepares.mean),
            "std": list(prepares.std),
            "pixels": "(pixels from 0 to 255 - mean) / std",
            "grid": list(side.backbone.grid),
        },
        "selectors": [
            {"type": type(one).__name__, "blocks": list(one.blocks), "keep_ratio": one.keep_ratio}
            for one in side.backbone.selectors
        ],
        "tokens": tokens.shape[1],
        "config_sha256": None if cfg is None else hashlib.sha256(config_text(cfg).encode()).hexdigest(),
    }
