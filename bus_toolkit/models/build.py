"""From the ``model`` part of a config to a model: parts are built leaves first, each told the widths it has to meet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from bus_toolkit.backbones.adapters.base import TransformerAdapter
from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone
from bus_toolkit.errors import ConfigError
from bus_toolkit.heads.base import VLPHead
from bus_toolkit.models.build_backbone import build_backbone
from bus_toolkit.models.caption_lm import CaptionLanguageModel
from bus_toolkit.models.check_parts import check_combination
from bus_toolkit.models.conditioning import Conditioning
from bus_toolkit.models.vlp import VLPModel
from bus_toolkit.registry import REGISTRIES, SCOPE
from bus_toolkit.weights.settings import WHOLE, Pretrained, take_pretrained


def build_vlp_model(
    *,
    tokenizer: Mapping[str, Any],
    text_encoder: Mapping[str, Any],
    backbone: Mapping[str, Any],
    heads: Mapping[str, Mapping[str, Any]],
    selectors: Sequence[Mapping[str, Any]] = (),
    decoder: Mapping[str, Any] | None = None,
    fusion: Mapping[str, Any] | None = None,
    text_decoder: Mapping[str, Any] | None = None,
    conditioning: Mapping[str, Any] | None = None,
    momentum: Mapping[str, Any] | None = None,
    data_preprocessor: Mapping[str, Any] | None = None,
    pretrained: str | Mapping[str, Any] | None = None,
) -> VLPModel:
    """Build a ``VLPModel`` from the dicts of a config; this is what ``type: VLPModel`` calls.

    Weights from elsewhere (``pretrained``, of the model or inside ``backbone``, ``text_encoder`` and ``text_decoder``)
    are noted only: ``VLPModel.init_weights`` loads them, which the Runner calls when a training starts and not when it
    resumes. So a model can be described, tested and asked without their files.

    Raises:
        ConfigError: Parts that cannot work together; all such mistakes at once.
        ComponentError: A part that refuses its arguments.
    """
    rule = _conditioning(conditioning)
    problems = check_combination(heads, fusion, text_decoder, rule, momentum)
    if problems:
        raise ConfigError(problems)
    nodes = {"text_encoder": text_encoder, "backbone": backbone, "text_decoder": text_decoder or {}}
    (text_encoder, backbone, text_decoder), weights = _without_weights(nodes, pretrained)
    words = REGISTRIES.tokenizers.build(tokenizer, path="model.tokenizer")
    vocabulary = {"vocab_size": words.vocab_size, "pad_token_id": words.pad_token_id}
    text_part = REGISTRIES.text_encoders.build(text_encoder, path="model.text_encoder", **vocabulary)
    _check_length("model.text_encoder", text_part, words)
    vit, adapter = build_backbone(backbone)
    widths = {"embed_dim": adapter.embed_dim, "text_dim": text_part.embed_dim}
    host = _host(vit, adapter, selectors, widths)
    patch_size = _patch_size(host)
    decoder_part = REGISTRIES.decoders.build(decoder or {"type": "Identity"}, path="model.decoder", **widths)
    _check_text_memory(decoder_part, widths)
    fusion_part = fusion and REGISTRIES.fusions.build(fusion, path="model.fusion", **widths)
    writer = text_decoder and REGISTRIES.text_decoders.build(
        text_decoder, path="model.text_decoder", **vocabulary, **widths
    )
    _check_length("model.text_decoder", writer, words)
    if writer and not getattr(writer, "reads_memory", True):
        raise ConfigError(
            f"model.text_decoder: must read the image, got a {type(writer).__name__} that reads none. BertTextDecoder: "
            "set cross_attention: true."
        )
    known = {
        **widths,
        **vocabulary,
        "patch_size": patch_size,
        "special_ids": words.special_ids,
        "mask_token_id": words.mask_token_id,
        "cls_token_id": words.cls_token_id,
        "sep_token_id": words.sep_token_id,
        "max_caption_length": words.max_length,
    }
    head_parts = {name: _head(name, cfg, words, known) for name, cfg in heads.items()}
    model = _assembled(
        tokenizer=words,
        text_encoder=text_part,
        backbone=host,
        decoder=decoder_part,
        heads=head_parts,
        fusion=fusion_part or None,
        text_decoder=writer or None,
        conditioning=rule,
        momentum=momentum,
        data_preprocessor=data_preprocessor,
    )
    model.pretrained = weights
    return model


def _without_weights(
    nodes: Mapping[str, Mapping[str, Any]], whole: str | Mapping[str, Any] | None
) -> tuple[list[dict[str, Any]], dict[str, Pretrained]]:
    """Return the nodes of parts without the weights that they name, and these by part."""
    weights = {} if whole is None else {WHOLE: Pretrained.parse(whole)}
    rest = []
    for name, node in nodes.items():
        entry = getattr(REGISTRIES, f"{name}s").get(node.get("type"), f"model.{name}") if node else None
        bare, found = take_pretrained(node, entry.signature.arguments if entry else {})
        rest.append(bare)
        if found is not None:
            weights[name] = found
    return rest, weights


def _assembled(**parts: Any) -> VLPModel:  # noqa: ANN401
    try:
        return VLPModel(**parts)
    except (TypeError, ValueError) as error:
        raise ConfigError(str(error)) from error


def build_caption_lm(*, tokenizer: Mapping[str, Any], text_decoder: Mapping[str, Any]) -> CaptionLanguageModel:
    """Build a ``CaptionLanguageModel`` from the dicts of a config; this is what its ``type`` calls.

    Raises:
        ConfigError: Parts that cannot work together.
        ComponentError: A part that refuses its arguments.
    """
    words = REGISTRIES.tokenizers.build(tokenizer, path="model.tokenizer")
    writer = REGISTRIES.text_decoders.build(
        text_decoder, path="model.text_decoder", vocab_size=words.vocab_size, pad_token_id=words.pad_token_id
    )
    _check_length("model.text_decoder", writer, words)
    if getattr(writer, "reads_memory", True):
        raise ConfigError(
            f"model.text_decoder: must read no image, got a {type(writer).__name__} that does. BertTextDecoder: set "
            "cross_attention: false."
        )
    return CaptionLanguageModel(tokenizer=words, text_decoder=writer)


def build_model(cfg: Mapping[str, Any]) -> Any:  # noqa: ANN401 - VLPModel or CaptionLanguageModel
    """Build the model of a loaded config (or of its ``model`` part)."""
    part = dict(cfg.get("model", cfg))
    kind = str(part.pop("type", None)).removeprefix(f"{SCOPE}.")
    return build_caption_lm(**part) if kind == CaptionLanguageModel.__name__ else build_vlp_model(**part)


def _conditioning(cfg: Mapping[str, Any] | None) -> Conditioning:
    try:
        return Conditioning(**(cfg or {}))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"model.conditioning: {error}") from error


def _host(
    vit: nn.Module, adapter: TransformerAdapter, selectors: Sequence[Mapping[str, Any]], widths: Mapping[str, int]
) -> TokenReducingBackbone:
    parts = [
        REGISTRIES.selectors.build(cfg, path=f"model.selectors.{index}", **widths)
        for index, cfg in enumerate(selectors)
    ]
    try:
        return TokenReducingBackbone(vit, parts, adapter=adapter)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _patch_size(host: TokenReducingBackbone) -> int:
    """Return the distance of two patches in pixels; patches may overlap, but must tile the image."""
    down, across = host.adapter.patch_size
    if down != across:
        raise ConfigError(
            f"model.backbone: patches must be as far apart down as across, got {down} and {across} pixels. Boxes are "
            "laid on a grid of squares. Choose a square patch_size."
        )
    if any(pixels % down for pixels in host.image_size):
        raise ConfigError(
            f"model.backbone: patches {down} pixels apart do not tile an image of {host.image_size} pixels. "
            "Choose img_size as a multiple of patch_size."
        )
    return down


def _check_length(where: str, part: Any, tokenizer: Any) -> None:  # noqa: ANN401
    positions = getattr(part, "max_text_length", None)
    if positions is not None and tokenizer.max_length > positions:
        raise ConfigError(
            f"model.tokenizer.max_length: must be at most {positions}, the positions of {where}, got "
            f"{tokenizer.max_length}. Lower it, or raise {where}.max_text_length."
        )


def _check_text_memory(decoder: nn.Module, widths: Mapping[str, int]) -> None:
    if getattr(decoder, "reads_text", False) and widths["embed_dim"] != widths["text_dim"]:
        raise ConfigError(
            f"model.decoder: text and visual tokens must be equally wide, got {widths['text_dim']} and "
            f"{widths['embed_dim']}, for a decoder that reads the text. Let it read none (PAD: text_in_memory, "
            "QFormer: with_text), or give text_encoder.hidden_size the backbone's width."
        )


def _head(name: str, cfg: Mapping[str, Any], tokenizer: Any, known: Mapping[str, Any]) -> VLPHead:  # noqa: ANN401
    path = f"model.heads.{name}"
    skip_ids = tokenizer.ids_of_words(cfg.get("skip_words", ()))
    nested = {}
    for argument, part in getattr(REGISTRIES.heads.get(cfg["type"], path).cls, "nested_parts", {}).items():
        where = f"{path}.{argument}"
        registry = getattr(REGISTRIES, part.registry)
        nested[argument] = registry.build(cfg.get(argument) or part.default, path=where, **known)
        _check_length(where, nested[argument], tokenizer)
    return REGISTRIES.heads.build({**cfg, **nested}, path=path, skip_ids=skip_ids, **known)
