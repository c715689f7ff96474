"""Whether the parts of a causal vision-language model can work together."""

from __future__ import annotations

from typing import Any

from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone
from bus_toolkit.errors import ConfigError, Problem
from bus_toolkit.text_decoders.causal_base import CausalLanguageModel


def check_kind(part: Any) -> None:
    """Refuse a text decoder that is no causal language model of transformers with a list of layers.

    Raises:
        ConfigError: It is none.
    """
    if not isinstance(part, CausalLanguageModel) or not hasattr(part.decoder, "layers"):
        found = type(part.model).__name__ if isinstance(part, CausalLanguageModel) else type(part).__name__
        text = (
            "must be a causal language model of transformers whose layers are its `layers`, such as Llama, Qwen2 or "
            f"Mistral, got a {found}. Use CausalLM, or CausalLMFolder with such weights."
        )
        raise ConfigError(Problem("model.language_model", text))


def check_room(writer: CausalLanguageModel, images: TokenReducingBackbone, words: Any) -> None:
    """Refuse a language model whose positions do not hold an image and the longest text.

    Raises:
        ConfigError: They do not.
    """
    patches, positions = images.grid[0] * images.grid[1], writer.max_text_length
    if positions is not None and positions < patches + 1 + words.max_length:
        more = "Use weights with more positions" if writer.is_pretrained else "Raise max_text_length"
        text = (
            f"must have positions for {patches} patches and {words.max_length} words, got {positions}. {more}, or "
            "lower model.tokenizer.max_length."
        )
        raise ConfigError(Problem("model.language_model", text))


def check_patch_text(model: Any) -> None:
    """Refuse a patch-text loss that no selector could learn from.

    Raises:
        ConfigError: No selector has scores to train, none of whose patches have a place, or no task names objects.
    """
    if model.attention_scores.layers and (model.patch_text is None or model.patch_text.form != "softmax"):
        got = "none" if model.patch_text is None else f"form: {model.patch_text.form}"
        text = f"patch_text trains them, as shares of all patches, got {got}. Set patch_text: {{form: softmax}}."
        raise ConfigError(Problem("model.attention_layers", text))
    if model.patch_text is None:
        return
    reasons = []
    trained = any(one.supervised for one in (*model.selectors, *model.backbone.selectors))
    if not trained and not model.attention_scores.layers:
        reasons.append("no selector is supervised. Use one that is, such as TSPS, or name attention_layers")
    if not any(task.names_objects for task in model.tasks.values()):
        reasons.append("no task's question names objects. Use kind answer, ground or chat")
    if model.patch_text.object_weight or model.patch_text.beginning_weight:
        reasons.append("it has one text, the question. Leave object_weight and beginning_weight out")
    if reasons:
        raise ConfigError([Problem("model.patch_text", f"{reason}, or remove it.") for reason in reasons])
