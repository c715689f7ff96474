"""Trainings that are asked to end, in processes of their own."""

import signal

import pytest
import torch

from bus_toolkit.engine import latest_checkpoint
from bus_toolkit.weights.run_state import read_section
from tests.engine.stopped_run import finish, screen, start, workers_left

CHECKPOINT = "bus_toolkit.AtomicCheckpointHook"


def sent(*numbers, **place):
    """Return the hook that sends signals."""
    return {"type": "bus_toolkit.SignalAt", "numbers": [int(number) for number in numbers], **place}


def saved(folder):
    return torch.load(latest_checkpoint(folder / "work"), weights_only=False)["meta"]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_signal_ends_the_step_saves_and_has_an_exit_code_of_its_own(tmp_path, workers):
    number = signal.SIGHUP if workers else signal.SIGTERM
    hook = sent(number, step=3)
    assert finish(start(tmp_path, custom_hooks=[hook], train_dataloader__num_workers=workers)) == [75]
    assert saved(tmp_path)["iter"] == 3 and saved(tmp_path)["epoch"] == 1
    last = screen(tmp_path).splitlines()[-1]
    work = tmp_path / "work"
    assert last == (
        f"WARNING Stopped by {number.name} after step 3, which is saved in {work}/epoch_1_iter_3.pth. To go on: "
        f"bus-toolkit train tiny.yaml --work-dir {work} --resume"
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


@pytest.mark.slow
def test_a_signal_in_a_validation_stops_it_and_saves_the_weights_of_the_last_step(tmp_path):
    """Not those of the average, which a validation puts in their place; a resumed training validates first."""
    every_step = {"train_cfg__val_interval": 1, "default_hooks": {"checkpoint": {"type": CHECKPOINT, "interval": 5}}}
    hooks = [sent(signal.SIGTERM, step=1, stage="val"), {"type": "bus_toolkit.EMAHook", "momentum": 0.5}]
    settings = {"val_dataloader__batch_size": 1, "custom_hooks": hooks, **every_step}
    assert finish(start(tmp_path, **settings)) == [75]
    stopped = torch.load(latest_checkpoint(tmp_path / "work"), weights_only=False)
    assert stopped["meta"]["iter"] == 2 and not read_section(stopped, "progress")["validated"]
    whole = tmp_path / "whole"
    settings["custom_hooks"] = hooks[1:]
    assert finish(start(whole, train_cfg__max_epochs=1, **{**settings, "train_cfg__val_interval": 9})) == [0]
    expected = torch.load(latest_checkpoint(whole / "work"), weights_only=False)
    assert all(torch.equal(stopped["state_dict"][name], value) for name, value in expected["state_dict"].items())


@pytest.mark.slow
def test_a_step_of_accumulated_gradients_is_finished_first(tmp_path):
    hook = sent(signal.SIGTERM, step=1)
    settings = {"optim_wrapper__accumulative_counts": 3, "train_dataloader__batch_size": 1}
    assert finish(start(tmp_path, custom_hooks=[hook], **settings)) == [75]
    assert saved(tmp_path)["iter"] == 3


@pytest.mark.slow
def test_ctrl_c_saves_too_and_a_second_one_ends_the_process_at_once(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    once = start(first, custom_hooks=[sent(signal.SIGINT, step=2)])
    twice = start(second, custom_hooks=[sent(signal.SIGINT, signal.SIGINT, step=2)])
    assert finish(once) == [130] and finish(twice) == [130]
    assert "WARNING Interrupted after step 2, which is saved in " in screen(first) and saved(first)["iter"] == 2
    assert "Interrupted" not in screen(second) and latest_checkpoint(second / "work") is None


@pytest.mark.slow
def test_a_script_that_started_the_run_finds_the_signal_in_a_note(tmp_path):
    assert finish(start(tmp_path, custom_hooks=[sent(signal.SIGUSR1, step=2)])) == [75]
    assert (tmp_path / "note").read_text() == "SIGUSR1\n"
