"""A model of ours and a LLaVA of the same weights compute the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from bus_toolkit.errors import CheckpointError, ComponentError
from bus_toolkit.huggingface import load_from_llava, reduce_tokens, to_llava
from bus_toolkit.models.causal.dialogs import Turn
from tests.models.causal.tiny import batch, model

TOWER = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
CLIP = {"type": "HuggingFaceVision", "model": "CLIPVisionModel", "config": {**TOWER, "image_size": 32, "patch_size": 8}}
HALF = {"type": "UniformGrid", "blocks": [1], "keep_ratio": 0.5}


def ours(**parts: Any) -> Any:
    return model(**{"backbone": CLIP, "projector_layers": 2, **parts})


def answer_logits(built: Any, images: Tensor) -> Tensor:
    """Return logits (3, 2, V) of "red" and its end after a question to each image."""
    rows = built.dialogs.rows([[Turn("what color", "red")]] * 3)
    sight = built.sight(built.look(images), rows)
    return built.reader.logits(built.prompts(rows, sight), sight).unflatten(0, (3, 2))


def llava_logits(built: Any, llava: Any, images: Tensor) -> Tensor:
    """Return the same of a LLaVA, from ids; the image's token is the one after the vocabulary."""
    words, size = built.tokenizer, built.tokenizer.vocab_size
    ids = [words.cls_token_id, *[size] * 16, *words.ids_of_words(["what", "color", "red"])]
    labels = torch.tensor(
        [[-100] * 19 + [ids[-1]]] * 3
    )  # with labels, as a reduction must know where the answer begins
    return llava(input_ids=torch.tensor([ids] * 3), pixel_values=images, labels=labels).logits[:, -2:, :size]


@torch.no_grad()
@pytest.mark.parametrize("selectors", [[], [HALF]], ids=["all", "half"])
def test_a_llava_of_the_same_weights_gives_the_same_logits(selectors: list[Any], tmp_path: Path) -> None:
    built, images = ours(selectors=selectors), batch()[0]
    to_llava(built, tmp_path)
    llava = LlavaForConditionalGeneration.from_pretrained(tmp_path)
    if selectors:
        reduce_tokens(llava, selectors)
    torch.testing.assert_close(llava_logits(built, llava, images), answer_logits(built, images))


@torch.no_grad()
def test_weights_come_back_and_a_tower_read_before_its_last_layer_is_one_layer_shorter(tmp_path: Path) -> None:
    built, images = ours(), batch()[0]
    size = built.tokenizer.vocab_size
    text = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 43}
    torch.manual_seed(1)
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**{**TOWER, "num_hidden_layers": 3}, image_size=32, patch_size=8),
        text_config=LlamaConfig(**text, vocab_size=size + 3),
        image_token_index=size,
        image_seq_length=16,
    )
    llava = LlavaForConditionalGeneration(config).eval()
    llava.save_pretrained(tmp_path)
    load_from_llava(built, tmp_path)
    torch.testing.assert_close(answer_logits(built, images), llava_logits(built, llava, images))
    with pytest.raises(CheckpointError, match=r"after layer 2 \(default\), got a model.backbone of 1 layers"):
        load_from_llava(ours(backbone={**CLIP, "config": {**CLIP["config"], "num_hidden_layers": 1}}), tmp_path)


def test_other_sizes_and_folders_are_refused_and_nothing_is_loaded(tmp_path: Path) -> None:
    to_llava(ours(), tmp_path / "llava")
    wider = ours(backbone={**CLIP, "config": {**CLIP["config"], "hidden_size": 32}})
    before = {name: value.clone() for name, value in wider.state_dict().items()}
    with pytest.raises(CheckpointError, match="model.backbone must be as in .*the first .*32.* here, .*16.* there"):
        load_from_llava(wider, tmp_path / "llava")
    assert all(torch.equal(value, before[name]) for name, value in wider.state_dict().items())
    with pytest.raises(CheckpointError, match="gone cannot be read"):
        load_from_llava(wider, tmp_path / "gone")


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"backbone": {**CLIP, "model": "ViTModel"}}, "model.backbone must be a CLIPVisionModel, got a ViTModel"),
        ({"projector_layers": 1}, "model.projector must be a Sequential, got a Linear"),
        ({"decoder": {"type": "AveragePool", "num_queries": 4}}, "model.decoder must be a IdentityDecoder"),
        ({"backbone": {**CLIP, "img_size": 64}}, r"the tower's own size, 32 pixels, got \(64, 64\)"),
    ],
)
def test_models_of_other_parts_are_refused(parts: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ComponentError, match=message):
        to_llava(ours(**parts), tmp_path)
