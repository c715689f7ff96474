"""Tiny random models of every family, made from configs, and what their processors would make of rows of token ids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import transformers
from torch import Tensor, nn

IS_OLD = int(transformers.__version__.split(".")[0]) < 5
IMAGE, VIDEO, START, END = 100, 101, 102, 103
WIDTH, NUM_LAYERS = 32, 4
_TEXT = {
    "vocab_size": 128,
    "hidden_size": WIDTH,
    "intermediate_size": 64,
    "num_hidden_layers": NUM_LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
}
_SIGHT = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4}
_MROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}

Pixels = Callable[[list[int]], dict[str, Any]]


@dataclass(frozen=True)
class Tiny:
    """A model and what its processor would make of an image.

    Attributes:
        model: The model.
        tokens: Visual tokens of an image.
        pixels: Returns arguments for rows of so many images each.
        around: Ids before and after an image.
        added_later: First layers that visual features are added after.
        type_names: Arguments that say which kind of token is where.
    """

    model: Any
    tokens: int
    pixels: Pixels
    around: tuple[list[int], list[int]] = ([], [])
    added_later: int = 0
    type_names: tuple[str, ...] = field(default=())

    @property
    def block(self) -> int:
        """A block in the middle of the language model."""
        return 2

    def row(self, num_images: int = 1, question: Sequence[int] = (7, 8, 9, 11, 12)) -> list[int]:
        """Return the ids of a sample."""
        before, after = self.around
        image = [*before, *[IMAGE] * self.tokens, *after]
        return [5, 6, *image * num_images, *question]

    def of(self, rows: list[list[int]], left: bool = True, seed: int = 0) -> dict[str, Any]:
        """Return padded samples, each with as many images as its ids say."""
        width = max(len(row) for row in rows)
        pads = [[0] * (width - len(row)) for row in rows]
        ids = torch.tensor([[*pad, *row] if left else [*row, *pad] for pad, row in zip(pads, rows, strict=True)])
        torch.manual_seed(seed)
        counts = [row.count(IMAGE) // self.tokens for row in rows]
        images = self.pixels(counts) if sum(counts) else {}
        return {"input_ids": ids, "attention_mask": (ids != 0).long(), **images, **self.types(ids)}

    def own_pixels(self, inputs: dict[str, Any], row: int, rows: list[list[int]]) -> dict[str, Any]:
        """Return the images of one of the rows that ``of`` has padded."""
        counts = [one.count(IMAGE) // self.tokens for one in rows]
        if not counts[row]:
            return {}
        before, own = sum(counts[:row]), counts[row]
        made = {}
        for name in ("pixel_values", "image_grid_thw", "image_sizes"):
            value = inputs.get(name)
            if value is None:
                continue
            if self.pixels is _in_rows:
                made[name] = value[row : row + 1, :own]
            else:
                each = len(value) // sum(counts)
                made[name] = value[before * each : (before + own) * each]
        return made

    def types(self, ids: Tensor, answer: Tensor | None = None) -> dict[str, Tensor]:
        """Return which tokens are images (1) and videos (2), or which are an answer (1), where the model asks."""
        made = {}
        if "mm_token_type_ids" in self.type_names:
            made["mm_token_type_ids"] = (ids == IMAGE).long() + 2 * (ids == VIDEO).long()
        if "token_type_ids" in self.type_names:
            made["token_type_ids"] = torch.zeros_like(ids) if answer is None else answer.long()
        return made

    def batch(self, seed: int = 0) -> dict[str, Any]:
        """Return two samples of one image, the second with two tokens of padding on the left."""
        return self.of([[*self.row(), 13, 14], self.row()], seed=seed)

    def with_labels(self, rows: list[list[int]], answer: int = 3) -> dict[str, Any]:
        """Return right-padded samples whose last tokens are to be learned."""
        inputs = self.of(rows, left=False)
        ids = inputs["input_ids"]
        place, lengths = torch.arange(ids.shape[1]), inputs["attention_mask"].sum(dim=1, keepdim=True)
        is_answer = (place >= lengths - answer) & (place < lengths)
        return {**inputs, **self.types(ids, is_answer), "labels": ids.masked_fill(~is_answer, -100)}


def _each(**shapes: tuple[int, ...]) -> Pixels:
    """Return random arguments of those shapes for every image, whatever its row."""
    return lambda counts: {name: torch.randn(sum(counts), *shape) for name, shape in shapes.items()}


def llava() -> Tiny:
    config = transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(**_SIGHT, image_size=32, patch_size=8, projection_dim=32),
        text_config=transformers.LlamaConfig(**_TEXT),
        image_token_index=IMAGE,
        image_seq_length=16,
    )
    return Tiny(transformers.LlavaForConditionalGeneration(config), 16, _each(pixel_values=(3, 32, 32)))


def _cut(counts: list[int]) -> dict[str, Any]:
    """Return a view of each whole image, and 4 x 8 patches of 32 x 64 pixels with the end of each line."""
    number = sum(counts)
    return {"pixel_values": torch.randn(number, 3, 3, 32, 32), "image_sizes": torch.tensor([[32, 64]] * number)}


def llava_next() -> Tiny:
    config = transformers.LlavaNextConfig(
        vision_config=transformers.CLIPVisionConfig(**_SIGHT, image_size=32, patch_size=8, projection_dim=32),
        text_config=transformers.LlamaConfig(**_TEXT),
        image_token_index=IMAGE,
        image_grid_pinpoints=[[32, 64]],
    )
    return Tiny(transformers.LlavaNextForConditionalGeneration(config), 16 + 4 * 9, _cut)


def llava_onevision() -> Tiny:
    config = transformers.LlavaOnevisionConfig(
        vision_config=transformers.SiglipVisionConfig(**_SIGHT, image_size=32, patch_size=8),
        text_config=transformers.Qwen2Config(**_TEXT),
        image_token_index=IMAGE,
        video_token_index=VIDEO,
        image_grid_pinpoints=[[32, 64]],
    )
    return Tiny(transformers.LlavaOnevisionForConditionalGeneration(config), 16 + 4 * 9, _cut)


def _qwen(config_class: Any, model_class: Any, vision: dict[str, Any], patch: int, **settings: Any) -> Tiny:
    rope = {"rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 2]}} if IS_OLD else {"rope_parameters": _MROPE}
    config = config_class(
        text_config={**_TEXT, **rope, **settings},
        vision_config=vision,
        image_token_id=IMAGE,
        video_token_id=VIDEO,
        vision_start_token_id=START,
        vision_end_token_id=END,
    )

    def pixels(counts: list[int]) -> dict[str, Any]:
        number = sum(counts)
        return {
            "pixel_values": torch.randn(64 * number, 3 * 2 * patch * patch),
            "image_grid_thw": torch.tensor([[1, 8, 8]] * number),
        }

    return Tiny(model_class(config), 16, pixels, ([START], [END]), type_names=() if IS_OLD else ("mm_token_type_ids",))


def qwen2_vl() -> Tiny:
    vision = {"depth": 2, "embed_dim": 32, "hidden_size": 32, "num_heads": 4, "mlp_ratio": 2, "patch_size": 14}
    return _qwen(transformers.Qwen2VLConfig, transformers.Qwen2VLForConditionalGeneration, vision, 14)


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
    return _qwen(transformers.Qwen2_5_VLConfig, transformers.Qwen2_5_VLForConditionalGeneration, vision, 14)


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
    config, model = transformers.Qwen3VLConfig, transformers.Qwen3VLForConditionalGeneration
    return replace(_qwen(config, model, vision, 16, head_dim=8), added_later=1)


def internvl() -> Tiny:
    config = transformers.InternVLConfig(
        vision_config={**_SIGHT, "image_size": [64, 64], "patch_size": [8, 8]},
        text_config=transformers.Qwen2Config(**_TEXT),
        image_token_id=IMAGE,
        image_seq_length=16,
        downsample_ratio=0.5,
    )
    return Tiny(transformers.InternVLForConditionalGeneration(config), 16, _each(pixel_values=(3, 64, 64)))


def _in_rows(counts: list[int]) -> dict[str, Any]:
    """Return images by rows; a row with fewer of them ends with black ones, which the model leaves out."""
    made = torch.zeros(len(counts), max(counts), 3, 64, 64)
    for row, count in enumerate(counts):
        made[row, :count] = torch.randn(count, 3, 64, 64)
    return {"pixel_values": made}


def _idefics(config_class: Any, model_class: Any) -> Tiny:
    config = config_class(
        vision_config={**_SIGHT, "image_size": 64, "patch_size": 8},
        text_config=transformers.LlamaConfig(**_TEXT),
        image_token_id=IMAGE,
        scale_factor=2,
    )
    return Tiny(model_class(config), 16, _in_rows)


def idefics3() -> Tiny:
    return _idefics(transformers.Idefics3Config, transformers.Idefics3ForConditionalGeneration)


def smolvlm() -> Tiny:
    return _idefics(transformers.SmolVLMConfig, transformers.SmolVLMForConditionalGeneration)


def paligemma() -> Tiny:
    config = transformers.PaliGemmaConfig(
        vision_config=transformers.SiglipVisionConfig(**_SIGHT, image_size=32, patch_size=8, vision_use_head=False),
        text_config=transformers.GemmaConfig(**_TEXT, head_dim=8),
        image_token_index=IMAGE,
        projection_dim=32,
        hidden_size=32,
    )
    model = transformers.PaliGemmaForConditionalGeneration(config)
    return Tiny(model, 16, _each(pixel_values=(3, 32, 32)), type_names=("token_type_ids",))


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
    "max_new_tokens": 5,
    "do_sample": False,
    "pad_token_id": 0,
    "eos_token_id": None,
}


def logits(model: Any, inputs: dict[str, Tensor]) -> Tensor:
    """Return the logits of a call, without gradient."""
    with torch.no_grad():
        return model(**inputs).logits


def generated(tiny: Tiny, inputs: dict[str, Tensor], **settings: Any) -> Tensor:
    """Return what is generated, without the prompt."""
    return tiny.model.generate(**inputs, **{**GENERATION, **settings})[:, inputs["input_ids"].shape[1] :]
