"""Measure models side by side: MACs, tokens, time and memory, and how much of the promised speed-up arrives."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Any

from bus_toolkit.analysis.benchmark.causal_workload import CausalWorkload
from bus_toolkit.analysis.benchmark.groups import Group, random_twin, same_cost
from bus_toolkit.analysis.benchmark.memory import peak_bytes
from bus_toolkit.analysis.benchmark.results import Measured, Settings
from bus_toolkit.analysis.benchmark.shared_weights import share_weights
from bus_toolkit.analysis.benchmark.timing import Stopwatch, ratios, take_turns
from bus_toolkit.analysis.benchmark.workload import Workload, adamw, made_up_batch, releasing
from bus_toolkit.analysis.macs import count_macs, count_macs_by_part
from bus_toolkit.models.causal.vlm import CausalVLM

Load = Workload | CausalWorkload


Report = Callable[[str], object]


def measure_groups(
    groups: Sequence[Group], settings: Settings, report: Report = lambda line: None
) -> Iterator[Measured]:
    """Measure one group after the other, so that only one is in memory; its models share their weights.

    A group's baseline comes first, then its configs, each followed by its own baselines if it selects.

    Args:
        groups: Who takes part.
        settings: How to measure.
        report: Gets a line after each piece of work.

    Raises:
        ConfigError: A model that cannot be built.
        DataError: ``text_length`` does not fit the tokenizer.
    """
    for group in groups:
        yield from _measure(group, settings, report)
        gc.collect()


def _measure(group: Group, settings: Settings, report: Report) -> list[Measured]:
    loads = _workloads(group, settings)
    results = {}
    for name, load in loads.items():
        one = results[name] = _counted(name, group.baseline.name, load)
        report(f"{name}: {one.step_macs / 1e9:.1f} GMAC a step, {one.peak_bytes / 2**20:.0f} MiB")
    forwards = {f"{name}, forward": load.forward for name, load in loads.items()}
    forward = take_turns(forwards, settings.rounds, settings.device, report=report)
    forward = {name: forward[f"{name}, forward"] for name in loads}
    steps = {name: releasing(load) for name, load in loads.items()}
    step = take_turns(steps, settings.rounds, settings.device, report=report)
    base = results[group.baseline.name]
    for name, one in results.items():
        one.forward_seconds, one.step_seconds = median(forward[name]), median(step[name])
        for_forward, for_step = ratios(forward[base.name], forward[name]), ratios(step[base.name], step[name])
        one.forward_speed_up, one.forward_range = median(for_forward), (min(for_forward), max(for_forward))
        one.step_speed_up, one.step_range = median(for_step), (min(for_step), max(for_step))
        one.promised_forward = sum(base.macs.values()) / sum(one.macs.values())
        one.promised_step = base.step_macs / one.step_macs
        one.memory_ratio = one.peak_bytes / base.peak_bytes
        one.selection_seconds, one.backbone_seconds = _selection_cost(loads[name], settings)
    return list(results.values())


def _workloads(group: Group, settings: Settings) -> dict[str, Load]:
    owner = group.baseline.build()
    loads = {group.baseline.name: _workload(owner, settings)}
    for member in group.members:
        loads[member.name] = _workload(member.build(), settings, owner)
        selections = loads[member.name].selections()
        if selections and settings.baselines != "none":
            loads[f"{member.name} Random"] = _workload(random_twin(member, loads[member.name]), settings, owner)
        if selections and settings.baselines == "all":
            loads |= {one.name: _workload(one.build(), settings, owner) for one in same_cost(member, settings)}
    return loads


def _workload(model: Any, settings: Settings, owner: Any = None) -> Load:
    model.to(settings.device)
    if owner is not None:
        share_weights(model, owner)
    optimizer = adamw(model) if settings.optimizer else None
    texts = settings.texts_per_image
    batch = made_up_batch(model, settings.batch_size, settings.text_length, texts_per_image=texts)
    kind = CausalWorkload if isinstance(model, CausalVLM) else Workload
    return kind(model, settings.scope, batch, autocast=settings.autocast, optimizer=optimizer)


def _counted(name: str, baseline: str, load: Load) -> Measured:
    """Count everything that does not depend on the clock."""
    load.step()  # from here on the gradients are there, and only activations come and go
    memory = peak_bytes(load.step, load.images.device)
    step_macs = count_macs(load.step)
    load.model.zero_grad(set_to_none=True)
    return Measured(
        name,
        baseline,
        parameters=sum(p.numel() for p in load.model.parameters() if p.requires_grad),
        tokens=list(load.tokens_by_stage().values()),
        macs=count_macs_by_part(load.forward, load.parts, rest="heads"),
        step_macs=step_macs,
        peak_bytes=memory,
    )


def _selection_cost(load: Load, settings: Settings) -> tuple[float, float]:
    """Return the seconds of planning and applying selections, and of the backbone, in a forward pass of it.

    Of a causal language model: those of selections in it, and of all towers.
    """
    pairs = []
    for _ in range(settings.rounds):
        inside, whole = Stopwatch(settings.device), Stopwatch(settings.device)
        with whole.running():
            load.pass_with(inside.running)
        pairs.append((inside.seconds, whole.seconds))
    return median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)
