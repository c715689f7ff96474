"""Which parts can work together: checked before anything is built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bus_toolkit.errors import ConfigError, Problem
from bus_toolkit.models.conditioning import Conditioning
from bus_toolkit.registry import REGISTRIES
from bus_toolkit.signatures import check_arguments, signature_of


def build_conditioning(node: Mapping[str, Any] | None) -> Conditioning:
    """Build what ``model.conditioning`` says.

    Raises:
        ConfigError: Unknown settings or values.
    """
    values = node or {}
    problems = check_arguments("conditioning", signature_of(Conditioning), values, "model.conditioning")
    if problems:
        raise ConfigError(problems)
    return Conditioning(**values)


def check_combination(
    heads: Mapping[str, Mapping[str, Any]],
    fusion: Mapping[str, Any] | None,
    text_decoder: Mapping[str, Any] | None,
    conditioning: Conditioning,
    momentum: Mapping[str, Any] | None,
) -> list[Problem]:
    """Return what is wrong between parts; empty if they can work together."""
    problems = [
        problem
        for name, cfg in heads.items()
        for problem in _head_problems(name, cfg, bool(fusion), bool(text_decoder), conditioning, momentum)
    ]
    if conditioning.mode == "masked" and "mlm" not in heads:
        text = "masked needs a head named 'mlm'. Add it under model.heads."
        problems.append(Problem("model.conditioning.mode", text))
    if momentum is not None:
        problems += _momentum_problems(momentum, conditioning, has_itc="itc" in heads)
    return problems


def _momentum_problems(momentum: Mapping[str, Any], conditioning: Conditioning, *, has_itc: bool) -> Iterator[Problem]:
    if not has_itc:
        yield Problem("model.momentum", "it follows the head 'itc', and there is none. Remove it, or add the head.")
    decay = momentum.get("decay")
    if isinstance(decay, int | float) and not 0.0 <= decay < 1.0:
        yield Problem("model.momentum.decay", f"must be in [0, 1), got {decay}. Write e.g. 0.995.")
    if momentum.get("selection") == "same" and conditioning.mode in ("free_itc", "strict"):
        text = (
            f"with 'same' the caption selects, which conditioning.mode {conditioning.mode} rules out for contrast. "
            "Write selection: none."
        )
        yield Problem("model.momentum.selection", text)


def _head_problems(
    name: str,
    cfg: Mapping[str, Any],
    has_fusion: bool,
    has_text_decoder: bool,
    conditioning: Conditioning,
    momentum: Mapping[str, Any] | None,
) -> Iterator[Problem]:
    path, kind = f"model.heads.{name}", cfg["type"]
    cls = REGISTRIES.heads.get(kind, path).cls
    if getattr(cls, "needs_fusion", False) and not has_fusion:
        yield Problem(path, f"{kind} reads fused tokens, but there is no model.fusion. Add a fusion.")
    if getattr(cls, "needs_text_decoder", False) and not has_text_decoder:
        yield Problem(path, f"{kind} writes text, but there is no model.text_decoder. Add one.")
    if getattr(cls, "needs_momentum", False) and momentum is None:
        text = f"{kind} follows the momentum branch, but there is none. Add model.momentum: {{decay: 0.995}}."
        yield Problem(path, text)
    only_name = getattr(cls, "only_name", None)
    if only_name not in (None, name):
        yield Problem(path, f"{kind} is found by the name {only_name!r}, got {name!r}. Call it {only_name}.")
    if cfg.get("queue_size", 0) and momentum is None:
        text = (
            "a queue holds features of the momentum branch, but there is none. "
            "Add model.momentum: {decay: 0.995}, or set queue_size: 0."
        )
        yield Problem(f"{path}.queue_size", text)
    if cfg.get("object_weight", 0) and conditioning.without_text != "prompt":
        text = (
            "has an effect only with conditioning.without_text: prompt, "
            f"got {conditioning.without_text}. Set it to 0 or change the rule."
        )
        yield Problem(f"{path}.object_weight", text)
