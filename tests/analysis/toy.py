"""A model that is counted in a moment: width 32, four blocks, patches of 8, contrast alone."""

from __future__ import annotations

from typing import Any

WIDTH = 32


def toy(img_size: int = 64, **parts: Any) -> dict[str, Any]:
    """Return the ``model`` part of a config; ``parts`` replace its own."""
    layers = {"num_layers": 1, "num_heads": 4}
    return {
        "type": "VLPModel",
        "tokenizer": {"type": "CorpusTokenizer", "max_length": 8},
        "text_encoder": {"type": "BertTextEncoder", "hidden_size": WIDTH, "max_text_length": 16, **layers},
        "backbone": {
            "type": "mmpretrain.VisionTransformer",
            "arch": {"embed_dims": WIDTH, "num_layers": 4, "num_heads": 4, "feedforward_channels": 4 * WIDTH},
            "img_size": img_size,
            "patch_size": 8,
            "out_type": "raw",
        },
        "selectors": [{"type": "TSPS", "blocks": [1], "keep_ratio": 0.5, "fuse": "none"}],
        "decoder": {"type": "Identity"},
        "heads": {"itc": {"type": "ITCHead", "feature_dim": 16}},
        **parts,
    }
