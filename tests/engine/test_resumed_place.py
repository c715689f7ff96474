"""A run that is resumed with other batches goes on at the same row, and says what stays exact."""

from __future__ import annotations

import pytest
from mmengine.runner import EpochBasedTrainLoop

from bus_toolkit.engine import RunOptions
from bus_toolkit.errors import CheckpointError
from bus_toolkit.registry import LOOPS
from tests.engine.draws_run import run
from tests.engine.test_mid_epoch import EACH_STEP


@LOOPS.register_module(force=True)
class SomebodysLoop(EpochBasedTrainLoop):
    """A loop over epochs that is not MMEngine's own."""


def train(folder, *, resume=None, length=8, launcher="none", train_cfg=None, **loader):
    options = RunOptions(resume=None if resume is None else str(resume), launcher=launcher)
    node = {"dataset": {"type": "bus_toolkit.DrawnPoints", "length": length}, **loader}
    return run(folder, options=options, loader=node, default_hooks=EACH_STEP, train_cfg=train_cfg or {})


def by_row(samples, steps):
    """Return the draws of rows by their order, of some steps."""
    return [(row, drawn) for (step, row), drawn in samples.items() if step in steps]


@pytest.fixture
def warning(capsys):
    return lambda: " ".join(line for line in capsys.readouterr().err.splitlines() if "--resume" in line)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Two epochs of four steps of two rows."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, train(folder, batch_size=2)[0]


@pytest.mark.parametrize(("step", "first"), [(2, 4), (5, 8), (6, 12)])
def test_larger_batches_go_on_at_the_same_row(whole, tmp_path, warning, step, first):
    folder, samples = whole
    resumed, _ = train(tmp_path, resume=folder / f"iter_{step}.pth", batch_size=4)
    assert by_row(resumed, range(9)) == by_row(samples, range(first // 2, 8))
    text = warning()
    assert "Exact: the order of rows and their random changes" in text and "dropout" in text
    assert ("2 rows come again, for a batch of before ended inside one of now" in text) == (step == 5)


def test_smaller_batches_do_too(whole, tmp_path):
    folder, samples = whole
    resumed, _ = train(tmp_path, resume=folder / "iter_3.pth", batch_size=1)
    assert by_row(resumed, range(99)) == by_row(samples, range(3, 8))
    assert min(step for step, _ in resumed) == 6 and max(step for step, _ in resumed) == 15


def test_one_process_goes_on_where_two_were(whole, two_ranks, tmp_path):
    _, samples = whole
    two_ranks(on_rank, tmp_path / "two")
    resumed, _ = train(tmp_path / "one", resume=tmp_path / "two/iter_3.pth", batch_size=2)
    assert by_row(resumed, range(9)) == by_row(samples, range(3, 8))


def on_rank(rank, folder):
    return train(folder, launcher="pytorch", batch_size=1)


@pytest.mark.parametrize("length", [4, 12])
def test_data_of_another_length_end_with_the_epochs(whole, tmp_path, warning, length):
    """After 3 of 4 steps of an epoch nothing is left of one of 2 steps, and 3 of one of 6."""
    folder, _ = whole
    resumed, _ = train(tmp_path, resume=folder / "iter_3.pth", batch_size=2, length=length)
    each = length // 2
    assert sorted({step for step, _ in resumed}) == [*range(min(3, each), each), *range(each, 2 * each)]
    assert "The data have another length. Not exact: the order of rows" in warning()


def test_accumulation_says_what_it_changes(whole, tmp_path, warning):
    folder, _ = whole
    node = {"dataset": {"type": "bus_toolkit.DrawnPoints", "length": 8}, "batch_size": 2}
    run(
        tmp_path,
        options=RunOptions(resume=str(folder / "iter_2.pth")),
        loader=node,
        default_hooks=EACH_STEP,
        optim_wrapper={"accumulative_counts": 2},
    )
    assert "Exact: batches and their random numbers. Not exact: which of them share a step" in warning()


def test_batches_of_an_unknown_kind_are_refused_inside_an_epoch(tmp_path):
    train(tmp_path / "a", batch_sampler={"type": "bus_toolkit.PlainPairs"}, batch_size=2)
    with pytest.raises(CheckpointError, match="lies inside an epoch, after 2 batches, and PlainPairs does not say"):
        train(
            tmp_path / "b", resume=tmp_path / "a/iter_2.pth", batch_sampler={"type": "bus_toolkit.PlainPairs"},
            batch_size=4,
        )  # fmt: skip


def test_a_loop_of_somebody_else_is_refused_inside_an_epoch(whole, tmp_path):
    folder, _ = whole
    loop = {"type": "bus_toolkit.SomebodysLoop"}
    with pytest.raises(CheckpointError, match="SomebodysLoop begins each epoch with its first one. Use EpochBased"):
        train(tmp_path, resume=folder / "iter_2.pth", train_cfg=loop, batch_size=2)
