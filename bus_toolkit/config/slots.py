"""Which registry answers for which place of a config."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import mmengine.registry as mmengine_registry
from mmengine.registry import Registry

from bus_toolkit.errors import ComponentError, Problem, ProblemKind
from bus_toolkit.registry import (
    DATA_SAMPLERS,
    DATASETS,
    HOOKS,
    LOOPS,
    METRICS,
    MMPRETRAIN,
    MODEL_WRAPPERS,
    MODELS,
    OPTIM_WRAPPERS,
    OPTIMIZERS,
    PARAM_SCHEDULERS,
    REGISTRIES,
    SCOPE,
    TRANSFORMS,
    VISUALIZERS,
    PartRegistry,
    Registered,
    provided_to,
)
from bus_toolkit.signatures import did_you_mean, signature_of

_FEW = 12
SCOPES = ("mmengine", "mmpretrain", SCOPE)
VLP_MODEL = "VLPModel"
CAPTION_MODEL = "CaptionLanguageModel"
CAUSAL_MODEL = "CausalVLM"


@dataclass(frozen=True)
class Slot:
    """A place that holds a node with a ``type``.

    Attributes:
        registry: Where the type is looked up.
        provided: Arguments that the builder fills in.
        extra: Keys that the builder reads itself.
        further: Keys that the builder reads if the class does not take them, with the kind of value of each.
        default: The type when the node names none; ``None`` makes it required.
        partial: The class is called with further arguments later, so none is missing.
    """

    registry: Registry | PartRegistry
    provided: frozenset[str] = frozenset()
    extra: frozenset[str] = field(default=frozenset(), kw_only=True)
    default: str | None = field(default=None, kw_only=True)
    partial: bool = field(default=False, kw_only=True)
    further: Mapping[str, Any] = field(default_factory=dict, kw_only=True)


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LOADER = r"(train|val|test)_dataloader"
_OPTIMIZER = _names("optimizer")
_RUNNER_SLOTS: tuple[tuple[str, Slot], ...] = (
    (r"model", Slot(MODELS)),
    (r"(model\.)?data_preprocessor", Slot(MODELS)),
    (rf"{_LOADER}(\..+)?\.(dataset|reader|datasets\.\d+)", Slot(DATASETS)),
    (rf"{_LOADER}\..+\.(pipeline\.\d+|transforms(\.\d+)*)", Slot(TRANSFORMS)),
    (rf"{_LOADER}\.sampler", Slot(DATA_SAMPLERS, _names("dataset seed"))),
    (rf"{_LOADER}\.batch_sampler", Slot(DATA_SAMPLERS, _names("sampler batch_size"))),
    (rf"{_LOADER}\.(collate_fn|worker_init_fn)", Slot(mmengine_registry.FUNCTIONS, partial=True)),
    (r"(val|test)_evaluator(\.metrics)?(\.\d+)?", Slot(METRICS)),
    (r"(default_hooks\.[^.]+|custom_hooks\.\d+)", Slot(HOOKS, extra=_names("priority"))),
    (r"optim_wrapper", Slot(OPTIM_WRAPPERS, extra=_names("constructor paramwise_cfg"), default="OptimWrapper")),
    (r"optim_wrapper\.optimizer", Slot(OPTIMIZERS, _names("params"))),
    (
        r"param_scheduler(\.\d+)?",
        Slot(PARAM_SCHEDULERS, _OPTIMIZER, extra=_names("convert_to_iter_based")),
    ),
    (r"visualizer", Slot(VISUALIZERS, extra=_names("name"))),
    (r"visualizer\.vis_backends(\.\d+)?", Slot(mmengine_registry.VISBACKENDS, _names("save_dir"))),
    (r"log_processor", Slot(mmengine_registry.LOG_PROCESSORS, default="LogProcessor")),
    (r"model_wrapper_cfg", Slot(MODEL_WRAPPERS, _names("module"), default="MMDistributedDataParallel")),
)
_LOOPS = {"train_cfg": "EpochBasedTrainLoop", "val_cfg": "ValLoop", "test_cfg": "TestLoop"}


def slot_at(path: str, root: Mapping[str, Any]) -> Slot | None:
    """Return the slot of the node at ``path`` in the config ``root``, or None if any mapping is allowed there."""
    node = root.get(path)
    if path in _LOOPS:
        node = node if isinstance(node, Mapping) else {}
        default = "IterBasedTrainLoop" if node.get("by_epoch") is False else _LOOPS[path]
        extra = _names("" if "type" in node else "by_epoch")  # MMEngine takes either
        return Slot(LOOPS, _names("runner dataloader evaluator"), extra=extra, default=default)
    if path.endswith("_evaluator") and isinstance(node, Mapping) and "metrics" in node:
        return Slot(mmengine_registry.EVALUATOR, default="Evaluator")
    part = _part_slots(_model_type(root)).get(_part_of(path))
    if part is not None and path not in ("model.selectors", "model.vision_selectors", "model.heads"):
        return part
    if is_vlp_model(root) and (nested := _nested_slot(path, root)):
        return nested
    return _runner_slot(path)


@lru_cache(maxsize=4096)
def _runner_slot(path: str) -> Slot | None:
    return next((slot for pattern, slot in _RUNNER_SLOTS if re.fullmatch(pattern, path)), None)


@lru_cache(maxsize=4096)
def _part_of(path: str) -> str:
    """Return the path without the number of a selector or the name of a head."""
    return re.sub(r"^(model\.(?:vision_)?selectors)\.\d+$|^(model\.heads)\.[^.]+$", r"\1\2", path)


@lru_cache(maxsize=8)
def _part_slots(model: str) -> dict[str, Slot]:
    """Return the places of the parts of a model."""
    if model == CAPTION_MODEL:
        parts = (REGISTRIES.tokenizers, REGISTRIES.text_decoders)
        return {f"model.{r.slot}": Slot(r, provided_to(r.slot, model)) for r in parts}
    if model == CAUSAL_MODEL:
        return _causal_slots()
    if model != VLP_MODEL:
        return {}
    slots = {f"model.{r.slot}": Slot(r, r.provided) for r in REGISTRIES.all()}
    weights = {"pretrained": str | dict | None}
    for r in (REGISTRIES.text_encoders, REGISTRIES.text_decoders):
        slots[f"model.{r.slot}"] = Slot(r, r.provided, further=weights)
    slots["model.backbone"] = _backbone_slot()
    return slots


def _causal_slots() -> dict[str, Slot]:
    registries = {
        "tokenizer": REGISTRIES.tokenizers,
        "language_model": REGISTRIES.text_decoders,
        "vision_selectors": REGISTRIES.selectors,
        "decoder": REGISTRIES.decoders,
        "selectors": REGISTRIES.selectors,
    }
    slots = {f"model.{name}": Slot(r, provided_to(name, CAUSAL_MODEL)) for name, r in registries.items()}
    return {**slots, "model.backbone": _backbone_slot()}


def _backbone_slot() -> Slot:
    further = {"img_size": int | list[int], "pretrained": str | dict | None}
    return Slot(REGISTRIES.backbones, REGISTRIES.backbones.provided, further=further)


def _nested_slot(path: str, root: Mapping[str, Any]) -> Slot | None:
    """Return the slot of a part that a head takes as an argument."""
    match = re.fullmatch(r"model\.heads\.([^.]+)\.([^.]+)", path)
    heads = root["model"].get("heads")
    head = heads.get(match.group(1)) if match and isinstance(heads, Mapping) else None
    if match is None or not isinstance(head, Mapping):
        return None
    try:
        nested = getattr(REGISTRIES.heads.get(head.get("type"), path).cls, "nested_parts", {})  # type: ignore[arg-type]
    except ComponentError:
        return None
    if match.group(2) not in nested:
        return None
    registry = getattr(REGISTRIES, nested[match.group(2)].registry)
    return Slot(registry, registry.provided)


def _model_type(root: Mapping[str, Any]) -> str:
    model = root.get("model")
    return str(model.get("type")).removeprefix(f"{SCOPE}.") if isinstance(model, Mapping) else ""


def is_vlp_model(root: Mapping[str, Any]) -> bool:
    """Return whether the model is ours, whose parts are known."""
    return _model_type(root) == VLP_MODEL


def is_causal_vlm(root: Mapping[str, Any]) -> bool:
    """Return whether the model is our vision-language model with a causal language model."""
    return _model_type(root) == CAUSAL_MODEL


def find(slot: Slot, name: object, path: str) -> Registered:
    """Return what ``name`` means in ``slot``; nothing is ever imported by a dotted path.

    Raises:
        ComponentError: It is not registered there.
    """
    if isinstance(slot.registry, PartRegistry):
        return slot.registry.get(name, path)  # type: ignore[arg-type]
    known = registered(slot.registry) if isinstance(name, str) else {}
    if not isinstance(name, str) or name not in known:
        if isinstance(name, str) and f"{MMPRETRAIN}{name}" in known:
            hint = f" Did you mean '{MMPRETRAIN}{name}'?"
        else:
            hint = did_you_mean(str(name), known) or did_you_mean(str(name).split(".")[-1], known)
        text = (
            f"no {slot.registry.name} is registered as {name!r}.{hint}{_all_of_few(known)} "
            "Write the name of a registered class; `bus-toolkit describe parts` lists ours."
        )
        raise ComponentError(Problem(f"{path}.type", text, ProblemKind.UNKNOWN_TYPE))
    cls = known[name]
    return Registered(name, cls, getattr(cls, "__module__", "?"), signature_of(cls))


def _all_of_few(known: Mapping[str, Any]) -> str:
    """Return a sentence with all names, without their longer forms with a scope, if they are few."""
    plain_names = sorted(name for name in known if "." not in name)
    return f" Registered: {', '.join(plain_names)}." if len(plain_names) <= _FEW else ""


def registered(registry: Registry) -> dict[str, Callable[..., Any]]:
    """Return all names by which a config may ask for a member; ours and MMEngine's also without scope."""
    import_openmmlab()
    root = registry.parent or registry
    members = dict(root.module_dict) | {f"mmengine.{key}": value for key, value in root.module_dict.items()}
    for scope, child in root.children.items():
        if scope not in SCOPES:
            continue
        child.import_from_location()
        members |= {f"{scope}.{key}": value for key, value in child.module_dict.items()}
        if scope == SCOPE:
            members |= child.module_dict
    return members


def is_registered_anywhere(name: str) -> bool:
    """Return whether any MMEngine registry knows ``name``."""
    return any(name in known or f"{MMPRETRAIN}{name}" in known for known in map(registered, _roots()))


def scoped(name: str, registry: Registry) -> str:
    """Return ``name`` as MMEngine must see it: with our scope if it is one of ours."""
    return f"{SCOPE}.{name}" if registry.scope == SCOPE and name in registry.module_dict else name


def _roots() -> Iterator[Registry]:
    return (value for value in vars(mmengine_registry).values() if isinstance(value, Registry))


@lru_cache(maxsize=1)
def import_openmmlab() -> None:
    """Let MMEngine, mmcv and mmpretrain register their members.

    Raises:
        ComponentError: One of them cannot be imported.
    """
    try:
        import mmpretrain.registry  # noqa: F401
    except Exception as error:
        text = (
            f"cannot be imported ({type(error).__name__}: {error}). Install the maintained builds: "
            "pip install 'onedl-mmengine>=0.10.12' 'onedl-mmcv>=2.3.6' 'onedl-mmpretrain>=1.3.6'"
        )
        raise ComponentError(Problem("OpenMMLab", text)) from error
