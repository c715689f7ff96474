"""The keys that OpenMMLab and torch accept at places of a config where no signature lists them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import mmengine.registry

from bus_toolkit.config.slots import registered
from bus_toolkit.errors import ComponentError, Problem
from bus_toolkit.signatures import Argument, Signature, at, signature_of

LAYER_DECAY = "LearningRateDecayOptimWrapperConstructor"


class Section(NamedTuple):
    """The keys of a mapping that names no type, and the class or function that takes them."""

    owner: str
    signature: Signature


def openmmlab_section(path: str, node: Mapping[str, Any], root: Mapping[str, Any]) -> Section | None:
    """Return the keys that ``node`` at ``path`` may hold, or ``None`` if OpenMMLab and torch read no such place.

    Raises:
        ComponentError: Its ``type`` is not one that OpenMMLab or torch accepts there.
    """
    for pattern, section in _SECTIONS:
        if re.fullmatch(pattern, path):
            return section(path, node, root)
    return None


def corrected_signature(cls: Callable[..., Any], signature: Signature, node: Mapping[str, Any]) -> Signature:
    """Return ``signature``, the arguments of an OpenMMLab class, with missing or wrong annotations corrected."""
    from mmengine.hooks import EMAHook
    from mmengine.optim import AmpOptimWrapper

    if cls is AmpOptimWrapper:
        kinds = {"dtype": Literal["bfloat16", "float16"], "loss_scale": Literal["dynamic"] | float | dict}
        return _with(signature, kinds)
    if isinstance(cls, type) and issubclass(cls, EMAHook):
        averages = _averaged_models()
        chosen = averages.get(str(node.get("ema_type", "ExponentialMovingAverage")))
        own = _with(signature, {"ema_type": Literal[tuple(averages)]})
        return own if chosen is None else Signature({**own.arguments, **_without(chosen, "model")}, is_open=False)
    return signature


def _averaged_models() -> dict[str, Callable[..., Any]]:
    from mmengine.model import BaseAveragedModel

    models = registered(mmengine.registry.MODELS)
    return {
        n: c for n, c in models.items() if "." not in n and isinstance(c, type) and issubclass(c, BaseAveragedModel)
    }


def _compile(path: str, node: Mapping[str, Any], root: Mapping[str, Any]) -> Section:
    import torch

    kinds: dict[str, Any] = {
        "mode": Literal["default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"]
    }
    if "backend" in node:  # asking for the backends imports the whole compiler
        from torch._dynamo import list_backends

        kinds["backend"] = Literal[tuple([*list_backends(), "eager", "aot_eager"])]
    known = _with(signature_of(torch.compile), kinds)
    return Section("torch.compile", Signature(_without(known, "model"), is_open=False))


def _clip_grad(path: str, node: Mapping[str, Any], root: Mapping[str, Any]) -> Section:
    from torch.nn import utils

    kind = node.get("type", "norm")
    clips: dict[str, Callable[..., Any]] = {"norm": utils.clip_grad_norm_, "value": utils.clip_grad_value_}
    _refuse_other(path, kind, clips)
    return Section(f"clip_grad by {kind}", _typed(clips[kind], "parameters"))


def _loss_scale(path: str, node: Mapping[str, Any], root: Mapping[str, Any]) -> Section:
    from torch.amp import GradScaler

    return Section("loss_scale", Signature(_without(signature_of(GradScaler), "device"), is_open=False))


def _paramwise(path: str, node: Mapping[str, Any], root: Mapping[str, Any]) -> Section:
    names = ["norm_decay_mult", "bias_decay_mult", "flat_decay_mult"]
    names += ["layer_decay_rate"] if _decays_by_layer(root) else _ONLY_DEFAULT
    kinds: dict[str, Any] = {name: float | None for name in names}
    return Section(
        "paramwise_cfg",
        _named({**kinds, "bypass_duplicate": bool, "custom_keys": dict[str, dict], "no_decay": list[str]}),
    )


def _custom_key(path: str, node: Mapping[str, Any], root: Mapping[str, Any]) -> Section:
    """Return the settings of a group of parameters: multipliers, and whatever the optimizer takes."""
    optimizer = registered(mmengine.registry.OPTIMIZERS).get(_type_at(root, "optim_wrapper", "optimizer"))
    group = {} if optimizer is None else _without(signature_of(optimizer), "params")
    multipliers: dict[str, Any] = {"decay_mult": float}
    if _decays_by_layer(root):
        group.pop("lr", None)  # the depth alone decides it there, see mmpretrain's constructor
    else:
        multipliers["lr_mult"] = float
    settings = {name: argument.annotation for name, argument in group.items()}
    known = _named({**multipliers, **settings}).arguments
    return Section("a group of parameters", Signature(known, is_open=optimizer is None))


def _trace(path: str, node: Mapping[str, Any], root: Mapping[str, Any]) -> Section:
    from torch.autograd.profiler_util import EventList
    from torch.profiler import tensorboard_trace_handler

    kind = node.get("type")
    handlers: dict[str, Callable[..., Any]] = {"log_trace": EventList.table, "tb_trace": tensorboard_trace_handler}
    _refuse_other(path, kind, handlers)
    known = _typed(handlers[str(kind)], "self").arguments
    folder = {"dir_name": Argument("dir_name", str, None)} if "dir_name" in known else {}  # else the log's folder
    return Section(f"on_trace_ready by {kind}", Signature({**known, **folder}, is_open=False))


def _trace_schedule(path: str, node: Mapping[str, Any], root: Mapping[str, Any]) -> Section:
    from torch.profiler import schedule

    return Section("schedule", signature_of(schedule))


_HOOK = r"(default_hooks\.[^.]+|custom_hooks\.\d+)"
_ONLY_DEFAULT = ["bias_lr_mult", "dwconv_decay_mult"]
_SECTIONS: tuple[tuple[str, Callable[[str, Mapping[str, Any], Mapping[str, Any]], Section]], ...] = (
    (r"compile", _compile),
    (r"optim_wrapper\.clip_grad", _clip_grad),
    (r"optim_wrapper\.loss_scale", _loss_scale),
    (r"optim_wrapper\.paramwise_cfg", _paramwise),
    (r"optim_wrapper\.paramwise_cfg\.custom_keys\..+", _custom_key),
    (rf"{_HOOK}\.on_trace_ready", _trace),
    (rf"{_HOOK}\.schedule", _trace_schedule),
)


def _decays_by_layer(root: Mapping[str, Any]) -> bool:
    wrapper = root.get("optim_wrapper")
    return isinstance(wrapper, Mapping) and str(wrapper.get("constructor")).endswith(LAYER_DECAY)


def _type_at(root: Mapping[str, Any], *keys: str) -> str:
    node: Any = root
    for key in keys:
        node = node.get(key) if isinstance(node, Mapping) else None
    return str(node.get("type")) if isinstance(node, Mapping) else ""


def _refuse_other(path: str, kind: object, known: Mapping[str, object]) -> None:
    if not isinstance(kind, str) or kind not in known:
        text = f"must be one of {', '.join(known)}, got {kind!r}."
        raise ComponentError(Problem(at(path, "type"), text))


def _named(kinds: Mapping[str, Any]) -> Signature:
    return Signature({name: Argument(name, kind, None) for name, kind in kinds.items()}, is_open=False)


def _with(signature: Signature, kinds: Mapping[str, Any]) -> Signature:
    """Return ``signature`` with other kinds of values for some arguments."""
    changed = {n: Argument(n, kinds[n], a.default) if n in kinds else a for n, a in signature.arguments.items()}
    return Signature(changed, signature.is_open)


def _typed(function: Callable[..., Any], first: str) -> Signature:
    """Return ``type`` and all arguments but ``first``, which the caller of ``function`` passes itself."""
    arguments = _without(function, first)
    return Signature({"type": Argument("type", str, None), **arguments}, is_open=False)


def _without(target: Signature | Callable[..., Any], name: str) -> dict[str, Argument]:
    signature = target if isinstance(target, Signature) else signature_of(target)
    return {key: argument for key, argument in signature.arguments.items() if key != name}
