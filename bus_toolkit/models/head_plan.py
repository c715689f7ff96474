"""In which order heads run, who gives what to whom, and what each may see: resolved from what the classes declare."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from bus_toolkit.errors import ConfigError, Problem
from bus_toolkit.heads.base import Copied, Feed, VLPHead
from bus_toolkit.models.conditioning import Conditioning
from bus_toolkit.signatures import did_you_mean
from bus_toolkit.step.pass_key import PassKey
from bus_toolkit.structures import Condition

# Conditions whose text a head provides: what is hidden, and a head that does it.
_PROVIDED = {Condition.MASKED: ("words", "MLMHead"), Condition.PREFIX: ("its end", "PrefixLMHead")}


@dataclass(frozen=True)
class HeadPlan:
    """The heads of a model and how they work together.

    Attributes:
        order: Their names: a head that provides a feed comes before those that use it.
        keys: By name, the pass that each sees in a training step.
        providers: By pass, the name of the head whose ``hide`` gives its text.
        suffixes: By name, what is added to logged names: several heads of one class log under their own names.
        projections: The head whose projections the momentum branch copies; ``None`` without one.
    """

    order: tuple[str, ...]
    keys: Mapping[str, PassKey]
    providers: Mapping[PassKey, str]
    suffixes: Mapping[str, str]
    projections: str | None


def plan_heads(
    parts: Mapping[str, VLPHead | type[VLPHead]],
    conditioning: Conditioning,
    *,
    momentum: Mapping[str, Any] | None = None,
    distilling: Collection[str] = (),
) -> HeadPlan:
    """Resolve what the heads declare.

    Args:
        parts: Heads, or their classes, by name, in the order of the config.
        conditioning: Decides what each sees.
        momentum: Settings of the momentum branch, which follows a head's projections; ``None`` without one.
        distilling: The heads to which it gives soft targets.

    Raises:
        ConfigError: A head declares something unknown, or hides words without saying so; or what it needs is provided
            by none or by several, or heads need each other; or the momentum branch sees more than the heads may. All
            such at once.
    """
    heads = {name: part if isinstance(part, type) else type(part) for name, part in parts.items()}
    problems = [problem for name, kind in heads.items() for problem in _declarations(name, kind)]
    if problems:
        raise ConfigError(problems)
    keys = {name: _key(name, heads, conditioning, problems) for name in heads}
    order = _order(heads, problems)
    projections = [name for name, kind in heads.items() if Feed.PROJECTIONS in kind.provides]
    if momentum is not None:
        problems += _momentum_problems(momentum, keys, projections, conditioning, distilling)
    problems += _ambiguous_feeds(heads)
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    providers = {
        _key_of(condition, name, heads): name
        for name, kind in heads.items()
        for condition in kind.provides
        if isinstance(condition, Condition)
    }
    repeated = Counter(heads.values())
    suffixes = {name: f"_{name}" if repeated[kind] > 1 else "" for name, kind in heads.items()}
    return HeadPlan(tuple(order), keys, providers, suffixes, projections[0] if projections else None)


def _declarations(name: str, kind: type[VLPHead]) -> Iterator[Problem]:
    """Yield the class attributes that are no declarations, such as a text in place of a ``Condition``."""
    wanted: dict[str, tuple[Any, tuple[type[Enum], ...]]] = {
        "sees": (() if kind.sees is None else (kind.sees,), (Condition,)),
        "provides": (kind.provides, (Condition, Feed)),
        "uses": (kind.uses, (Feed,)),
        "distils": (kind.distils, (Copied,)),
    }
    for attribute, (values, kinds) in wanted.items():
        if not isinstance(values, tuple | list) or not all(isinstance(value, kinds) for value in values):
            allowed = ", ".join(f"{enum.__name__}.{member.name}" for enum in kinds for member in enum)
            one = "must be one of" if attribute == "sees" else "must be a tuple of"
            text = f"{kind.__name__}.{attribute} {one} {allowed}, got {getattr(kind, attribute)!r}. Correct the class."
            yield Problem(f"model.heads.{name}", text)
            return
    yield from _hiding_problems(name, kind)
    for attribute in _misnamed(kind, wanted):
        text = f"{kind.__name__}.{attribute} declares nothing under this name.{did_you_mean(attribute, wanted)}"
        yield Problem(f"model.heads.{name}", text)


def _hiding_problems(name: str, kind: type[VLPHead]) -> Iterator[Problem]:
    """Yield where what a head says that it hides and what it implements differ: words meant to be hidden would show."""
    provided = [item for item in kind.provides if isinstance(item, Condition)]
    allowed = " and ".join(f"Condition.{condition.name}" for condition in _PROVIDED)
    if any(condition not in _PROVIDED for condition in provided):
        got = ", ".join(f"Condition.{condition.name}" for condition in provided)
        text = f"{kind.__name__}.provides can hold {allowed} of the conditions, got {got}. No head gives other texts."
        yield Problem(f"model.heads.{name}", text)
    hides = kind.hide is not VLPHead.hide
    if provided and not hides:
        text = f"{kind.__name__} provides a text and has no method hide(batch), which makes it. Implement it."
        yield Problem(f"model.heads.{name}", text)
    if hides and not provided:
        text = (
            f"{kind.__name__} has a method hide(batch), and its `provides` holds neither of {allowed}: images would be "
            "encoded under the words that it hides. Add what it hides to the class attribute."
        )
        yield Problem(f"model.heads.{name}", text)


def _misnamed(kind: type[VLPHead], known: Mapping[str, Any]) -> Iterator[str]:
    """Yield class attributes that hold conditions, feeds or copies under a name close to one that is read."""
    for cls in kind.__mro__[: kind.__mro__.index(VLPHead)]:
        for attribute, value in vars(cls).items():
            values = value if isinstance(value, tuple | list) else (value,)
            declares = bool(values) and all(isinstance(item, Condition | Feed | Copied) for item in values)
            if declares and attribute not in known and did_you_mean(attribute, known):
                yield attribute


def _momentum_problems(
    momentum: Mapping[str, Any],
    keys: Mapping[str, PassKey],
    projections: list[str],
    conditioning: Conditioning,
    distilling: Collection[str],
) -> Iterator[Problem]:
    if len(projections) > 1 or not projections and not distilling:
        text = (
            f"it follows the projections of one contrastive head, got {', '.join(projections) or 'none'}. Have exactly "
            "one, such as ITCHead, or a head that distils by its alpha, or remove model.momentum."
        )
        yield Problem("model.momentum", text)
    # Every head can read the images of the momentum branch, so they may show no more than any of the heads sees.
    others = {name: key.condition.value for name, key in keys.items() if key.condition is not Condition.CAPTION}
    if momentum.get("selection") == "same" and others:
        shown = ", ".join(f"{name}: {condition}" for name, condition in others.items())
        text = (
            f"with 'same' the caption selects, which conditioning.mode {conditioning.mode} rules out for some heads, "
            f"got {shown}. Write selection: none."
        )
        yield Problem("model.momentum.selection", text)


def _key(name: str, heads: Mapping[str, type[VLPHead]], conditioning: Conditioning, problems: list[Problem]) -> PassKey:
    """Return the pass of one head in training; note what keeps it from having one."""
    kind = heads[name]
    condition = conditioning.condition(kind.sees)
    if condition is None:
        text = (
            f"under conditioning.mode {conditioning.mode} a head must say which text the images may see in its loss, "
            f"got {kind.__name__} without it. Set its class attribute `sees` to a condition that does not hold the "
            f"target: {', '.join(f'Condition.{c.name}' for c in Condition)} (bus_toolkit.structures)."
        )
        problems.append(Problem(f"model.heads.{name}", text))
    if condition not in _PROVIDED:
        return PassKey(condition or Condition.CAPTION)
    providers = [other for other, its in heads.items() if condition in its.provides]
    if name not in providers and len(providers) != 1:
        what, example = _PROVIDED[condition]
        text = (
            f"shows images the caption with {what} hidden by one head, got {', '.join(providers) or 'none'}. Have "
            f"exactly one head that provides it, such as {example}."
        )
        if kind.sees is condition:
            problems.append(Problem(f"model.heads.{name}", f"{kind.__name__} {text}"))
        else:
            problems.append(Problem("model.conditioning.mode", f"{conditioning.mode} {text}"))
        return PassKey(condition)
    return _key_of(condition, name if name in providers else providers[0], heads)


def _key_of(condition: Condition, provider: str, heads: Mapping[str, type[VLPHead]]) -> PassKey:
    """Return the key of a pass whose text a head provides; it names the head where several provide one."""
    several = sum(condition in kind.provides for kind in heads.values()) > 1
    return PassKey(condition, provider if several else "")


def _ambiguous_feeds(heads: Mapping[str, type[VLPHead]]) -> Iterator[Problem]:
    for name, kind in heads.items():
        for feed in kind.uses:
            providers = [other for other, its in heads.items() if feed in its.provides and other != name]
            if len(providers) > 1:
                text = f"uses the {feed.value} of one head, got {', '.join(providers)}. Leave one of them in the model."
                yield Problem(f"model.heads.{name}", f"{kind.__name__} {text}")


def _order(heads: Mapping[str, type[VLPHead]], problems: list[Problem]) -> list[str]:
    """Return providers of feeds first, each after the heads that it uses itself; the rest as in the config."""
    order: list[str] = []
    feeds_others = [name for name, kind in heads.items() if any(isinstance(item, Feed) for item in kind.provides)]

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            circle = " -> ".join([*path[path.index(name) :], name])
            problems.append(Problem("model.heads", f"heads wait for each other, got {circle}. Leave one of them out."))
            return
        if name in order:
            return
        for other in feeds_others:
            if set(heads[name].uses) & set(heads[other].provides):
                visit(other, (*path, name))
        order.append(name)

    for name in [*feeds_others, *heads]:
        visit(name, ())
    return order
