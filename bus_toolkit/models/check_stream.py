"""What a single-stream model cannot hold, and what only it can: checked on built parts, before the first batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import nn

from bus_toolkit.backbones.joint_pass import stream_problems
from bus_toolkit.decoders.identity import IdentityDecoder
from bus_toolkit.errors import Problem
from bus_toolkit.fusion.single_stream import SingleStreamFusion
from bus_toolkit.heads.base import VLPHead
from bus_toolkit.step.parts import Parts
from bus_toolkit.text_encoders.bert import BertTextEncoder


def single_stream_problems(parts: Parts, heads: Mapping[str, nn.Module], *, momentum: bool) -> Iterator[Problem]:
    """Yield what is wrong with the parts of a model for the kind of fusion that it has.

    Args:
        parts: The built parts, with a backbone that reduces tokens.
        heads: The built heads by name.
        momentum: Whether there is a momentum branch.
    """
    if not isinstance(parts.fusion, SingleStreamFusion):
        yield from _needs_stream(parts)
        return
    for reason in stream_problems(parts.backbone.adapter):
        yield Problem(
            "model.backbone",
            f"{reason}. SingleStreamFusion works with mmpretrain.VisionTransformer. Use it, or another fusion.",
        )
    if not isinstance(parts.decoder, IdentityDecoder):
        text = (
            f"SingleStreamFusion reads the patches, and no decoder comes between, got {type(parts.decoder).__name__}. "
            "Write decoder: {type: Identity}."
        )
        yield Problem("model.decoder", text)
    if momentum:
        text = (
            "its copies are of towers, and SingleStreamFusion has none, got a branch. Write momentum: null, and "
            "queue_size: 0 in the contrastive head."
        )
        yield Problem("model.momentum", text)
    for name, head in heads.items():
        if isinstance(head, VLPHead) and head.needs_towers:
            text = (
                f"{type(head).__name__} reads visual tokens that no text has touched, and with SingleStreamFusion "
                "those are bare patches. Leave the head out, or use another fusion."
            )
            yield Problem(f"model.heads.{name}", text)


def _needs_stream(parts: Parts) -> Iterator[Problem]:
    for index, selector in enumerate(parts.backbone.selectors):
        if selector.needs_word_stream:
            text = (
                f"{type(selector).__name__} reads how words attend to patches in a block, got a backbone of patches "
                "alone. Set model.fusion.type to SingleStreamFusion, or use another selector."
            )
            yield Problem(f"model.selectors.{index}", text)
    if isinstance(parts.text_encoder, BertTextEncoder) and not parts.text_encoder.num_layers:
        text = (
            "without layers each word is encoded alone, which only SingleStreamFusion makes up for, got num_layers 0. "
            "Set it to 1 or more, or use that fusion."
        )
        yield Problem("model.text_encoder.num_layers", text)
