"""Weights of a model with a causal language model, to and from the layout of ``LlavaForConditionalGeneration``.

LLaVA is a CLIP tower, a projector of two linear layers and a Llama. Such a ``CausalVLM``, with decoder ``Identity``, is
the same computation. Selectors are no part of that layout: give them to ``reduce_tokens``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from transformers import CLIPVisionModel, LlamaForCausalLM, LlavaConfig, LlavaForConditionalGeneration

from bus_toolkit.decoders.identity import IdentityDecoder
from bus_toolkit.errors import CheckpointError, ComponentError
from bus_toolkit.huggingface.families import decoder_of, part_of
from bus_toolkit.short_repr import short

_LAYER = re.compile(r"encoder\.layers\.(\d+)\.")


def to_llava(model: Any, folder: str | Path) -> LlavaForConditionalGeneration:
    """Write the weights of a model as those of a ``LlavaForConditionalGeneration``, and return it.

    The token of an image is one more entry at the end of the vocabulary. Tokenizer and processor are not written.

    Args:
        model: A ``CausalVLM`` of a ``CLIPVisionModel``, decoder ``Identity``, ``projector_layers: 2`` and a Llama.
        folder: Where to; it is made.

    Raises:
        ComponentError: A model of other parts, with images of another size than the tower's own, or with LoRA.
    """
    tower, llama = _parts(model, "to_llava")
    size = llama.config.vocab_size
    config = LlavaConfig(
        vision_config=tower.config,
        text_config=llama.config,
        image_token_index=size,
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        projector_hidden_act="gelu",
        image_seq_length=model.backbone.grid[0] * model.backbone.grid[1],
    )
    llava = LlavaForConditionalGeneration(config)
    part_of(llava, "vision_tower").load_state_dict(tower.state_dict())
    for name, number in _PROJECTOR.items():
        _linear(llava, name).load_state_dict(model.projector[number].state_dict())
    decoder_of(llava).load_state_dict(llama.model.state_dict())
    llava.get_output_embeddings().load_state_dict(llama.lm_head.state_dict())
    llava.resize_token_embeddings(size + 1, mean_resizing=False)
    llava.eval().save_pretrained(folder)
    return llava


def load_from_llava(model: Any, folder: str | Path) -> None:
    """Load the weights of a folder in LLaVA's layout into a model.

    LLaVA 1.5 reads its tower before the last layer: give the model's tower one layer fewer. Words that the folder has
    beyond the model's vocabulary are left out; those that both have must mean the same.

    Args:
        model: As for ``to_llava``; its selectors stay as they are.
        folder: ``config.json`` and weights, on this machine.

    Raises:
        ComponentError: A model of other parts.
        CheckpointError: The folder cannot be read, or has parts of other sizes.
    """
    tower, llama = _parts(model, "load_from_llava")
    llava = _read(folder)
    config = llava.config
    num_layers = config.vision_feature_layer % (config.vision_config.num_hidden_layers + 1)
    if num_layers != tower.config.num_hidden_layers or config.vision_feature_select_strategy != "default":
        raise CheckpointError(
            f"load_from_llava: {folder} reads its tower after layer {num_layers} "
            f"({config.vision_feature_select_strategy}), got a model.backbone of {tower.config.num_hidden_layers} "
            f"layers (default). Set num_hidden_layers of model.backbone.config to {num_layers}."
        )
    vision = {
        name: value
        for name, value in part_of(llava, "vision_tower").state_dict().items()
        if (found := _LAYER.search(name)) is None or int(found.group(1)) < num_layers
    }
    words = llama.config.vocab_size
    loads: list[tuple[str, nn.Module, Mapping[str, Tensor]]] = [
        ("model.backbone", tower, vision),
        *(
            ("model.projector", model.projector[number], _linear(llava, name).state_dict())
            for name, number in _PROJECTOR.items()
        ),
        ("model.language_model", llama.model, _of_words(decoder_of(llava).state_dict(), "embed_tokens.weight", words)),
        ("model.language_model", llama.lm_head, _of_words(llava.get_output_embeddings().state_dict(), "weight", words)),
    ]
    for path, module, state in loads:
        _check_fit(path, module, state, folder)
    for _, module, state in loads:
        module.load_state_dict(state)


_PROJECTOR = {"linear_1": 0, "linear_2": 2}


def _linear(llava: Any, name: str) -> nn.Linear:
    return getattr(part_of(llava, "multi_modal_projector"), name)


def _parts(model: Any, caller: str) -> tuple[CLIPVisionModel, LlamaForCausalLM]:
    """Return tower and language model of a model that LLaVA's layout can hold."""
    tower, llama = model.backbone.vit, model.language_model.model
    wanted = {
        "backbone": (tower, CLIPVisionModel),
        "decoder": (model.decoder, IdentityDecoder),
        "projector": (model.projector, nn.Sequential),
        "language_model": (llama, LlamaForCausalLM),
    }
    for name, (part, kind) in wanted.items():
        if not isinstance(part, kind):
            raise ComponentError(
                f"{caller}: model.{name} must be a {kind.__name__}, got a {type(part).__name__}. LLaVA's layout holds "
                "a CLIPVisionModel, decoder Identity, projector_layers: 2 and a Llama."
            )
    if any("lora_" in name for name, _ in llama.named_parameters()):
        raise ComponentError(f"{caller}: model.language_model must be without LoRA, got added matrices. Merge them.")
    side = tower.config.image_size
    if tuple(model.backbone.image_size) != (side, side):
        raise ComponentError(
            f"{caller}: images must have the tower's own size, {side} pixels, got {tuple(model.backbone.image_size)}. "
            "Leave img_size of model.backbone out."
        )
    return tower, llama


def _read(folder: str | Path) -> LlavaForConditionalGeneration:
    try:
        llava, report = LlavaForConditionalGeneration.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(f"load_from_llava: {folder} cannot be read: {reason}") from error
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise CheckpointError(
            f"load_from_llava: {len(missing)} tensors are not in {folder}, the first: {missing[0]}. Give all of them."
        )
    return llava


def _of_words(state: Mapping[str, Tensor], name: str, words: int) -> dict[str, Tensor]:
    return {key: value[:words] if key == name else value for key, value in state.items()}


def _check_fit(path: str, module: nn.Module, state: Mapping[str, Tensor], folder: str | Path) -> None:
    own = module.state_dict()
    wrong = sorted({*own, *state} - ({*own} & {*state}))
    wrong += [name for name, value in state.items() if name in own and own[name].shape != value.shape]
    if wrong:
        name = wrong[0]
        shown = [short(states[name]) if name in states else "nothing" for states in (own, state)]
        raise CheckpointError(
            f"load_from_llava: {path} must be as in {folder}, got {len(wrong)} tensors that are not, the first {name}: "
            f"{shown[0]} here, {shown[1]} there. Give the model the sizes of config.json in that folder."
        )
