"""What differs between families of vision-language models in transformers: visual places, sizes of images, layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from bus_toolkit.errors import ComponentError
from bus_toolkit.huggingface.visual_places import Grid

Images = Callable[[Any, Mapping[str, Any], Tensor], list[Grid] | None]


@dataclass(frozen=True)
class Family:
    """How models of one family are laid out.

    Attributes:
        name: Its name for people.
        images: Returns the grid of tokens of each image (or frame) of a batch, from the config, the model's arguments and
            ``input_ids``; ``None`` where the tokens of an image are no grid.
        tower: Path of the vision tower whose patches are the visual tokens one to one; ``None`` where they are not.
        projector: Path of what brings their width to that of the language model.
        added_later: How many of the first layers the model adds visual features after.
    """

    name: str
    images: Images
    tower: str | None = None
    projector: str | None = None
    added_later: Callable[[Any], int] = lambda config: 0


def _squares(side: Callable[[Any], float]) -> Images:
    """Return square images, as many as there are places for; ``side`` is in tokens."""

    def images(config: Any, arguments: Mapping[str, Any], input_ids: Tensor) -> list[Grid] | None:
        tokens = int(side(config))
        count = int((input_ids == visual_ids(config)[0]).sum())
        return [(tokens, tokens)] * (count // tokens**2) if count % tokens**2 == 0 else None

    return images


def _by_grid_thw(config: Any, arguments: Mapping[str, Any], input_ids: Tensor) -> list[Grid] | None:
    """Return images and frames of models that say time, height and width of each in patches."""
    merge = config.vision_config.spatial_merge_size
    sizes = {
        config.image_token_id: _frames(arguments.get("image_grid_thw"), merge),
        config.video_token_id: _frames(arguments.get("video_grid_thw"), merge),
    }
    # Which comes next in the text is known by its token. Frames of a video lie one after the other, with or without text
    # between them.
    flat = input_ids[(input_ids == config.image_token_id) | (input_ids == config.video_token_id)].tolist()
    found, at = [], 0
    while at < len(flat):
        if not sizes[flat[at]]:
            return None
        found.append(sizes[flat[at]].pop(0))
        at += found[-1][0] * found[-1][1]
    return found


def _frames(grids: Tensor | None, merge: int) -> list[Grid]:
    if grids is None:
        return []
    return [(rows // merge, columns // merge) for times, rows, columns in grids.tolist() for _ in range(times)]


def _no_grid(config: Any, arguments: Mapping[str, Any], input_ids: Tensor) -> list[Grid] | None:
    return None


def _patches(config: Any) -> float:
    return _first(config.vision_config.image_size) / _first(config.vision_config.patch_size)


def _first(size: Any) -> int:
    return size[0] if isinstance(size, (list, tuple)) else size


_CLIP_LIKE = {"tower": "vision_tower", "projector": "multi_modal_projector"}
_QWEN3 = Family("Qwen3-VL", _by_grid_thw, added_later=lambda config: len(config.vision_config.deepstack_visual_indexes))
FAMILIES: dict[str, Family] = {
    "llava": Family("LLaVA", _squares(_patches), **_CLIP_LIKE),
    "llava_next": Family("LLaVA-NeXT", _no_grid),
    "llava_onevision": Family("LLaVA-OneVision", _no_grid),
    "qwen2_vl": Family("Qwen2-VL", _by_grid_thw),
    "qwen2_5_vl": Family("Qwen2.5-VL", _by_grid_thw),
    "qwen3_vl": _QWEN3,
    "qwen3_vl_moe": _QWEN3,
    "internvl": Family("InternVL", _squares(lambda config: _patches(config) * config.downsample_ratio)),
    "idefics3": Family("Idefics3", _squares(lambda config: _patches(config) / config.scale_factor)),
    "smolvlm": Family("SmolVLM", _squares(lambda config: _patches(config) / config.scale_factor)),
    "paligemma": Family("PaliGemma", _squares(_patches), **_CLIP_LIKE),
}


def family_of(model: nn.Module) -> Family:
    """Return the family of a model.

    Raises:
        ComponentError: It is of none, or not a model of transformers.
    """
    kind = getattr(getattr(model, "config", None), "model_type", None)
    if kind in FAMILIES:
        return FAMILIES[kind]
    # Gemma 3's sliding windows count places: of a shorter sequence they would hold more than the model was trained on.
    reason = " Its layers read a sliding window of places, which selection would widen." if kind == "gemma3" else ""
    raise ComponentError(
        f"reduce_tokens: the model must be a vision-language model of transformers of type {', '.join(FAMILIES)}, got "
        f"{type(model).__name__}{'' if kind is None else f' of type {kind}'}.{reason} A model of your own needs an entry in "
        "bus_toolkit.huggingface.FAMILIES."
    )


def visual_ids(config: Any) -> tuple[int, ...]:
    """Return the ids of tokens that hold visual features."""
    names = ("image_token_id", "image_token_index", "video_token_id", "video_token_index")
    return tuple(dict.fromkeys(one for one in (getattr(config, name, None) for name in names) if one is not None))


def decoder_of(model: Any) -> nn.Module:
    """Return the language model, which has ``layers``."""
    decoder = model.get_decoder()
    # Idefics3 and SmolVLM answer with the model around it in transformers 4.
    return decoder if hasattr(decoder, "layers") else decoder.text_model


def part_of(model: Any, path: str) -> Any:
    """Return a part of the model without its head, such as ``vision_tower``."""
    return getattr(getattr(model, "model", model), path)


def tower_layers(tower: Any) -> nn.ModuleList:
    """Return the layers of a vision tower; transformers 5 has left out a level."""
    inner = getattr(tower, "vision_model", tower)
    return inner.encoder.layers


def side_of(count: int) -> int | None:
    """Return the side of a square of ``count`` tokens; ``None`` if there is none."""
    side = math.isqrt(count)
    return side if side * side == count else None
