"""Copies that nothing waits for."""

import torch

from bus_toolkit.ops.to_device import on_one_device, to_device
from bus_toolkit.testing.fake_gpu import fake_gpu


def test_on_the_cpu_it_is_the_tensor_itself():
    tensor = torch.arange(3)
    assert to_device(tensor, "cpu") is tensor


def test_a_copy_to_a_gpu_is_not_waited_for():
    with fake_gpu(where="copying"):
        assert str(to_device(torch.arange(3), "cuda:0").device) == "cuda:0"


def test_a_batch_of_which_a_part_is_on_a_gpu_goes_there():
    with fake_gpu(where="copying"):
        mixed = on_one_device([torch.ones(2), torch.ones(1, device="cuda:0")])
    assert [str(one.device) for one in mixed] == ["cuda:0", "cuda:0"]
