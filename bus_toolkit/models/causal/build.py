"""From the ``model`` part of a config to a vision-language model with a causal language model."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from torch import nn

from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone
from bus_toolkit.errors import BusError, ComponentError, ConfigError, Problem
from bus_toolkit.heads.patch_text import PatchTextHead
from bus_toolkit.models.build_backbone import build_backbone
from bus_toolkit.models.build_parts import build_decoder, build_selectors, patch_size
from bus_toolkit.models.causal.answers import Writing
from bus_toolkit.models.causal.check_parts import check_kind, check_patch_text, check_room
from bus_toolkit.models.causal.dialogs import PLACE, Template
from bus_toolkit.models.causal.lora import add_lora
from bus_toolkit.models.causal.tasks import AnswerTask, CaptionTask, ChatTask, GroundTask, Task
from bus_toolkit.models.causal.vlm import CausalParts, CausalVLM
from bus_toolkit.registry import REGISTRIES, plain
from bus_toolkit.signatures import check_arguments, did_you_mean, signature_of
from bus_toolkit.text_decoders.causal_base import CausalLanguageModel
from bus_toolkit.weights.settings import WHOLE, Pretrained, take_pretrained

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
TASKS: Mapping[str, type[Task]] = {
    "answer": AnswerTask,
    "caption": CaptionTask,
    "ground": GroundTask,
    "chat": ChatTask,
}

# Mappings without a type: what takes their entries, and which arguments are filled in.
SECTIONS: Mapping[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "model.template": (Template, ()),
    "model.writing": (Writing, ()),
    "model.patch_text": (PatchTextHead, ("patch_size",)),
    "model.lora": (add_lora, ()),
}


def build_causal_vlm(
    *,
    tokenizer: Mapping[str, Any],
    backbone: Mapping[str, Any],
    language_model: Mapping[str, Any],
    tasks: Mapping[str, Mapping[str, Any]],
    vision_selectors: Sequence[Mapping[str, Any]] = (),
    decoder: Mapping[str, Any] | None = None,
    projector_layers: int = 1,
    selectors: Sequence[Mapping[str, Any]] = (),
    template: Mapping[str, Any] | None = None,
    writing: Mapping[str, Any] | None = None,
    patch_text: Mapping[str, Any] | None = None,
    attention_layers: Sequence[int] = (),
    lora: Mapping[str, Any] | None = None,
    frozen: Sequence[str] = (),
    data_preprocessor: Mapping[str, Any] | None = None,
    pretrained: str | Mapping[str, Any] | None = None,
) -> CausalVLM:
    """Build a ``CausalVLM`` from the dicts of a config; this is what ``type: CausalVLM`` calls.

    Args:
        tokenizer: As for ``VLPModel``.
        backbone: As for ``VLPModel``, with its ``pretrained``.
        language_model: ``CausalLM`` or ``CausalLMFolder``.
        tasks: By name, a ``kind`` (answer, caption, ground, chat) and its arguments.
        vision_selectors: In the backbone.
        decoder: Any abstraction decoder; ``None`` hands all tokens on.
        projector_layers: 1 for a linear layer to the language model's width, 2 for two with a GELU between them, as
            LLaVA 1.5 has it (arXiv 2310.03744).
        selectors: After layers of the language model, which their ``blocks`` name.
        template: Arguments of ``Template``.
        writing: Arguments of ``Writing``.
        patch_text: Arguments of ``PatchTextHead``; its ``weight`` is that of the loss.
        attention_layers: Layers of the language model, counted from 1, whose attention ``patch_text`` trains, too.
        lora: Arguments of ``add_lora``: the language model learns by added matrices alone.
        frozen: Parts that do not learn: backbone, decoder, projector, language_model.
        data_preprocessor: As for ``VLPModel``.
        pretrained: As for ``VLPModel``.

    Raises:
        ConfigError: Parts that cannot work together.
        ComponentError: A part that refuses its arguments.
    """
    images_of, weights = _without_weights(backbone, pretrained)
    words = REGISTRIES.tokenizers.build(tokenizer, path="model.tokenizer")
    writer = _build_language_model(language_model, words)
    width = writer.hidden_size
    inner = build_selectors(selectors, "model.selectors", embed_dim=width, text_dim=width)
    images = _build_backbone(images_of, vision_selectors, width)
    check_room(writer, images, words)
    known = {"embed_dim": images.embed_dim, "text_dim": width}
    abstraction = build_decoder(decoder, known, images, "language_model.hidden_size")
    projector = _projector(images.embed_dim, width, projector_layers)
    if lora is not None:
        call(add_lora, lora, "model.lora", writer)
    model = CausalVLM(
        CausalParts(words, images, abstraction, projector, writer, inner),
        _build_tasks(tasks, words),
        template=call(Template, template or {}, "model.template"),
        writing=call(Writing, writing or {}, "model.writing"),
        patch_text=_build_patch_text(patch_text, images),
        attention_layers=attention_layers,
        pretrained=weights,
        data_preprocessor=data_preprocessor,
    )
    check_patch_text(model)
    _warn_of_unknown_words(words, template or {}, model.tasks)
    _freeze(model, frozen)
    return model


def call(target: Callable[..., _T], values: Mapping[str, Any], path: str, *given: Any) -> _T:
    """Call a class or function with a mapping of a config, after what no config can give.

    Raises:
        ConfigError: Arguments that it does not have, or values that it refuses.
    """
    problems = check_arguments(target.__name__, signature_of(target), values, path)
    if problems:
        raise ConfigError(problems)
    try:
        return target(*given, **{name: plain(value) for name, value in values.items()})
    except BusError:  # names the path already
        raise
    except ValueError as error:
        raise ConfigError(Problem(path, str(error))) from error


def _without_weights(
    backbone: Mapping[str, Any], whole: str | Mapping[str, Any] | None
) -> tuple[dict[str, Any], dict[str, Pretrained]]:
    """Return the backbone's node without the weights that it names, and all weights by part."""
    entry = REGISTRIES.backbones.get(str(backbone.get("type")), "model.backbone")
    bare, own = take_pretrained(backbone, entry.signature.arguments)
    weights = {} if whole is None else {WHOLE: Pretrained.parse(whole)}
    return bare, weights if own is None else {**weights, "backbone": own}


