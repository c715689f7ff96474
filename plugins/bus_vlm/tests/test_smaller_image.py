"""A smaller input image: the baseline of record at equal visual tokens."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import CLIPImageProcessor, Qwen2VLImageProcessor

from tests.huggingface.tiny import GENERATION, IMAGE, build


def picture(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8))


def test_the_pixels_of_qwen_are_a_budget_of_tokens() -> None:
    """A token is 28 x 28 pixels; of 224 x 168 pixels 48 tokens come, of at most 12 x 28 x 28 pixels at most 12."""
    processor = Qwen2VLImageProcessor(min_pixels=4 * 28 * 28, max_pixels=1024 * 28 * 28)
    whole = processor(picture(224, 168), return_tensors="pt")
    small = processor(picture(224, 168), return_tensors="pt", min_pixels=4 * 28 * 28, max_pixels=12 * 28 * 28)
    assert whole["image_grid_thw"].tolist() == [[1, 12, 16]] and small["image_grid_thw"].tolist() == [[1, 6, 8]]
    tiny = build("qwen2_5_vl")
    ids = torch.tensor([[5, 6, 102, *[IMAGE] * 12, 103, 7, 8]])
    answer = tiny.model.generate(input_ids=ids, **small, **GENERATION)
    assert answer.shape[1] == ids.shape[1] + GENERATION["max_new_tokens"]


def interpolating(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return args, {**kwargs, "interpolate_pos_encoding": True}


def test_the_tower_of_llava_reads_a_smaller_image_by_interpolated_positions() -> None:
    """24 of 32 pixels at patches of 8: 9 tokens of 16."""
    tiny = build("llava")
    processor = CLIPImageProcessor(size={"shortest_edge": 24}, crop_size={"height": 24, "width": 24})
    pixels = processor(picture(40, 40), return_tensors="pt")["pixel_values"]
    ids = torch.tensor([[5, 6, *[IMAGE] * 9, 7, 8]])
    handle = tiny.model.model.vision_tower.register_forward_pre_hook(interpolating, with_kwargs=True)
    answer = tiny.model.generate(input_ids=ids, pixel_values=pixels, **GENERATION)
    handle.remove()
    assert answer.shape[1] == ids.shape[1] + GENERATION["max_new_tokens"]
