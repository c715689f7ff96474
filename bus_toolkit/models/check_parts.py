"""Which parts can work together: checked before anything is built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bus_toolkit.models.conditioning import Conditioning
from bus_toolkit.registry import REGISTRIES


def check_combination(
    heads: Mapping[str, Mapping[str, Any]],
    fusion: Mapping[str, Any] | None,
    text_decoder: Mapping[str, Any] | None,
    conditioning: Conditioning,
    momentum: Mapping[str, Any] | None,
) -> list[str]:
    """Return what is wrong between parts, one sentence each; empty if they can work together."""
    problems = [
        problem
        for name, cfg in heads.items()
        for problem in _head_problems(name, cfg, bool(fusion), bool(text_decoder), conditioning, momentum)
    ]
    if conditioning.mode == "masked" and "mlm" not in heads:
        problems.append("model.conditioning.mode: masked needs a head named 'mlm'. Add it under model.heads.")
    if momentum is not None and "itc" not in heads:
        problems.append("model.momentum: it follows the head 'itc', and there is none. Remove it, or add the head.")
    if momentum is not None and momentum.get("selection") == "same" and conditioning.mode in ("free_itc", "strict"):
        problems.append(
            f"model.momentum.selection: with 'same' the caption selects, which conditioning.mode {conditioning.mode} "
            "rules out for contrast. Write selection: none."
        )
    return problems


def _head_problems(
    name: str,
    cfg: Mapping[str, Any],
    has_fusion: bool,
    has_text_decoder: bool,
    conditioning: Conditioning,
    momentum: Mapping[str, Any] | None,
) -> Iterator[str]:
    kind = REGISTRIES.heads.get(cfg["type"], f"model.heads.{name}").cls
    where = f"model.heads.{name}: {cfg['type']}"
    if getattr(kind, "needs_fusion", False) and not has_fusion:
        yield f"{where} reads fused tokens, but there is no model.fusion. Add a fusion."
    if getattr(kind, "needs_text_decoder", False) and not has_text_decoder:
        yield f"{where} writes text, but there is no model.text_decoder. Add one."
    if getattr(kind, "needs_momentum", False) and momentum is None:
        yield f"{where} follows the momentum branch, but there is none. Add model.momentum: {{decay: 0.995}}."
    only_name = getattr(kind, "only_name", None)
    if only_name not in (None, name):
        yield f"{where} is found by the name {only_name!r}, got {name!r}. Call it {only_name}."
    if cfg.get("queue_size", 0) and momentum is None:
        yield (
            f"model.heads.{name}.queue_size: a queue holds features of the momentum branch, but there is none. "
            "Add model.momentum: {decay: 0.995}, or set queue_size: 0."
        )
    if cfg.get("object_weight", 0) and conditioning.without_text != "prompt":
        yield (
            f"model.heads.{name}.object_weight: has an effect only with conditioning.without_text: prompt, "
            f"got {conditioning.without_text}. Set it to 0 or change the rule."
        )