def _build_language_model(node: Mapping[str, Any], words: Any) -> CausalLanguageModel:
    known = {"vocab_size": words.vocab_size, "pad_token_id": words.pad_token_id}
    part = REGISTRIES.text_decoders.build(node, path="model.language_model", **known)
    check_kind(part)
    return part


def _build_backbone(
    node: Mapping[str, Any], selectors: Sequence[Mapping[str, Any]], text_dim: int
) -> TokenReducingBackbone:
    vit, adapter = build_backbone(node)
    place = "model.vision_selectors"
    parts = build_selectors(selectors, place, embed_dim=adapter.embed_dim, text_dim=text_dim)
    try:
        return TokenReducingBackbone(vit, parts, adapter=adapter)
    except ConfigError as error:  # it calls the list by its own name
        problems = [replace(one, path=one.path.replace("model.selectors", place)) for one in error.problems]
        raise ConfigError(problems) from error


def _projector(width: int, wanted: int, layers: int) -> nn.Module:
    if layers not in (1, 2):
        raise ConfigError(Problem("model.projector_layers", f"must be 1 or 2, got {layers!r}."))
    first = nn.Linear(width, wanted)
    return first if layers == 1 else nn.Sequential(first, nn.GELU(), nn.Linear(wanted, wanted))


def _build_tasks(nodes: Mapping[str, Mapping[str, Any]], words: Any) -> dict[str, Task]:
    if not nodes:
        text = "the model needs something to learn, got none. Add e.g. tasks: {answer: {kind: answer}}."
        raise ConfigError(Problem("model.tasks", text))
    tasks = {}
    for name, node in nodes.items():
        path = f"model.tasks.{name}"
        kind = task_class(node, path)
        tasks[name] = call(kind, {key: value for key, value in node.items() if key != "kind"}, path)
        tasks[name].prepare(words, path)
    return tasks


def _warn_of_unknown_words(words: Any, template: Mapping[str, Any], tasks: Mapping[str, Task]) -> None:
    """Say which words of prompts mean nothing to a vocabulary of whole words."""
    texts = {"model.template": " ".join(template.values())}
    texts |= {f"model.tasks.{name}.prompt": task.prompt for name, task in tasks.items()}
    for path, text in texts.items():
        counts = words.survey([text.replace(PLACE, " ")]) if hasattr(words, "survey") else None
        if counts is not None and counts.unknown:
            _log.warning(
                "%s: words are not in the vocabulary and mean nothing to the model: %s. Use words that it has.",
                path,
                counts.examples(),
            )


def task_class(node: Mapping[str, Any], path: str) -> type[Task]:
    """Return the class of the task that a node at ``path`` of a config describes.

    Raises:
        ComponentError: Its kind is missing or unknown.
    """
    kind = node.get("kind")
    if not isinstance(kind, str) or kind not in TASKS:
        text = f"must be one of {', '.join(TASKS)}, got {kind!r}.{did_you_mean(str(kind), TASKS)}"
        raise ComponentError(Problem(f"{path}.kind", text))
    return TASKS[kind]


def _build_patch_text(node: Mapping[str, Any] | None, images: TokenReducingBackbone) -> PatchTextHead | None:
    if node is None:
        return None
    return call(PatchTextHead, {"patch_size": patch_size(images), **node}, "model.patch_text")


def _freeze(model: CausalVLM, parts: Sequence[str]) -> None:
    known = ("backbone", "decoder", "projector", "language_model")
    for name in parts:
        if name not in known:
            text = f"must name parts, {', '.join(known)}, got {name!r}.{did_you_mean(str(name), known)}"
            raise ConfigError(Problem("model.frozen", text))
        # Selectors in a frozen backbone go on learning.
        module = model.backbone.vit if name == "backbone" else getattr(model, name)
        module.requires_grad_(False)
