"""Check everything that a plugin registers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bus_toolkit.errors import BusError, ComponentError, PluginError
from bus_toolkit.plugin.manager import BUILTINS, list_plugins, load_plugins
from bus_toolkit.registry import (
    DATASETS,
    HOOKS,
    METRICS,
    OPTIMIZERS,
    PARAM_SCHEDULERS,
    REGISTRIES,
    RUNNER_REGISTRIES,
    TRANSFORMS,
)
from bus_toolkit.signatures import Signature, did_you_mean, signature_of
from bus_toolkit.testing.backbones import check_backbone
from bus_toolkit.testing.check import ConformanceError, crash_of
from bus_toolkit.testing.heads import check_head
from bus_toolkit.testing.hooks import check_hook
from bus_toolkit.testing.metrics import check_metric
from bus_toolkit.testing.model import tiny_model
from bus_toolkit.testing.optimizers import check_optimizer, check_scheduler
from bus_toolkit.testing.samples import check_dataset, check_transform
from bus_toolkit.testing.selectors import check_selector
from bus_toolkit.testing.text_parts import check_text_decoder, check_text_encoder
from bus_toolkit.testing.token_parts import check_decoder, check_fusion, check_prior
from bus_toolkit.testing.tokenizers import check_tokenizer

Settings = Mapping[str, Any]

CHECKS: Mapping[str, Callable[..., None]] = {
    REGISTRIES.tokenizers.kind: check_tokenizer,
    REGISTRIES.text_encoders.kind: check_text_encoder,
    REGISTRIES.backbones.kind: check_backbone,
    REGISTRIES.selectors.kind: check_selector,
    REGISTRIES.decoders.kind: check_decoder,
    REGISTRIES.priors.kind: check_prior,
    REGISTRIES.fusions.kind: check_fusion,
    REGISTRIES.text_decoders.kind: check_text_decoder,
    REGISTRIES.heads.kind: check_head,
    DATASETS.name: check_dataset,
    TRANSFORMS.name: check_transform,
    METRICS.name: check_metric,
    HOOKS.name: check_hook,
    OPTIMIZERS.name: check_optimizer,
    PARAM_SCHEDULERS.name: check_scheduler,
}
"""The check of each kind."""
# What the plugin's own heads may train, or predict for.
_WITH_HEADS = (REGISTRIES.selectors.kind, METRICS.name)


@dataclass(frozen=True)
class Component:
    """One thing that a plugin registers: its kind, its name and what its constructor takes."""

    kind: str
    name: str
    signature: Signature

    def __str__(self) -> str:
        """Show it as ``<kind> <name>``."""
        return f"{self.kind} {self.name}"


@dataclass(frozen=True)
class Verdict:
    """How the check of one component ended.

    Attributes:
        component: As ``<kind> <name>``.
        problem: What is wrong with it; empty if nothing is.
        skipped: Why it was not checked; empty if it was.
    """

    component: str
    problem: str = ""
    skipped: str = ""


def check_plugin(
    name: str, settings: Mapping[str, Settings] | None = None, shared: Settings | None = None
) -> Iterator[Verdict]:
    """Run the kit on all that the plugin ``name`` registers.

    Args:
        name: Of its entry point, or ``bus_toolkit`` for the built-in parts.
        settings: Arguments by the name of a component, such as ``{"Mine": {"keep_ratios": [0.5]}}``.
        shared: Arguments for every component that takes them.

    Yields:
        A verdict for each component, those of kinds without a check included.

    Raises:
        PluginError: It is not installed, fails to load (a misspelt hook, a name that is taken), or registers nothing;
            or settings that no component takes.
    """
    components = components_of(name)
    settings, shared = settings or {}, shared or {}
    _refuse_unused(components, settings, shared)
    nodes = [_node(component, settings, shared) for component in components]
    pairs = list(zip(components, nodes, strict=True))
    heads = {} if name == BUILTINS else _own_heads(pairs)
    for component, node in pairs:
        yield check_component(component, node, heads if component.kind in _WITH_HEADS else {})


def _own_heads(pairs: list[tuple[Component, Settings]]) -> dict[str, Settings]:
    """Return nodes of the plugin's heads that a tiny model can have."""
    heads: dict[str, Settings] = {}
    for component, node in pairs:
        if component.kind == REGISTRIES.heads.kind:
            head = {component.name.lower(): {"type": component.name, **node}}
            try:
                tiny_model(head)
            except Exception:  # what is wrong with it is in its own verdict
                continue
            heads |= head
    return heads


def components_of(name: str) -> list[Component]:
    """Return what the plugin ``name`` registers.

    Raises:
        PluginError: It cannot be used, or registers nothing.
    """
    load_plugins([] if name == BUILTINS else [name])
    record = next(record for record in list_plugins() if record.name == name)
    members = [
        *(Component(r.kind, part, r.get(part).signature) for r in REGISTRIES.all() for part in r.names()),
        *(
            Component(r.name, part, signature_of(cls))
            for r in RUNNER_REGISTRIES
            for part, cls in sorted(r.module_dict.items())
        ),
    ]
    components = [component for component in members if str(component) in record.components]
    if not components:
        raise PluginError(
            f"'{name}' registers no part. Register them in register_components; plugins/README.md shows how."
        )
    return components


def _node(component: Component, settings: Mapping[str, Settings], shared: Settings) -> Settings:
    taken = {key: value for key, value in shared.items() if key in component.signature.arguments}
    return {**taken, **settings.get(component.name, {})}


def _refuse_unused(components: list[Component], settings: Mapping[str, Settings], shared: Settings) -> None:
    names = [component.name for component in components]
    for name in settings:
        if name not in names:
            raise PluginError(
                f"settings: no component is named {name!r}.{did_you_mean(name, names)} Components: {', '.join(names)}."
            )
    for key in shared:
        if not any(key in component.signature.arguments for component in components):
            known = sorted({argument for component in components for argument in component.signature.arguments})
            raise PluginError(
                f"settings: no component takes {key!r}.{did_you_mean(key, known)} Name an argument of a constructor."
            )


def check_component(component: Component, node: Settings, heads: Mapping[str, Settings] | None = None) -> Verdict:
    """Run the checks of its kind on one component; ``heads`` are nodes of heads that may go with it."""
    check = CHECKS.get(component.kind)
    if check is None:
        return Verdict(str(component), skipped=f"the kit has no checks for the kind {component.kind}")
    try:
        check(component.name, **{"heads": heads} if heads else {}, **node)
    except ComponentError as error:
        return Verdict(str(component), _ask_for_settings(component, node, error) or str(error))
    except (ConformanceError, BusError) as error:
        return Verdict(str(component), str(error))
    except Exception as error:  # whatever a part does, the others are still checked
        return Verdict(str(component), f"it {crash_of(error)}")
    return Verdict(str(component))


def _ask_for_settings(component: Component, node: Settings, error: ComponentError) -> str:
    """Return how to give the arguments whose absence is the ``error``, or nothing if it is another."""
    blamed = {problem.path.rpartition(".")[2] for problem in error.problems}
    arguments = component.signature.arguments.values()
    needed = [a.name for a in arguments if a.required and a.name not in node and a.name in blamed]
    values = " ".join(f"{component.name}.{name}=VALUE" for name in needed)
    return f"not checked: give it the arguments that it requires: --set {values}" if needed else ""
