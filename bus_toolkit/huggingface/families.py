"""What differs between families of vision-language models in transformers: visual places, sizes of images, layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from bus_toolkit.errors import ComponentError
from bus_toolkit.huggingface.image_grids import AllAlike, Images, by_grid_thw, no_grid


# Functions with names, not lambdas: a model is pickled with its hooks, and they know its family.
def _none_later(config: Any) -> int:
    return 0


def _deepstack_layers(config: Any) -> int:
    return len(config.vision_config.deepstack_visual_indexes)


def _downsampled(config: Any) -> float:
    return config.downsample_ratio


def _scaled(config: Any) -> float:
    return 1 / config.scale_factor


@dataclass(frozen=True)
class Family:
    """How models of one family are laid out.

    Attributes:
        name: Its name for people.
        images: Returns the grid of tokens of each image (or frame, or tile) of a batch, from the config, the model's
            arguments and ``input_ids``; ``None`` where the tokens of an image are no grid.
        tower: Path of the vision tower whose patches are the visual tokens one to one; ``None`` where they are not.
        projector: Path of what brings their width to that of the language model.
        added_later: How many of the first layers the model adds visual features after.
    """

    name: str
    images: Images
    tower: str | None = None
    projector: str | None = None
    added_later: Callable[[Any], int] = _none_later


def _one_to_one(name: str) -> Family:
    return Family(name, AllAlike(), tower="vision_tower", projector="multi_modal_projector")


def _adding_later(name: str) -> Family:
    return Family(name, by_grid_thw, added_later=_deepstack_layers)


FAMILIES: dict[str, Family] = {
    "llava": _one_to_one("LLaVA"),
    "llava_next": Family("LLaVA-NeXT", no_grid),
    "llava_onevision": Family("LLaVA-OneVision", no_grid),
    "qwen2_vl": Family("Qwen2-VL", by_grid_thw),
    "qwen2_5_vl": Family("Qwen2.5-VL", by_grid_thw),
    "qwen3_vl": _adding_later("Qwen3-VL"),
    "qwen3_vl_moe": _adding_later("Qwen3-VL-MoE"),
    "internvl": Family("InternVL", AllAlike(_downsampled)),
    "idefics3": Family("Idefics3", AllAlike(_scaled)),
    "smolvlm": Family("SmolVLM", AllAlike(_scaled)),
    "paligemma": _one_to_one("PaliGemma"),
}


def family_of(model: nn.Module) -> Family:
    """Return the family of a model.

    Raises:
        ComponentError: It is of none, or not a model of transformers.
    """
    kind = getattr(getattr(model, "config", None), "model_type", None)
    if kind in FAMILIES:
        return FAMILIES[kind]
    raise ComponentError(
        f"reduce_tokens: the model must be a vision-language model of transformers of type {', '.join(FAMILIES)}, got "
        f"{type(model).__name__}{'' if kind is None else f' of type {kind}'}. Give the whole model, as "
        "AutoModelForImageTextToText.from_pretrained returns it; a family of your own needs an entry in "
        "bus_toolkit.huggingface.FAMILIES."
    )


def decoder_of(model: Any) -> Any:
    """Return the language model, which has ``layers``."""
    decoder = model.get_decoder()
    # Idefics3 and SmolVLM answer with the model around it in transformers 4.
    return decoder if hasattr(decoder, "layers") else decoder.text_model


def part_of(model: Any, path: str) -> Any:
    """Return a part of the model, with its head or without, such as ``vision_tower``."""
    return getattr(model if hasattr(model, path) else model.model, path)
