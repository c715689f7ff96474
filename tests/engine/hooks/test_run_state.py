"""What a run holds beside its weights goes on in a resumed one: random states, bad samples, states of hooks."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper

from bus_toolkit.data.datasets.bad_samples import BadSample, BadSampleCounter, TooManyBadSamples
from bus_toolkit.engine import RunOptions, build_runner, load_checkpoint_file
from bus_toolkit.engine.generator_states import generator_states, set_generator_states
from bus_toolkit.engine.hooks.learning_faults import LearningFaultsHook
from bus_toolkit.engine.hooks.progress import LossMeans
from bus_toolkit.engine.hooks.run_state import RunStateHook, counters
from bus_toolkit.registry import DATASETS
from bus_toolkit.weights.run_state import read_section
from tests.engine.tiny_run import TinyPoints, tiny_config

EACH_EPOCH = {"checkpoint": {"type": "bus_toolkit.AtomicCheckpointHook", "interval": 1, "max_keep_ckpts": -1}}


@DATASETS.register_module(force=True)
class PointsWithFaults(TinyPoints):
    """Some of its rows cannot be read."""

    def __init__(self, faults=(), limit=9):
        super().__init__()
        self.faults, self.bad = set(faults), BadSampleCounter(8, limit, "Points")

    def __getitem__(self, index):
        if index in self.faults:
            self.bad.add(index, BadSample(f"{index}.jpg", "broken"))
        return super().__getitem__(index)


class DrawsBeforeEpochs(Hook):
    """Somebody's hook, which draws between two steps and keeps a count."""

    def __init__(self):
        self.drawn, self.epochs = {}, 0

    def before_train_epoch(self, runner):
        self.epochs += 1
        self.drawn[runner.epoch] = (random.random(), np.random.normal(), torch.rand(()).item())

    def state_dict(self):
        return {"epochs": self.epochs}

    def load_state_dict(self, state):
        self.epochs = state["epochs"]


def train(folder, resume=None, *, launcher="none", epochs=3, **dataset):
    cfg = tiny_config(folder, max_epochs=epochs)
    cfg.default_hooks = EACH_EPOCH
    if dataset:
        cfg.train_dataloader.dataset = {"type": "bus_toolkit.PointsWithFaults", **dataset}
    runner = build_runner(cfg, RunOptions(resume=None if resume is None else str(resume), launcher=launcher))
    hook = DrawsBeforeEpochs()
    runner.register_hook(hook)
    runner.train()
    return runner, hook


def test_what_draws_between_steps_draws_on(tmp_path):
    _, whole = train(tmp_path / "whole")
    _, resumed = train(tmp_path / "rest", tmp_path / "whole/epoch_1.pth")
    assert resumed.drawn == {epoch: whole.drawn[epoch] for epoch in (1, 2)}
    assert len(set(whole.drawn.values())) == 3


def test_a_hook_with_a_state_goes_on(tmp_path):
    train(tmp_path / "whole")
    _, resumed = train(tmp_path / "rest", tmp_path / "whole/epoch_2.pth")
    assert resumed.epochs == 3


def test_states_of_generators_come_back():
    def draw():
        return random.gauss(0, 1), np.random.normal(), torch.rand(2).tolist()

    draw()  # a normal number is left in the generators of Python and NumPy
    states = generator_states()
    drawn = draw()
    set_generator_states(states)
    assert draw() == drawn


def test_bad_samples_of_a_run_count_when_it_is_resumed(tmp_path):
    train(tmp_path / "whole", epochs=1, faults=[1, 2])
    held = load_checkpoint_file(tmp_path / "whole/epoch_1.pth")
    assert read_section(held, "bad_samples") == [{"name": "Points", "size": 8, "rows": [1, 2]}]
    with pytest.raises(TooManyBadSamples, match="Points: 3 bad samples, the limit is 2"):
        train(tmp_path / "rest", tmp_path / "whole/epoch_1.pth", faults=[5], limit=2)
    train(tmp_path / "other", faults=[5], limit=2)


def test_processes_share_their_bad_samples(two_ranks, tmp_path):
    first, second = two_ranks(count_on_rank, tmp_path)
    assert first == second == [0, 1, 2, 3]
    errors = two_ranks(fail_on_rank, tmp_path)
    assert all("4 bad samples in all processes together, the limit is 3" in error for error in errors)


def count_on_rank(rank, folder):
    runner, _ = train(folder, launcher="pytorch", epochs=1, faults=[0, 1, 2, 3])
    return counters(runner.train_dataloader.dataset)[0].rows


def fail_on_rank(rank, folder):
    try:
        train(folder, launcher="pytorch", epochs=1, faults=[0, 1, 2, 3], limit=3)
    except TooManyBadSamples as error:
        return str(error)


def test_every_hook_with_a_state_is_saved_by_its_name(tmp_path):
    runner, hook = train(tmp_path, epochs=1)
    held = read_section(load_checkpoint_file(tmp_path / "epoch_1.pth"), "hooks")
    assert held["DrawsBeforeEpochs"] == {"epochs": 1} and "LearningFaultsHook" in held
    assert [type(one) for one in runner.hooks].count(RunStateHook) == 1


def test_steps_without_finite_losses_go_on_counting():
    first, second = LearningFaultsHook(), LearningFaultsHook()
    optimizer = OptimWrapper(torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1))
    for step in range(3):
        first._faulty.add(step, {"loss": torch.tensor(torch.nan)}, optimizer, None)
    second.load_state_dict(first.state_dict())
    second._faulty.add(3, {"loss": torch.tensor(torch.nan)}, optimizer, None)
    assert second._faulty.counts() == (4, 4)


def test_the_mean_of_a_line_spans_a_resume():
    first, second = LossMeans(), LossMeans()
    first.add({"loss": torch.tensor(2.0)})
    second.set_state(first.state())
    second.add({"loss": torch.tensor(4.0)})
    assert second.read() == {"loss": 3.0}
