"""MMEngine's ``compile``, for the parts of a model that are tensors in, tensors out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

# A backbone is entered between its blocks, by selectors: its blocks are compiled. The others are called as one.
_WHOLE = ("text_encoder", "decoder", "prior", "fusion", "text_decoder")


def parts_of(model: nn.Module) -> list[nn.Module]:
    """Return the blocks of the backbone and the parts around it; nothing for a model that has no such parts."""
    return blocks_of(model) + [
        part for part in (getattr(model, name, None) for name in _WHOLE) if isinstance(part, nn.Module)
    ]


def blocks_of(model: nn.Module) -> list[nn.Module]:
    """Return the blocks of the backbone, between which selectors act; nothing for a model that has no such backbone."""
    return list(getattr(getattr(getattr(model, "backbone", None), "adapter", None), "layers", []))


def compile_parts(model: nn.Module, settings: Mapping[str, Any]) -> bool:
    """Compile the parts of ``model`` in place and return whether there was any; names in its state dict stay.

    MMEngine compiles ``train_step`` as a whole. In it are tokenizer, data samples, random numbers, backward pass and
    optimizer, none of which can be captured; with parameter-wise settings torch's compiler even fails on MMEngine's
    parameter groups.

    Args:
        model: The bare model.
        settings: Arguments of ``torch.compile``.
    """
    parts = parts_of(model)
    for part in parts:
        _use_plain_drop_probs(part)
        part.compile(**settings)
    return bool(parts)


def _use_plain_drop_probs(part: nn.Module) -> None:
    """Turn NumPy's floats, which mmpretrain hands to its drop paths, into Python's: on those every graph breaks."""
    for module in part.modules():
        probability: Any = getattr(module, "drop_prob", None)
        if isinstance(probability, float):
            vars(module)["drop_prob"] = float(probability)
