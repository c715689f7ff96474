"""Measure reductions of a model beside what they have to beat, in rounds that each run all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from bus_toolkit.analysis.benchmark.memory import peak_bytes
from bus_toolkit.analysis.benchmark.timing import ratios, turns
from bus_toolkit.vlm_benchmark.arms import UNPRUNED, Arm, baselines, num_kept, unreduced
from bus_toolkit.vlm_benchmark.counting import AnswerMacs, count_answer
from bus_toolkit.vlm_benchmark.generation import Answer, SelectionClock, answer
from bus_toolkit.vlm_benchmark.made_up_inputs import Size, image_frame, made_up_inputs
from bus_toolkit.vlm_benchmark.plan import Plan
from bus_toolkit.vlm_benchmark.results import Measured, Settings, Spread


@torch.no_grad()
def measure(model: Any, plan: Plan, size: Size, batch_size: int, settings: Settings) -> list[Measured]:
    """Measure all arms of a plan on one kind of batch: the model as it is first, baselines last.

    Args:
        model: On its device.
        plan: What to measure.
        size: Of the images.
        batch_size: Prompts.
        settings: How.

    Raises:
        ConfigError: Images that the model does not read.
        ComponentError: A reduction that the model does not take.
    """
    work = _Work(model, plan, batch_size, settings)
    arms = unreduced(size) + [Arm(name, size, arguments) for name, arguments in plan.arms.items()]
    counted = {arm.name: work.count(arm) for arm in arms}
    for arm in work.baselines:
        if arm.name not in counted:
            arms.append(arm)
            counted[arm.name] = work.count(arm)
    runs = work.take_turns(arms)
    base = runs[UNPRUNED]
    return [work.result(arm, counted[arm.name], counted[UNPRUNED].macs, runs[arm.name], base) for arm in arms]


@dataclass(frozen=True)
class _Counted:
    """What does not depend on the clock."""

    macs: AnswerMacs
    kept: tuple[float, int]
    peak: int


@dataclass
class _Runs:
    """The answers of an arm, round by round, and what their selections took."""

    answers: list[Answer] = field(default_factory=list)
    selection: list[float] = field(default_factory=list)

    def first(self) -> list[float]:
        return [one.first_seconds for one in self.answers]

    def later(self) -> list[float]:
        return [one.later_seconds for one in self.answers]

    def whole(self) -> list[float]:
        return [one.seconds for one in self.answers]


class _Work:
    """Batches of a model; ``baselines`` collects those of all arms that are counted."""

    def __init__(self, model: Any, plan: Plan, batch_size: int, settings: Settings) -> None:
        self._model, self._plan, self._batch_size, self._settings = model, plan, batch_size, settings
        self._inputs: dict[Size, Mapping[str, Tensor]] = {}
        self.baselines: list[Arm] = []

    def count(self, arm: Arm) -> _Counted:
        inputs, planned = self._of(arm), arm.name in self._plan.arms
        rows, columns = image_frame(self._model).grid(arm.image_size)
        kept = (float(rows * columns), rows * columns)
        with arm.in_place(self._model) as reduction:
            macs = count_answer(self._model, inputs, self._settings.new_tokens, reduction)
            if reduction is not None:
                kept = num_kept(reduction)
                self.baselines += baselines(arm, reduction, self._model) if planned else []
            peak = peak_bytes(lambda: answer(self._model, inputs, 2), self._settings.device)
        return _Counted(macs, kept, peak)

    def take_turns(self, arms: Sequence[Arm]) -> dict[str, _Runs]:
        by_name = {arm.name: arm for arm in arms}
        runs = {name: _Runs() for name in by_name}
        clock = SelectionClock(self._settings.device)
        for number, name in turns(list(by_name), self._settings.rounds):
            arm, inputs = by_name[name], self._of(by_name[name])
            with arm.in_place(self._model, clock.running):
                given = answer(self._model, inputs, self._settings.new_tokens)
            selection = clock.take()
            if number >= 0:
                runs[name].answers.append(given)
                runs[name].selection.append(selection)
        return runs

    def result(self, arm: Arm, counted: _Counted, promise: AnswerMacs, runs: _Runs, base: _Runs) -> Measured:
        num_new, batch = self._settings.new_tokens, self._batch_size
        rows, columns = image_frame(self._model).grid(arm.image_size)
        return Measured(
            arm.name,
            arm.image_size,
            batch,
            rows * columns,
            *counted.kept,
            first_seconds=Spread.of(runs.first()),
            later_rate=Spread.of([batch * (num_new - 1) / seconds for seconds in runs.later()]),
            seconds=Spread.of(runs.whole()),
            first_speed_up=Spread.of(ratios(base.first(), runs.first())),
            later_speed_up=Spread.of(ratios(base.later(), runs.later())),
            speed_up=Spread.of(ratios(base.whole(), runs.whole())),
            promised_first=promise.prefill / counted.macs.prefill,
            promised=promise.of_answer(num_new) / counted.macs.of_answer(num_new),
            selection_share=Spread.of([a / b for a, b in zip(runs.selection, runs.first(), strict=True)]),
            cache_bytes=runs.answers[-1].cache_bytes,
            peak_bytes=counted.peak,
            macs=counted.macs,
        )

    def _of(self, arm: Arm) -> Mapping[str, Tensor]:
        size = arm.image_size
        if size not in self._inputs:
            self._inputs[size] = made_up_inputs(self._model, size, self._plan.prompt_length, self._batch_size)
        return self._inputs[size]
