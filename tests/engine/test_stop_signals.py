"""Trainings that are asked to end, in processes of their own."""

import signal

import pytest
import torch

from bus_toolkit.engine import latest_checkpoint
from tests.engine.stopped_run import finish, screen, start, workers_left


def sent(*numbers, **place):
    """Return the hook that sends signals."""
    return {"type": "bus_toolkit.SignalAt", "numbers": [int(number) for number in numbers], **place}


def saved(folder):
    return torch.load(latest_checkpoint(folder / "work"), weights_only=False)["meta"]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_signal_ends_the_step_saves_and_has_an_exit_code_of_its_own(tmp_path, workers):
    hook = sent(signal.SIGTERM, step=3)
    assert finish(start(tmp_path, custom_hooks=[hook], train_dataloader__num_workers=workers)) == [75]
    assert saved(tmp_path)["iter"] == 3 and saved(tmp_path)["epoch"] == 1
    last = screen(tmp_path).splitlines()[-1]
    work = tmp_path / "work"
    assert last == (
        f"WARNING Stopped by SIGTERM after step 3, which is saved in {work}/epoch_1_iter_3.pth. To go on: bus-toolkit "
        f"train tiny.yaml --work-dir {work} --resume"
    )
    assert workers_left(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_signal_to_one_rank_stops_all_ranks_at_the_same_step(tmp_path, workers):
    hook = sent(signal.SIGUSR1, step=2, rank=1)
    settings = {"train_cfg__max_epochs": 9, "train_dataloader__batch_size": 1, "custom_hooks": [hook]}
    assert finish(start(tmp_path, 2, train_dataloader__num_workers=workers, **settings)) == [75, 75]
    steps = [(tmp_path / f"last_step_{rank}").read_text() for rank in range(2)]
    assert steps == [str(saved(tmp_path)["iter"])] * 2 and steps[0] in ("3", "4")
    assert "SIGUSR1" in screen(tmp_path) and "WARNING" not in screen(tmp_path, 1)
