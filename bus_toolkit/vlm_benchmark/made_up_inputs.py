"""Arguments of a vision-language model for a noise image and random words: no processor and no data are needed.

Speed does not depend on the content, but for selectors that keep what an image needs: their counts are those of noise.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bus_toolkit.errors import ConfigError
from bus_toolkit.huggingface.families import family_of
from bus_toolkit.huggingface.image_grids import visual_ids
from bus_toolkit.huggingface.visual_places import Grid

Size = tuple[int, int]
"""Height and width in pixels."""
# Types whose processor cuts an image into patches itself, of any size.
_ANY_SIZE = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe")
# Types that read square images of one size: patches along a side of the square that a visual token holds.
_ONE_SIZE: dict[str, Callable[[Any], float]] = {
    "llava": lambda config: 1,
    "paligemma": lambda config: 1,
    "internvl": lambda config: 1 / config.downsample_ratio,
    "idefics3": lambda config: config.scale_factor,
    "smolvlm": lambda config: config.scale_factor,
}


@dataclass(frozen=True)
class ImageFrame:
    """What images of a model may be like.

    Attributes:
        token_side: Pixels along the side of the square that one visual token holds.
        only: The one size that the model reads; ``None`` where any multiple of ``token_side`` will do.
    """

    token_side: int
    only: Size | None

    def grid(self, size: Size) -> Grid:
        """Return rows and columns of the visual tokens of an image."""
        return size[0] // self.token_side, size[1] // self.token_side


def image_frame(model: Any) -> ImageFrame:
    """Return what images of a model may be like.

    Raises:
        ConfigError: A family whose images are not made up here.
    """
    config, kind = model.config, model.config.model_type
    vision = config.vision_config
    if kind in _ANY_SIZE:
        return ImageFrame(vision.patch_size * vision.spatial_merge_size, None)
    if kind not in _ONE_SIZE:
        raise ConfigError(
            f"model: images of {family_of(model).name} cannot be made up here. Measure a model of type "
            f"{', '.join((*_ANY_SIZE, *_ONE_SIZE))}."
        )
    side, patch = (one[0] if isinstance(one, list | tuple) else one for one in (vision.image_size, vision.patch_size))
    return ImageFrame(round(patch * _ONE_SIZE[kind](config)), (side, side))


def check_size(model: Any, size: Size) -> None:
    """Refuse an image that the model does not read.

    Raises:
        ConfigError: It is one.
    """
    frame = image_frame(model)
    if frame.only is not None and size != frame.only:
        raise ConfigError(
            f"image_sizes: must be {list(frame.only)} for this {family_of(model).name}, got {list(size)}. Write "
            "that size."
        )
    if min(size) < frame.token_side or size[0] % frame.token_side or size[1] % frame.token_side:
        raise ConfigError(
            f"image_sizes: height and width must be multiples of {frame.token_side} for this {family_of(model).name}, "
            f"got {list(size)}. Choose the nearest."
        )


def smaller_size(model: Any, size: Size, num_tokens: float) -> Size | None:
    """Return the size of about the same shape with as many visual tokens; ``None`` where there is no other size."""
    frame = image_frame(model)
    if frame.only is not None:
        return None
    rows, columns = frame.grid(size)
    shape = columns / rows
    # Of each number of rows, the two numbers of columns nearest to the shape.
    grids = [(r, c) for r in range(1, rows + 1) for c in (int(r * shape), int(r * shape) + 1) if 1 <= c <= columns]
    best = min(grids, key=lambda grid: (abs(grid[0] * grid[1] - num_tokens), abs(grid[1] / grid[0] - shape)))
    return best[0] * frame.token_side, best[1] * frame.token_side


def made_up_inputs(model: Any, size: Size, prompt_length: int, batch_size: int) -> dict[str, Tensor]:
    """Return the arguments of a call: ``batch_size`` prompts, each with one image before half of its words.

    Args:
        model: On its device, of its dtype.
        size: Height and width, in pixels.
        prompt_length: Tokens of a prompt beside the visual ones; 4 or more.
        batch_size: Prompts.

    Raises:
        ConfigError: An image that the model does not read.
    """
    check_size(model, size)
    noise = torch.Generator().manual_seed(0)
    config = model.config
    rows, columns = image_frame(model).grid(size)
    visual = torch.full((batch_size, rows * columns), visual_ids(config)[0])
    edges = [getattr(config, f"vision_{name}_token_id", None) for name in ("start", "end")]
    around = [torch.full((batch_size, 0 if edge is None else 1), edge or 0) for edge in edges]
    num_words = prompt_length - sum(part.shape[1] for part in around)
    words = _words(config, (batch_size, num_words), noise)
    before, after = words.split([num_words // 2, num_words - num_words // 2], dim=1)
    ids = torch.cat([before, around[0], visual, around[1], after], dim=1)
    made = {"input_ids": ids, "attention_mask": torch.ones_like(ids), **_images(config, size, batch_size, noise)}
    if "mm_token_type_ids" in inspect.signature(model.forward).parameters:  # transformers 5 asks which are images (1)
        made["mm_token_type_ids"] = (ids == visual_ids(config)[0]).long()
    return {
        name: value.to(model.device, model.dtype if value.is_floating_point() else None) for name, value in made.items()
    }


def special_ids(config: Any) -> list[int]:
    """Return ids that are no words: visual tokens and what is around them."""
    edges = (getattr(config, f"vision_{name}_token_id", None) for name in ("start", "end"))
    return sorted({*visual_ids(config), *(edge for edge in edges if edge is not None)})


def _words(config: Any, shape: tuple[int, int], noise: torch.Generator) -> Tensor:
    text = config.get_text_config()
    allowed = torch.ones(text.vocab_size, dtype=torch.bool)
    # The ids of visual tokens may be above the vocabulary in a config that somebody has shortened.
    allowed[[one for one in (0, *special_ids(config)) if one < text.vocab_size]] = False
    choices = allowed.nonzero().flatten()
    return choices[torch.randint(len(choices), shape, generator=noise)]


def _images(config: Any, size: Size, count: int, noise: torch.Generator) -> dict[str, Tensor]:
    vision = config.vision_config
    if config.model_type in _ANY_SIZE:
        grid = [1, size[0] // vision.patch_size, size[1] // vision.patch_size]
        width = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
        pixels = torch.randn(count * grid[1] * grid[2], width, generator=noise)
        return {"pixel_values": pixels, "image_grid_thw": torch.tensor([grid] * count)}
    pixels = torch.randn(count, 3, *size, generator=noise)
    several = config.model_type in ("idefics3", "smolvlm")  # images of each prompt have an axis of their own
    return {"pixel_values": pixels.unsqueeze(1) if several else pixels}
