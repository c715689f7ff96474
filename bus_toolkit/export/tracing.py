"""An image side traced by ``torch.export``, for a batch of any size."""

from __future__ import annotations

from typing import Any

import torch
from torch.export import Dim, ExportedProgram
from torch.fx import Node

from bus_toolkit.errors import BusError, ConfigError
from bus_toolkit.export.image_side import TEXT_INPUTS, ImageSide, Shape
from bus_toolkit.models.vlp import VLPModel
from bus_toolkit.safe_text import one_line

# Of different sizes, and none of 1, which torch.export takes for a constant.
_TRACED = Shape(batch=3, length=7)
_MOST_LETTERS = 400


def trace_image_side(model: VLPModel, *, with_text: bool) -> tuple[ImageSide, ExportedProgram]:
    """Return the image side with those inputs that are read, and its program.

    Args:
        model: In eval mode, on the CPU.
        with_text: Whether a text selects the patches; else the pass without one is traced.

    Raises:
        ConfigError: The model has operations whose results have a size that depends on the data, or that cannot be
            traced otherwise.
    """
    if not with_text:
        side = ImageSide(model)
        return side, trace(side)
    side = ImageSide(model, TEXT_INPUTS)
    program = trace(side)
    read = _read_inputs(side, program)
    if read == side.input_names:
        return side, program
    side = ImageSide(model, read[1:])
    return side, trace(side)


def trace(side: ImageSide) -> ExportedProgram:
    """Return the program of an image side.

    Raises:
        ConfigError: As ``trace_image_side``.
    """
    batch, length = Dim("batch"), Dim("length")
    text = {"text_embeds": {0: batch, 1: length}, "text_pooled": {0: batch}, "text_mask": {0: batch, 1: length}}
    shapes: dict[str, Any] = {"images": {0: batch}}
    if side.reads:
        shapes["text"] = tuple(text[name] for name in side.reads)
    try:
        with torch.no_grad():
            return torch.export.export(side.eval(), side.made_up(_TRACED), dynamic_shapes=shapes)
    except BusError:
        raise
    except Exception as error:  # noqa: BLE001 (torch.export has no base class for what it cannot trace)
        raise ConfigError(
            f"export: model.selectors: {_names(side)} cannot be traced for a batch of any size: {_reason(error)} An "
            "export needs sizes that do not depend on the data. Export a model with another selector."
        ) from error


def _read_inputs(side: ImageSide, program: ExportedProgram) -> list[str]:
    """Return the names of the inputs that the program reads."""
    placeholders = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    given = zip(side.input_names, program.graph_signature.user_inputs, strict=True)
    return [name for name, node in given if name == "images" or _is_read(placeholders[str(node)])]


def _is_read(placeholder: Node) -> bool:
    """Return whether anything but its size is."""
    return any(user.target is not torch.ops.aten.sym_size.int for user in placeholder.users)


def _names(side: ImageSide) -> str:
    return ", ".join(type(one).__name__ for one in side.backbone.selectors) or "the backbone"


def _reason(error: Exception) -> str:
    """Return the first sentence of what torch says, which names the operation."""
    text = one_line(" ".join(str(error).split())) or type(error).__name__
    return text if len(text) <= _MOST_LETTERS else f"{text[:_MOST_LETTERS]} ..."
