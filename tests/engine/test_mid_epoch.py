"""A training that is resumed inside an epoch goes on at its next batch, and reads nothing that it has used."""

from __future__ import annotations

import pytest
import torch
from mmengine.hooks import Hook
from torch.utils.data import IterableDataset, Sampler

from bus_toolkit.engine import RunOptions, build_runner, load_checkpoint_file
from bus_toolkit.engine.options import LATEST
from bus_toolkit.registry import DATA_SAMPLERS, DATASETS, HOOKS
from bus_toolkit.weights.run_state import KEY
from tests.engine.draws_run import DrawnPoints, run
from tests.engine.interrupted_run import differences
from tests.engine.tiny_run import tiny_config

EACH_STEP = {"checkpoint": {"type": "bus_toolkit.AtomicCheckpointHook", "by_epoch": False, "interval": 1}}
ITERATIONS = {"_delete_": True, "type": "IterBasedTrainLoop", "max_iters": 6, "val_interval": 100}
RATES = [{"type": "MultiStepLR", "milestones": [1, 2], "by_epoch": True}]
READ = torch.zeros(9, dtype=torch.int64).share_memory_()


@DATASETS.register_module(force=True)
class CountedPoints(DrawnPoints):
    """It notes in the memory of all workers how often a row is read."""

    def __getitem__(self, index):
        READ[index] += 1
        return super().__getitem__(index)


@DATA_SAMPLERS.register_module(force=True)
class DrawnOrder(Sampler[int]):
    """Somebody's sampler, which draws its order from torch's global generator whenever a pass begins."""

    def __init__(self, dataset, seed=None):
        self.dataset = dataset

    def __len__(self):
        return len(self.dataset)

    def __iter__(self):
        yield from torch.randperm(len(self.dataset)).tolist()


@DATASETS.register_module(force=True)
class ShortStream(IterableDataset):
    """A stream that gives other than as many points as it says."""

    def __init__(self, said: int, given: int) -> None:
        self.said, self.given = said, given

    def __len__(self) -> int:
        return self.said

    def __iter__(self):
        for index in range(self.given):
            yield {"inputs": torch.full((4,), float(index)), "data_samples": index}


@HOOKS.register_module(force=True)
class NotesBatches(Hook):
    """It notes the numbers of batches, and validations."""

    seen: list[tuple[int, int] | str] = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.seen.append((runner.epoch, batch_idx))

    def before_val(self, runner):
        self.seen.append("validation")


def train(folder, *, resume=None, loader=None, loop=None, **more):
    """Return the draws and masks of a run of two epochs of three steps, and its last checkpoint."""
    options = None if resume is None else RunOptions(resume=str(resume))
    node = {"dataset": {"type": "bus_toolkit.CountedPoints"}, **(loader or {})}
    settings = {"default_hooks": EACH_STEP, "param_scheduler": RATES, **({"train_cfg": loop} if loop else {}), **more}
    samples, masks = run(folder, options=options, loader=node, **settings)
    return samples, masks, load_checkpoint_file(folder / "iter_6.pth")


def rest(whole, step):
    return tuple({key: value for key, value in one.items() if (key if one is whole[1] else key[0]) >= step}
                 for one in whole[:2])  # fmt: skip


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    folder = tmp_path_factory.mktemp("straight")
    return folder, train(folder)


@pytest.mark.parametrize(
    ("step", "workers", "persistent"),
    [(1, 0, False), (2, 2, True), (3, 0, False), (4, 2, False), (5, 0, False)],
)
def test_an_epoch_goes_on_at_its_next_batch(straight, tmp_path, step, workers, persistent):
    folder, whole = straight
    READ.zero_()
    loader = {"num_workers": workers, "persistent_workers": persistent}
    resumed = train(tmp_path, resume=folder / f"iter_{step}.pth", loader=loader)
    assert resumed[:2] == rest(whole, step)
    assert differences(whole[2], resumed[2]) == []
    assert int(READ.sum()) == 3 * (6 - step), "what was used is not read"


