"""Figures of a step wait on the device until somebody reads the history."""

import pytest
import torch
from mmengine.logging import MessageHub

from bus_toolkit.engine.late_scalars import read_late
from bus_toolkit.testing.fake_gpu import fake_gpu


class OnDevice(torch.Tensor):
    """A number that says it lies on a GPU."""

    device = torch.device("cuda:0")


@pytest.fixture
def hub():
    return read_late(MessageHub("test_late_scalars"))


def on_device(value):
    return torch.tensor(value).as_subclass(OnDevice)


def test_a_gpu_is_not_waited_for_until_a_figure_is_read(hub):
    with fake_gpu(where="logging"):
        for _ in range(3):
            hub.update_scalar("train/loss", torch.ones((), device="cuda:0"))
            hub.update_scalar("train/time", 1.0)
            assert hub.get_scalar("train/time").current() == 1.0  # as MMEngine's timer asks at each step
    with pytest.raises(AssertionError, match="reading waits for the GPU"), fake_gpu(where="reading"):
        hub.update_scalar("train/loss", torch.ones((), device="cuda:0"))
        hub.get_scalar("train/loss")


def test_what_is_read_is_what_came_in_its_order(hub):
    plain = MessageHub("test_late_scalars_plain")
    for step in range(4):
        late = float(step) / 3.0
        hub.update_scalar("train/loss", on_device(late))
        hub.update_scalar("train/count", on_device(step))
        plain.update_scalar("train/loss", torch.tensor(late))
        plain.update_scalar("train/count", torch.tensor(step))
    hub.update_scalar("train/loss", 7.0)  # one that is on the CPU comes after those before it
    plain.update_scalar("train/loss", 7.0)
    for key in ("train/loss", "train/count"):
        assert hub.get_scalar(key).data[0].tolist() == plain.get_scalar(key).data[0].tolist()


def test_a_checkpoint_and_the_log_hold_the_latest(hub):
    hub.update_scalar("train/loss", on_device(1.0))
    assert hub.state_dict()["log_scalars"]["train/loss"].current() == 1.0
    hub.update_scalar("train/loss", on_device(2.0))
    assert hub.log_scalars["train/loss"].current() == 2.0


def test_a_key_that_is_not_there_is_an_error(hub):
    with pytest.raises(KeyError):
        hub.get_scalar("train/none")
