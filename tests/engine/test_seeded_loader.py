from __future__ import annotations

import logging
import multiprocessing

import pytest
import torch
from mmengine.dataset import DefaultSampler
from torch.utils.data import DataLoader, IterableDataset

from bus_toolkit.engine import RunOptions
from bus_toolkit.engine.data_position import DataPosition, batches_from
from bus_toolkit.engine.options import LATEST
from bus_toolkit.engine.seeded_loader import seeded_loader
from tests.engine.draws_run import DrawnPoints, draws_of_epoch, run

ITERATIONS = {"_delete_": True, "type": "IterBasedTrainLoop", "max_iters": 7, "val_interval": 100}
ENDLESS = {"type": "InfiniteSampler", "shuffle": True}


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """Two epochs of three steps, read by the process that trains."""
    return run(tmp_path_factory.mktemp("straight"))


@pytest.mark.slow
@pytest.mark.parametrize("persistent", [False, True])
def test_workers_draw_what_the_process_itself_draws_and_end_with_the_training(straight, tmp_path, persistent):
    others = set(multiprocessing.active_children())
    assert run(tmp_path, loader={"num_workers": 2, "persistent_workers": persistent}) == straight
    assert set(multiprocessing.active_children()) <= others


def test_workers_that_never_reach_the_end_of_their_data_end_with_the_training_too(tmp_path):
    others = set(multiprocessing.active_children())
    run(tmp_path, loader={"num_workers": 1, "sampler": ENDLESS}, train_cfg=ITERATIONS)
    assert set(multiprocessing.active_children()) <= others


def test_samples_and_masks_differ_from_epoch_to_epoch(straight):
    samples, masks = straight
    first, second = draws_of_epoch(samples, range(3)), draws_of_epoch(samples, range(3, 6))
    assert first.keys() == second.keys() == set(range(9))
    assert len({drawn for drawn in [*first.values(), *second.values()]}) == 18
    assert len({tuple(mask) for mask in masks.values()}) == 6


def test_a_resumed_run_draws_what_it_would_have_drawn(straight, tmp_path):
    run(tmp_path, train_cfg={"max_epochs": 1})
    samples, masks = run(tmp_path, options=RunOptions(resume=LATEST))
    assert samples == {key: drawn for key, drawn in straight[0].items() if key[0] >= 3}
    assert masks == {step: mask for step, mask in straight[1].items() if step >= 3}


@pytest.mark.slow
@pytest.mark.parametrize("sampler", [ENDLESS, {"type": "DefaultSampler", "shuffle": True}])
def test_a_loop_of_iterations_resumes_its_draws_in_the_middle_of_a_pass(tmp_path, sampler, monkeypatch, capfd):
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # MMEngine waits between two passes
    by_step = {
        "default_hooks": {"checkpoint": {"type": "bus_toolkit.AtomicCheckpointHook", "by_epoch": False, "interval": 4}}
    }
    loader = {"sampler": sampler}
    samples, masks = run(tmp_path / "straight", loader=loader, train_cfg=ITERATIONS, **by_step)
    assert run(tmp_path / "w", loader={**loader, "num_workers": 2}, train_cfg=ITERATIONS, **by_step) == (samples, masks)
    run(tmp_path / "cut", loader=loader, train_cfg={**ITERATIONS, "max_iters": 4}, **by_step)
    capfd.readouterr()
    rest = run(tmp_path / "cut", loader=loader, train_cfg=ITERATIONS, options=RunOptions(resume=LATEST), **by_step)
    shown = "".join(capfd.readouterr())
    assert "Fast sampler-level" not in shown and "Reach the end" not in shown
    assert len(set(samples.values())) == 21
    assert rest[0] == {key: drawn for key, drawn in samples.items() if key[0] >= 4}
    assert rest[1] == {step: mask for step, mask in masks.items() if step >= 4}


@pytest.mark.parametrize("seed", [None, 5])
def test_a_resumed_run_has_the_order_of_the_seed_in_its_checkpoint(tmp_path, seed):
    loader = {"sampler": {"type": "DefaultSampler", "shuffle": True}}
    every = {"default_hooks": {"checkpoint": {"type": "bus_toolkit.AtomicCheckpointHook", "interval": 1}}}
    chosen = {} if seed is None else {"randomness": {"seed": 4}}
    unseeded = {"randomness": {"seed": seed}}
    samples, masks = run(tmp_path, loader=loader, **every, **(chosen or unseeded))
    resumed = run(
        tmp_path, loader=loader, options=RunOptions(resume=str(tmp_path / "epoch_1.pth")), **every, **unseeded
    )
    assert resumed[0] == {key: drawn for key, drawn in samples.items() if key[0] >= 3}
    assert resumed[1] == {step: mask for step, mask in masks.items() if step >= 3}


def test_a_batch_sampler_that_makes_its_own_numbers_draws_afresh_each_epoch(tmp_path):
    loader = {"batch_sampler": {"type": "bus_toolkit.PlainPairs"}}
    samples, _ = run(tmp_path, loader=loader)
    assert len(set(samples.values())) == len(samples) == 16


@pytest.mark.slow
def test_two_ranks_draw_what_one_draws_and_drop_out_differently(two_ranks, tmp_path):
    settings = {"batch_size": 4}
    alone, _ = run(tmp_path / "one", loader={**settings, "dataset": {"type": "bus_toolkit.DrawnPoints", "length": 8}})
    (first, masks), (second, other_masks) = two_ranks(half, tmp_path / "two")
    assert first | second == alone
    assert masks.keys() == other_masks.keys() and all(masks[step] != other_masks[step] for step in masks)


def half(rank, folder):
    options = RunOptions(launcher="pytorch")
    loader = {"batch_size": 2, "dataset": {"type": "bus_toolkit.DrawnPoints", "length": 8}}
    return run(folder, options=options, loader=loader)


def test_a_validation_draws_the_same_each_time_and_changes_no_training(straight, tmp_path):
    assert run(tmp_path, train_cfg={"val_interval": 1}) == straight


def test_a_loader_keeps_its_settings():
    data = DrawnPoints()
    made = DataLoader(data, batch_size=2, sampler=DefaultSampler(data, seed=0), drop_last=True, num_workers=0)
    loader = seeded_loader(made, lambda: 0)
    assert (loader.batch_size, loader.drop_last, len(loader), loader.dataset.metainfo) == (2, True, 4, data.metainfo)
    assert loader.collate_fn is made.collate_fn


class Stream(IterableDataset):
    def __iter__(self):
        return (torch.rand(()).item() for _ in range(4))


def test_the_workers_of_a_stream_draw_afresh_each_pass():
    loader = seeded_loader(DataLoader(Stream(), batch_size=None, num_workers=1), lambda: 0)
    assert list(loader) != list(loader)


@pytest.mark.slow
def test_a_stream_is_read_again_up_to_its_place_and_draws_what_it_drew(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("bus_toolkit"), "propagate", True)
    loader = seeded_loader(DataLoader(Stream(), batch_size=None, num_workers=1), lambda: 0)
    whole = [list(batches_from(loader, DataPosition(number, 0), run_seed=0)) for number in range(2)]
    assert whole[0] != whole[1] and not caplog.text
    assert list(batches_from(loader, DataPosition(1, 3), run_seed=0)) == whole[1][3:]
    assert "Stream has no numbered rows, so that 3 batches are read once more and left out" in caplog.text
