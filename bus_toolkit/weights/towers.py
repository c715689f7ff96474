"""Settings of a folder's ``config.json`` that no tensor shows: heads, activation, the norms' epsilon."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from bus_toolkit.weights.layouts import Layout

_HEADS = ("num_heads", "num_attention_heads")
# By transformers' names: the class of the activation and how its tanh form is named.
_ACTIVATIONS = {
    "gelu": ("GELU", "none"),
    "quick_gelu": ("QuickGELU", ""),
    "gelu_pytorch_tanh": ("GELU", "tanh"),
    "gelu_new": ("GELU", "tanh"),
    "relu": ("ReLU", ""),
    "silu": ("SiLU", ""),
}
_SETTINGS = {
    "gelu": "{type: GELU}",
    "quick_gelu": "{type: mmpretrain.QuickGELU}",
    "gelu_pytorch_tanh": "{type: GELU, approximate: tanh}",
    "relu": "{type: ReLU}",
}

# By class of mmpretrain (onedl-mmpretrain 1.3.6, mmpretrain/models/backbones/deit3.py).
_CLASSES = {
    "DeiT3": "Beware: the blocks of mmpretrain.DeiT3 read their first norm twice and never their second, so weights of "
    "DeiT III do not give their outputs there; in mmpretrain.VisionTransformer with layer_scale_init_value they do."
}


def head_problem(module: nn.Module, config: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the number of attention heads, if the folder and the module give it."""
    said, own = _said(config, "num_attention_heads"), _heads(module)
    if said is None or own is None or said == own:
        return None
    return f"{said} attention heads, got a model with {own}"


def tower_problems(module: nn.Module, config: Mapping[str, Any], layout: Layout) -> list[str]:
    """Return where a tower computes something else than weights of a layout are sure to need, a clause each.

    Only layouts whose tables name an epsilon are that well known: CLIP's.

    Args:
        module: The tower.
        config: The contents of the ``config.json``; empty without one.
        layout: That of the weights.
    """
    if not layout.norm_eps:
        return []
    problems = []
    eps, own_eps = _said(config, "layer_norm_eps") or layout.norm_eps, _epsilons(module)
    if own_eps and eps not in own_eps:
        problems.append(f"its norms have the epsilon {eps}, got a model with {min(own_eps)}")
    act, own_acts = _said(config, "hidden_act"), _activations(module)
    if act in _ACTIVATIONS and own_acts and _ACTIVATIONS[act] not in own_acts:
        problems.append(f"its activation is {act}, got a model with {', '.join(sorted(name for name, _ in own_acts))}")
    return problems


def tower_notes(module: nn.Module, config: Mapping[str, Any], usual: str = "") -> list[str]:
    """Return where the module computes something else than its weights were trained for, as far as this can be seen.

    Its class may have an oddity; activation and epsilon may not be those of the folder's ``config.json``.

    Args:
        module: The tower.
        config: The contents of the ``config.json``; empty without one.
        usual: The activation of the best known weights, used if the config names none.
    """
    notes = [_CLASSES[kind.__name__] for kind in type(module).__mro__ if kind.__name__ in _CLASSES]
    act, own_acts = _said(config, "hidden_act") or usual, _activations(module)
    if act in _ACTIVATIONS and own_acts and _ACTIVATIONS[act] not in own_acts:
        setting = _SETTINGS.get(act)
        how = f"; mmpretrain: layer_cfgs: {{act_cfg: {setting}}}" if setting else ""
        whose = "these weights were" if _said(config, "hidden_act") else "the best known weights of this layout were"
        notes.append(f"Beware: {whose} trained with the activation {act}, the model has another{how}.")
    eps, own_eps = _said(config, "layer_norm_eps"), _epsilons(module)
    if isinstance(eps, float) and own_eps and eps not in own_eps:
        notes.append(f"The norms of these weights have the epsilon {eps}, the model's {min(own_eps)}.")
    return notes


def _said(config: Mapping[str, Any], key: str) -> Any:
    """Return the part of a config about the tower itself, or of the vision half of a pair."""
    inner = config.get("vision_config")
    return config.get(key, inner.get(key) if isinstance(inner, Mapping) else None)


def _heads(module: nn.Module) -> int | None:
    for part in module.modules():
        for name in _HEADS:
            if isinstance(getattr(part, name, None), int):
                return getattr(part, name)
    return None


def _epsilons(module: nn.Module) -> set[float]:
    return {part.eps for part in module.modules() if isinstance(part, nn.LayerNorm)}


def _activations(module: nn.Module) -> set[tuple[str, str]]:
    kinds = {kind.lower(): kind for kind, _ in _ACTIVATIONS.values()}
    activations = set()
    for part in module.modules():
        name = type(part).__name__.lower().removesuffix("activation")
        if name in kinds:
            activations.add((kinds[name], getattr(part, "approximate", "none") if name == "gelu" else ""))
    return activations
