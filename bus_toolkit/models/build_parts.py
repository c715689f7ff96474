"""Steps in the building of a model from a config that models of several kinds share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from bus_toolkit.backbones.token_counts import fewest_tokens
from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone
from bus_toolkit.errors import ConfigError, Problem
from bus_toolkit.registry import REGISTRIES
from bus_toolkit.selectors.base import PatchSelector
from bus_toolkit.structures import Vocabulary


def build_selectors(
    nodes: Sequence[Mapping[str, Any]], path: str, *, embed_dim: int, text_dim: int
) -> list[PatchSelector]:
    """Build the selectors of a list at ``path`` of a config, for tokens and texts of such widths."""
    return [
        REGISTRIES.selectors.build(node, path=f"{path}.{index}", embed_dim=embed_dim, text_dim=text_dim)
        for index, node in enumerate(nodes)
    ]


def build_decoder(
    node: Mapping[str, Any] | None,
    known: Mapping[str, Any],
    backbone: TokenReducingBackbone,
    text_width: str = "text_encoder.hidden_size",
) -> nn.Module:
    """Build the decoder of a config, ``Identity`` where it has none.

    Args:
        node: Its YAML node.
        known: What parts may ask for.
        backbone: Whose tokens it reads.
        text_width: The setting of the width of texts, for messages.
    """
    decoder = REGISTRIES.decoders.build(node or {"type": "Identity"}, path="model.decoder", **known)
    if getattr(decoder, "reads_text", False) and known["embed_dim"] != known["text_dim"]:
        text = (
            f"text and visual tokens must be equally wide, got {known['text_dim']} and {known['embed_dim']}, for a "
            "decoder that reads the text. Let it read none (PAD: text_in_memory, QFormer: with_text), or give "
            f"{text_width} the backbone's width."
        )
        raise ConfigError(Problem("model.decoder", text))
    check_tokens = getattr(decoder, "check_tokens", None)
    if check_tokens is not None:
        check_tokens(fewest_tokens(backbone.selectors, backbone.grid), backbone.grid)
    return decoder


def vocabulary(tokenizer: Any) -> dict[str, Any]:
    """Return what parts may want to know of the tokenizer, by the names of ``bus_toolkit.registry.ARGUMENTS``."""
    return {
        "vocab_size": tokenizer.vocab_size,
        "pad_token_id": tokenizer.pad_token_id,
        "vocabulary": Vocabulary.of(tokenizer),
    }


def patch_size(backbone: TokenReducingBackbone) -> int:
    """Return the distance of two patches in pixels; patches may overlap, but must tile the image."""
    down, across = backbone.adapter.patch_size
    if down != across:
        text = (
            f"patches must be as far apart down as across, got {down} and {across} pixels. Boxes are "
            "laid on a grid of squares. Choose a square patch_size."
        )
        raise ConfigError(Problem("model.backbone", text))
    if any(pixels % down for pixels in backbone.image_size):
        text = (
            f"patches {down} pixels apart do not tile an image of {backbone.image_size} pixels. "
            "Choose img_size as a multiple of patch_size."
        )
        raise ConfigError(Problem("model.backbone", text))
    return down


def check_length(path: str, part: Any, tokenizer: Any) -> None:
    """Refuse texts that are longer than a part at ``path`` has positions for."""
    positions = getattr(part, "max_text_length", None)
    if positions is not None and tokenizer.max_length > positions:
        text = (
            f"must be at most {positions}, the positions of {path}, got {tokenizer.max_length}. "
            f"Lower it, or raise {path}.max_text_length."
        )
        raise ConfigError(Problem("model.tokenizer.max_length", text))
