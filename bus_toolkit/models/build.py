"""From the ``model`` part of a config to a model: parts are built leaves first, and pass on the widths to meet."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone
from bus_toolkit.errors import ConfigError, Problem
from bus_toolkit.heads.base import VLPHead
from bus_toolkit.models.build_backbone import build_backbone
from bus_toolkit.models.build_parts import build_decoder, build_selectors, check_length, patch_size, vocabulary
from bus_toolkit.models.caption_lm import CaptionLanguageModel
from bus_toolkit.models.causal.build import build_causal_vlm
from bus_toolkit.models.causal.vlm import CausalVLM
from bus_toolkit.models.check_parts import build_conditioning, check_combination
from bus_toolkit.models.vlp import VLPModel
from bus_toolkit.registry import REGISTRIES, SCOPE, provided_to
from bus_toolkit.step.parts import Parts
from bus_toolkit.weights.settings import WHOLE, Pretrained, take_pretrained

_log = logging.getLogger(__name__)


def build_vlp_model(
    *,
    tokenizer: Mapping[str, Any],
    text_encoder: Mapping[str, Any],
    backbone: Mapping[str, Any],
    heads: Mapping[str, Mapping[str, Any]],
    selectors: Sequence[Mapping[str, Any]] = (),
    decoder: Mapping[str, Any] | None = None,
    prior: Mapping[str, Any] | None = None,
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
    rule = build_conditioning(conditioning)
    problems = check_combination(heads, fusion, text_decoder, rule, momentum)
    if problems:
        raise ConfigError(problems)
    nodes = {"text_encoder": text_encoder, "backbone": backbone, "text_decoder": text_decoder or {}}
    (text_encoder, backbone, text_decoder), weights = _without_weights(nodes, pretrained)
    words = REGISTRIES.tokenizers.build(tokenizer, path="model.tokenizer")
    known = vocabulary(words)
    texts = _build_text_encoder(text_encoder, words, known)
    images = _build_backbone(backbone, selectors, text_dim=texts.embed_dim)
    # The widths are known only now: all parts from here on may ask for them.
    known |= {"embed_dim": images.embed_dim, "text_dim": texts.embed_dim, "patch_size": patch_size(images)}
    parts = Parts(
        words,
        texts,
        images,
        decoder=build_decoder(decoder, known, images),
        fusion=REGISTRIES.fusions.build(fusion, path="model.fusion", **known) if fusion else None,
        text_decoder=_build_text_decoder(text_decoder, words, known) if text_decoder else None,
        prior=REGISTRIES.priors.build(prior, path="model.prior", **known) if prior else None,
    )
    built = {name: _build_head(name, node, words, known) for name, node in heads.items()}
    settings = {"momentum": momentum, "pretrained": weights, "data_preprocessor": data_preprocessor}
    model = VLPModel(parts, built, conditioning=rule, **settings)
    _warn_of_idle_heads(model)
    return model


def _warn_of_idle_heads(model: VLPModel) -> None:
    """Say once that a head trains nothing here: the swap of a selector alone need not fail for that."""
    kinds = ", ".join(type(selector).__name__ for selector in model.backbone.selectors) or "no selector"
    other = "add model.prior: {type: TextScorePrior}"
    if model.encoders.scores_by_text:
        kinds += f" and a {type(model.prior).__name__}, whose tokens have no place in the image after this decoder"
        other = "use decoder: {type: Identity}"
    for name in sorted(model.idle_heads):
        _log.warning(
            "model.heads.%s: %s trains supervised scores, and no selector here has them, got %s. It takes no part in a "
            "training. Choose a selector that is supervised, such as TSPS, %s, or remove the head: "
            "model.heads.%s=null.",
            name,
            type(model.heads[name]).__name__,
            kinds,
            other,
            name,
        )


def build_caption_lm(*, tokenizer: Mapping[str, Any], text_decoder: Mapping[str, Any]) -> CaptionLanguageModel:
    """Build a ``CaptionLanguageModel`` from the dicts of a config; this is what its ``type`` calls.

    Raises:
        ConfigError: Parts that cannot work together.
        ComponentError: A part that refuses its arguments.
    """
    words = REGISTRIES.tokenizers.build(tokenizer, path="model.tokenizer")
    known = {
        name: value
        for name, value in vocabulary(words).items()
        if name in provided_to("text_decoder", CaptionLanguageModel.__name__)
    }
    return CaptionLanguageModel(
        tokenizer=words, text_decoder=_build_text_decoder(text_decoder, words, known, reads_image=False)
    )


def build_model(cfg: Mapping[str, Any]) -> Any:
    """Build the model of a loaded config (or of its ``model`` part): ``build_model(load_config("bus/bus_min"))``.

    A ``data_preprocessor`` at the top of the config becomes the model's, as MMEngine's Runner does it.

    Raises:
        ConfigError: ``cfg`` is no config, or has no model; or parts that cannot work together.
        ComponentError: A part that refuses its arguments.
    """
    if not isinstance(cfg, Mapping) and not hasattr(cfg, "get"):
        raise ConfigError(
            f"build_model: must get a loaded config, got {cfg!r}. Write "
            "build_model(load_config(<name or path>, <overrides>))."
        )
    part = dict(cfg.get("model") or cfg)
    if "type" not in part:
        raise ConfigError("build_model: the config has no model with a type. Give one that load_config returned.")
    if cfg.get("model") and cfg.get("data_preprocessor") is not None:
        part.setdefault("data_preprocessor", cfg["data_preprocessor"])
    kind = str(part.pop("type", None)).removeprefix(f"{SCOPE}.")
    return _BUILDERS.get(kind, build_vlp_model)(**part)


_BUILDERS: Mapping[str, Callable[..., Any]] = {
    CaptionLanguageModel.__name__: build_caption_lm,
    CausalVLM.__name__: build_causal_vlm,
}


def _without_weights(
    nodes: Mapping[str, Mapping[str, Any]], whole: str | Mapping[str, Any] | None
) -> tuple[list[dict[str, Any]], dict[str, Pretrained]]:
    """Return the nodes of parts without the weights that they name, and these by part."""
    weights = {} if whole is None else {WHOLE: Pretrained.parse(whole)}
    rest = []
    for name, node in nodes.items():
        entry = getattr(REGISTRIES, f"{name}s").get(node.get("type"), f"model.{name}") if node else None
        bare, named = take_pretrained(node, entry.signature.arguments if entry else {})
        rest.append(bare)
        if named is not None:
            weights[name] = named
    return rest, weights


def _build_text_encoder(node: Mapping[str, Any], tokenizer: Any, known: Mapping[str, Any]) -> Any:
    text_encoder = REGISTRIES.text_encoders.build(node, path="model.text_encoder", **known)
    check_length("model.text_encoder", text_encoder, tokenizer)
    return text_encoder


def _build_backbone(
    node: Mapping[str, Any], selectors: Sequence[Mapping[str, Any]], *, text_dim: int
) -> TokenReducingBackbone:
    vit, adapter = build_backbone(node)
    parts = build_selectors(selectors, "model.selectors", embed_dim=adapter.embed_dim, text_dim=text_dim)
    return TokenReducingBackbone(vit, parts, adapter=adapter)


def _build_text_decoder(
    node: Mapping[str, Any], tokenizer: Any, known: Mapping[str, Any], *, reads_image: bool = True
) -> nn.Module:
    """Build a text decoder that reads the image, or one that reads none."""
    path = "model.text_decoder"
    text_decoder = REGISTRIES.text_decoders.build(node, path=path, **known)
    check_length(path, text_decoder, tokenizer)
    if getattr(text_decoder, "reads_memory", True) is not reads_image:
        wanted, given = ("the image", "reads none") if reads_image else ("no image", "does")
        text = (
            f"must read {wanted}, got a {type(text_decoder).__name__} that {given}. BertTextDecoder: set "
            f"cross_attention: {str(reads_image).lower()}."
        )
        raise ConfigError(Problem(path, text))
    return text_decoder


def _build_head(name: str, node: Mapping[str, Any], tokenizer: Any, known: Mapping[str, Any]) -> VLPHead:
    path = f"model.heads.{name}"
    nested = {}
    for argument, part in getattr(REGISTRIES.heads.get(node["type"], path).cls, "nested_parts", {}).items():
        registry = getattr(REGISTRIES, part.registry)
        nested[argument] = registry.build(node.get(argument) or part.default, path=f"{path}.{argument}", **known)
        check_length(f"{path}.{argument}", nested[argument], tokenizer)
    return REGISTRIES.heads.build({**node, **nested}, path=path, **known)
