"""Which parts can work together: checked before anything is built."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from bus_toolkit.backbones import TokenReducingBackbone
from bus_toolkit.errors import ConfigError, Problem
from bus_toolkit.heads.base import Copied, VLPHead
from bus_toolkit.models.check_prior import prior_problems
from bus_toolkit.models.check_stream import single_stream_problems
from bus_toolkit.models.conditioning import Conditioning
from bus_toolkit.models.head_plan import plan_heads
from bus_toolkit.registry import REGISTRIES
from bus_toolkit.signatures import check_arguments, signature_of
from bus_toolkit.step.encoders import Encoders
from bus_toolkit.step.parts import Parts


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
    kinds: dict[str, Any] = {
        name: REGISTRIES.heads.get(node["type"], f"model.heads.{name}").cls for name, node in heads.items()
    }
    foreign = [name for name, kind in kinds.items() if not (isinstance(kind, type) and issubclass(kind, VLPHead))]
    if foreign:
        text = "must be a subclass of bus_toolkit.heads.VLPHead, got {}. Name another type."
        return [Problem(f"model.heads.{name}", text.format(kinds[name].__name__)) for name in foreign]
    there = {"fusion": bool(fusion), "text_decoder": bool(text_decoder), "momentum": momentum is not None}
    problems = [
        problem
        for name, node in heads.items()
        for problem in _head_problems(name, kinds[name], node, conditioning, **there)
    ]
    distilling = [name for name, node in heads.items() if kinds[name].distils and _alpha(node)]
    try:
        plan_heads(kinds, conditioning, momentum=momentum, distilling=distilling)
    except ConfigError as error:
        problems += error.problems
    if momentum is not None:
        problems += _momentum_problems(momentum)
    return problems


def check_built_parts(parts: Parts, heads: Mapping[str, VLPHead], momentum: Mapping[str, Any] | None) -> None:
    """Refuse built parts that cannot work together, for a model that no config describes.

    Raises:
        ConfigError: A backbone that reduces no tokens, heads that are none, or that need a part which is missing.
    """
    problems: list[Problem] = []
    if not isinstance(parts.backbone, TokenReducingBackbone):
        text = (
            f"must be a TokenReducingBackbone, got {type(parts.backbone).__name__}. Wrap it: "
            "bus_toolkit.backbones.TokenReducingBackbone(vit, selectors)."
        )
        problems.append(Problem("Parts.backbone", text))
    else:
        problems += single_stream_problems(parts, heads, momentum=momentum is not None)
        problems += prior_problems(parts)
    there = {
        "fusion": parts.fusion is not None,
        "text_decoder": parts.text_decoder is not None,
        "momentum": momentum is not None,
    }
    for name, head in heads.items():
        if isinstance(head, VLPHead):
            path, kind = f"model.heads.{name}", type(head)
            problems += _needs_problems(path, kind, kind.__name__, **there)
            problems += _distilling_problems(path, kind, kind.__name__, head.alpha, **there)
        else:
            text = f"must be a bus_toolkit.heads.VLPHead, got {type(head).__name__}. Give another part."
            problems.append(Problem(f"model.heads.{name}", text))
    if problems:
        raise ConfigError(problems)


def check_settings(heads: Mapping[str, VLPHead], encoders: Encoders) -> None:
    """Refuse settings of heads that do not go with the parts of the model.

    Raises:
        ConfigError: There are such settings; all are named.
    """
    problems = [
        Problem(f"model.heads.{name}.{argument}", text)
        for name, head in heads.items()
        for argument, text in head.setting_problems(encoders)
    ]
    if problems:
        raise ConfigError(problems)


def _momentum_problems(momentum: Mapping[str, Any]) -> Iterator[Problem]:
    decay = momentum.get("decay")
    if isinstance(decay, int | float) and not 0.0 <= decay < 1.0:
        yield Problem("model.momentum.decay", f"must be in [0, 1), got {decay}. Write e.g. 0.995.")
    ramp = momentum.get("alpha_ramp_epochs")
    if isinstance(ramp, int | float) and not 0.0 <= ramp < math.inf:
        text = f"must be 0 or more, and finite, got {ramp}. ALBEF has 1, BLIP 2; 0 starts with the whole alpha."
        yield Problem("model.momentum.alpha_ramp_epochs", text)


def _head_problems(
    name: str,
    kind: type[VLPHead],
    node: Mapping[str, Any],
    conditioning: Conditioning,
    *,
    fusion: bool,
    text_decoder: bool,
    momentum: bool,
) -> Iterator[Problem]:
    path, shown = f"model.heads.{name}", node["type"]
    there = {"fusion": fusion, "text_decoder": text_decoder, "momentum": momentum}
    yield from _needs_problems(path, kind, shown, **there)
    yield from _distilling_problems(path, kind, shown, _alpha(node), **there)
    if node.get("queue_size", 0) and not momentum:
        text = (
            "a queue holds features of the momentum branch, but there is none. "
            "Add model.momentum: {decay: 0.995}, or set queue_size: 0."
        )
        yield Problem(f"{path}.queue_size", text)
    if node.get("object_weight", 0) and conditioning.without_text != "prompt":
        text = (
            "has an effect only with conditioning.without_text: prompt, "
            f"got {conditioning.without_text}. Set it to 0 or change the rule."
        )
        yield Problem(f"{path}.object_weight", text)


def _needs_problems(
    path: str, kind: type[VLPHead], shown: str, *, fusion: bool, text_decoder: bool, momentum: bool
) -> Iterator[Problem]:
    if kind.needs_fusion and not fusion:
        yield Problem(path, f"{shown} reads fused tokens, but there is no model.fusion. Add a fusion.")
    if kind.needs_text_decoder and not text_decoder:
        yield Problem(path, f"{shown} writes text, but there is no model.text_decoder. Add one.")
    if kind.needs_momentum and not momentum:
        text = f"{shown} follows the momentum branch, but there is none. Add model.momentum: {{decay: 0.995}}."
        yield Problem(path, text)


def _distilling_problems(
    path: str, kind: type[VLPHead], shown: str, alpha: Any, *, fusion: bool, text_decoder: bool, momentum: bool
) -> Iterator[Problem]:
    """Yield what a head with soft targets needs and does not have."""
    if not (kind.distils and alpha):
        return
    if not momentum:
        text = (
            f"{shown} takes soft targets of the momentum model, got {alpha} and none. Add model.momentum: "
            "{decay: 0.995}, or set it to 0."
        )
        yield Problem(f"{path}.alpha", text)
    there = {Copied.FUSION: fusion, Copied.TEXT_DECODER: text_decoder}
    for part in kind.distils:
        if not there.get(part, True):
            text = f"{shown} distils by the {part.value}, and there is none. Add model.{part.value}, or set it to 0."
            yield Problem(f"{path}.alpha", text)


def _alpha(node: Mapping[str, Any]) -> Any:
    """Return the share of soft targets of a head that the config describes."""
    argument = REGISTRIES.heads.get(node["type"], "model.heads").signature.arguments.get("alpha")
    return node.get("alpha", argument.default if argument else 0.0)
