"""Tiny random models of every family, made from configs, with a batch of two: one row left-padded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import transformers as T
from torch import Tensor, nn

IMAGE, VIDEO, START, END = 100, 101, 102, 103
_TEXT = {
    "vocab_size": 128,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
}
_SIGHT = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4}
_MROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}


@dataclass(frozen=True)
class Tiny:
    """A model and what its processor would make of an image.

    Attributes:
        model: The model.
        tokens: Visual tokens of an image.
        images: Returns arguments for a number of images.
        around: Ids before and after an image.
        added_later: First layers that visual features are added after.
    """

    model: nn.Module
    tokens: int
    images: Callable[[int], dict[str, Any]]
    around: tuple[list[int], list[int]] = ([], [])
    added_later: int = 0

    def row(self, num_images: int = 1, question: tuple[int, ...] = (7, 8, 9, 11, 12)) -> list[int]:
        """Return the ids of a sample."""
        before, after = self.around
        image = [*before, *[IMAGE] * self.tokens, *after]
        return [5, 6, *image * num_images, *question]

    def batch(self, seed: int = 0) -> dict[str, Any]:
        """Return two samples of one image, the second with two tokens of padding on the left."""
        rows = [[*self.row(), 13, 14], [0, 0, *self.row()]]
        mask = torch.ones(2, len(rows[0]), dtype=torch.int64)
        mask[1, :2] = 0
        torch.manual_seed(seed)
        return {"input_ids": torch.tensor(rows), "attention_mask": mask, **self.images(2)}

    def of(self, rows: list[list[int]], num_images: int, left: bool = True) -> dict[str, Any]:
        """Return padded samples."""
        width = max(len(row) for row in rows)
        pads = [[0] * (width - len(row)) for row in rows]
        ids = torch.tensor([[*pad, *row] if left else [*row, *pad] for pad, row in zip(pads, rows, strict=True)])
        return {"input_ids": ids, "attention_mask": (ids != 0).long(), **self.images(num_images)}


def _pixels(*shape: int) -> Callable[[int], dict[str, Any]]:
    return lambda count: {"pixel_values": torch.randn(count, *shape)}


def llava() -> Tiny:
    config = T.LlavaConfig(
        vision_config=T.CLIPVisionConfig(**_SIGHT, image_size=32, patch_size=8, projection_dim=32),
        text_config=T.LlamaConfig(**_TEXT),
        image_token_index=IMAGE,
        image_seq_length=16,
    )
    return Tiny(T.LlavaForConditionalGeneration(config), 16, _pixels(3, 32, 32))


def llava_next() -> Tiny:
    config = T.LlavaNextConfig(
        vision_config=T.CLIPVisionConfig(**_SIGHT, image_size=32, patch_size=8, projection_dim=32),
        text_config=T.LlamaConfig(**_TEXT),
        image_token_index=IMAGE,
        image_grid_pinpoints=[[32, 64]],
    )
    # A view of the whole image, and 4 x 8 patches of 32 x 64 pixels with the end of each line.
    images = lambda count: {
        "pixel_values": torch.randn(count, 3, 3, 32, 32),
        "image_sizes": torch.tensor([[32, 64]] * count),
    }
    return Tiny(T.LlavaNextForConditionalGeneration(config), 16 + 4 * 9, images)


def llava_onevision() -> Tiny:
    config = T.LlavaOnevisionConfig(
        vision_config=T.SiglipVisionConfig(**_SIGHT, image_size=32, patch_size=8),
        text_config=T.Qwen2Config(**_TEXT),
        image_token_index=IMAGE,
        video_token_index=VIDEO,
        image_grid_pinpoints=[[32, 64]],
    )
    images = lambda count: {
        "pixel_values": torch.randn(count, 3, 3, 32, 32),
        "image_sizes": torch.tensor([[32, 64]] * count),
    }
    return Tiny(T.LlavaOnevisionForConditionalGeneration(config), 16 + 4 * 9, images)


def _qwen(config_class: Any, model_class: Any, vision: dict[str, Any], patch: int, **settings: Any) -> Tiny:
    text = {**_TEXT, "rope_scaling": {"type": "mrope", **_MROPE}, "rope_parameters": _MROPE, **settings}
    config = config_class(
        text_config=text,
        vision_config=vision,
        image_token_id=IMAGE,
        video_token_id=VIDEO,
        vision_start_token_id=START,
        vision_end_token_id=END,
    )

    def images(count: int) -> dict[str, Any]:
        return {
            "pixel_values": torch.randn(64 * count, 3 * 2 * patch * patch),
            "image_grid_thw": torch.tensor([[1, 8, 8]] * count),
        }

    return Tiny(model_class(config), 16, images, ([START], [END]))


def qwen2_vl() -> Tiny:
    vision = {"depth": 2, "embed_dim": 32, "hidden_size": 32, "num_heads": 4, "mlp_ratio": 2, "patch_size": 14}
    return _qwen(T.Qwen2VLConfig, T.Qwen2VLForConditionalGeneration, vision, 14)


def qwen2_5_vl() -> Tiny:
    vision = {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_heads": 4,
        "patch_size": 14,
        "window_size": 56,
        "fullatt_block_indexes": [1],
        "out_hidden_size": 32,
    }
    return _qwen(T.Qwen2_5_VLConfig, T.Qwen2_5_VLForConditionalGeneration, vision, 14)


def qwen3_vl() -> Tiny:
    vision = {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_heads": 4,
        "patch_size": 16,
        "out_hidden_size": 32,
        "num_position_embeddings": 64,
        "deepstack_visual_indexes": [0],
    }
    tiny = _qwen(T.Qwen3VLConfig, T.Qwen3VLForConditionalGeneration, vision, 16, head_dim=8)
    return Tiny(tiny.model, tiny.tokens, tiny.images, tiny.around, added_later=1)


def internvl() -> Tiny:
    config = T.InternVLConfig(
        vision_config={**_SIGHT, "image_size": [64, 64], "patch_size": [8, 8]},
        text_config=T.Qwen2Config(**_TEXT),
        image_token_id=IMAGE,
        image_seq_length=16,
        downsample_ratio=0.5,
    )
    return Tiny(T.InternVLForConditionalGeneration(config), 16, _pixels(3, 64, 64))


def _idefics(config_class: Any, model_class: Any) -> Tiny:
    config = config_class(
        vision_config={**_SIGHT, "image_size": 64, "patch_size": 8},
        text_config=T.LlamaConfig(**_TEXT),
        image_token_id=IMAGE,
        scale_factor=2,
    )
    # Two samples of as many images each.
    images = lambda count: {
        "pixel_values": torch.randn(2, count // 2, 3, 64, 64) if count > 1 else torch.randn(1, 1, 3, 64, 64)
    }
    return Tiny(model_class(config), 16, images)


def idefics3() -> Tiny:
    return _idefics(T.Idefics3Config, T.Idefics3ForConditionalGeneration)


def smolvlm() -> Tiny:
    return _idefics(T.SmolVLMConfig, T.SmolVLMForConditionalGeneration)


def paligemma() -> Tiny:
    config = T.PaliGemmaConfig(
        vision_config=T.SiglipVisionConfig(**_SIGHT, image_size=32, patch_size=8, vision_use_head=False),
        text_config=T.GemmaConfig(**_TEXT, head_dim=8),
        image_token_index=IMAGE,
        projection_dim=32,
        hidden_size=32,
    )
    return Tiny(T.PaliGemmaForConditionalGeneration(config), 16, _pixels(3, 32, 32))


FAMILIES: dict[str, Callable[[], Tiny]] = {
    make.__name__: make
    for make in (
        llava,
        llava_next,
        llava_onevision,
        qwen2_vl,
        qwen2_5_vl,
        qwen3_vl,
        internvl,
        idefics3,
        smolvlm,
        paligemma,
    )
}


def build(name: str, seed: int = 0) -> Tiny:
    """Return the tiny model of a family with weights that make its tokens differ."""
    torch.manual_seed(seed)
    tiny = FAMILIES[name]()
    tiny.model.eval()
    for parameter in tiny.model.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.2)
    return tiny


GENERATION: dict[str, Any] = {
    "suppress_tokens": [IMAGE, VIDEO, START, END],
    "max_new_tokens": 6,
    "do_sample": False,
    "pad_token_id": 0,
    "eos_token_id": None,
}


def logits(model: Any, inputs: dict[str, Tensor]) -> Tensor:
    """Return the logits of a call, without gradient."""
    with torch.no_grad():
        return model(**inputs).logits