def test_a_training_may_be_interrupted_twice_in_one_epoch(straight, tmp_path):
    folder, whole = straight
    first = train(tmp_path / "a", resume=folder / "iter_1.pth")
    second = train(tmp_path / "b", resume=tmp_path / "a/iter_2.pth")
    assert first[:2] == rest(whole, 1) and second[:2] == rest(whole, 2)
    assert differences(whole[2], second[2]) == []


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["DefaultSampler", "InfiniteSampler", "bus_toolkit.DrawnOrder"])
@pytest.mark.parametrize("step", [2, 3, 4])
def test_a_loop_of_iterations_goes_on_at_its_next_batch(tmp_path, sampler, step):
    loader = {"sampler": {"_delete_": True, "type": sampler}}
    whole = train(tmp_path / "whole", loader=loader, loop=ITERATIONS)
    READ.zero_()
    loader["num_workers"] = 2
    resumed = train(tmp_path / "rest", resume=tmp_path / f"whole/iter_{step}.pth", loader=loader, loop=ITERATIONS)
    assert resumed[:2] == rest(whole, step)
    if sampler != "InfiniteSampler":
        assert int(READ.sum()) == 3 * (6 - step)  # one without end is read ahead


@pytest.mark.parametrize("node", [{"sampler": {"_delete_": True, "type": "bus_toolkit.DrawnOrder"}},
                                  {"batch_sampler": {"type": "bus_toolkit.PlainPairs"}}])  # fmt: skip
def test_samplers_of_others_go_on_too(tmp_path, node):
    whole = train(tmp_path / "whole", loader=node)
    resumed = train(tmp_path / "rest", resume=tmp_path / "whole/iter_2.pth", loader=node)
    assert resumed[:2] == rest(whole, 2)


def test_hooks_get_the_numbers_of_batches_and_no_validation_comes_again(straight, tmp_path):
    folder, _ = straight
    NotesBatches.seen.clear()
    more = {"train_cfg": {"val_interval": 1}, "custom_hooks": [{"type": "bus_toolkit.NotesBatches"}]}
    train(tmp_path, resume=folder / "iter_4.pth", **more)
    assert NotesBatches.seen == [(1, 1), (1, 2), "validation"]
    NotesBatches.seen.clear()
    train(tmp_path, resume=folder / "iter_3.pth", **more)
    assert NotesBatches.seen == ["validation", (1, 0), (1, 1), (1, 2), "validation"]


def test_a_checkpoint_of_an_earlier_version_goes_on_by_its_iterations(straight, tmp_path):
    folder, whole = straight
    held = torch.load(folder / "iter_4.pth", weights_only=False)
    assert held["meta"][KEY].pop("position") == {"passes": 1, "batches": 1, "rows": 3}
    torch.save(held, tmp_path / "iter_4.pth")
    assert train(tmp_path, resume=LATEST)[:2] == rest(whole, 4)


def stream(folder, said, given, resume=None):
    """Return the steps of a training over a stream that says it has ``said`` batches of 4, and its Runner."""
    cfg = tiny_config(folder)
    loader = {"type": "bus_toolkit.ShortStream", "said": 4 * said, "given": 4 * given}
    cfg.train_dataloader.dataset, cfg.train_dataloader.sampler = loader, None
    cfg.default_hooks, cfg.custom_hooks = EACH_STEP, [{"type": "bus_toolkit.NotesBatches"}]
    NotesBatches.seen.clear()
    runner = build_runner(cfg, RunOptions(resume=resume))
    runner.train()
    return list(NotesBatches.seen), runner


def test_a_stream_of_another_length_than_it_says_is_warned_of_once(tmp_path, capsys):
    seen, _ = stream(tmp_path, said=3, given=2)
    assert seen == [(0, 0), (0, 1), (1, 0), (1, 1), "validation"]
    shown = capsys.readouterr().err
    assert shown.count("epoch 1 had 2 batches, and its length says 3") == 1 and "epoch 2 had" not in shown


def test_a_stream_that_has_become_shorter_than_what_was_used_goes_on_with_the_next_epoch(tmp_path, capsys):
    stream(tmp_path / "whole", said=4, given=4)
    seen, runner = stream(tmp_path / "rest", said=2, given=2, resume=str(tmp_path / "whole/iter_3.pth"))
    assert seen == [(1, 0), (1, 1), "validation"] and runner.iter == runner.max_iters == 4
    assert "its length says" not in capsys.readouterr().err
