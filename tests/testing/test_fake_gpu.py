"""The GPU that is not there finds what would stop a real one, and nothing else."""

import pytest
import torch
from torch import nn

from bus_toolkit.testing.fake_gpu import fake_gpu

ONES = torch.ones(3)


def on_gpu(*shape):
    return torch.ones(*shape, device="cuda:0")


@pytest.mark.parametrize(
    ("wait", "what"),
    [
        (lambda: on_gpu(1).item(), "reads a number of the device"),
        (lambda: float(on_gpu(1)), "reads a number of the device"),
        (lambda: bool(on_gpu(2).any()), "reads a number of the device"),
        (lambda: on_gpu(2).tolist(), "reads a number|copies from the device to the CPU"),
        (lambda: on_gpu(2).cpu(), "copies from the device to the CPU"),
        (lambda: on_gpu(2).nonzero(), r"the shape of a result depends on values \(nonzero\)"),
        (lambda: on_gpu(2)[on_gpu(2) > 0], "a boolean mask as an index"),
        (lambda: on_gpu(2)[[0, 1]], "copies from the CPU to the device"),
        (lambda: on_gpu(2)[torch.arange(2)], "copies an index from the CPU"),
        (lambda: torch.equal(on_gpu(2), on_gpu(2)), "equal"),
        (lambda: ONES.to("cuda:0"), "from the CPU to the device without non_blocking=True"),
        (lambda: ONES.pin_memory().to("cuda:0"), "from the CPU to the device without non_blocking=True"),
        (lambda: ONES.to("cuda:0", non_blocking=True), "from memory that is not pinned"),
        (lambda: torch.tensor([1.0, 2.0], device="cuda:0"), "from the CPU to the device"),
        (lambda: on_gpu(3).copy_(ONES), "from the CPU to the device"),
        (lambda: torch.repeat_interleave(on_gpu(3).long()), "repeat_interleave"),
    ],
)
def test_what_waits_is_named_with_its_line(wait, what):
    with pytest.raises(AssertionError, match=f"a step waits for the GPU: it .*({what}).*test_fake_gpu.py:"):
        with fake_gpu(where="a step"):
            wait()
    with fake_gpu(may_wait=True):
        wait()


def test_what_does_not_wait_is_let_through():
    with fake_gpu():
        values = on_gpu(3)
        values[0] = 5.0
        ONES.pin_memory().to("cuda:0", non_blocking=True)
        torch.where(values > 1, values, ONES.sum())  # a number of the CPU is an argument, no copy
        values[torch.arange(2, device="cuda:0")].masked_fill(values[:2] > 0, 0.0)
        assert float(ONES.sum()) == 3.0  # the CPU computes what it is given


def test_devices_and_types_that_do_not_fit_are_refused():
    with pytest.raises(RuntimeError, match="device"), fake_gpu():
        on_gpu(3) + ONES
    with pytest.raises(RuntimeError, match="mm: types are mixed: float32 and bfloat16"), fake_gpu():
        on_gpu(3, 3) @ on_gpu(3, 3).bfloat16()


def test_autocast_casts_there():
    with fake_gpu(torch.bfloat16) as gpu, gpu.autocast():
        assert (on_gpu(3, 3) @ on_gpu(3, 3)).dtype == torch.bfloat16
    assert not torch.is_autocast_enabled("cuda")


class Twice(torch.autograd.Function):
    """A function of Python in the graph."""

    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, gradient):
        return 2 * gradient


def test_backward_gives_each_parameter_a_gradient_of_its_shape_and_type():
    with fake_gpu(torch.bfloat16) as gpu, gpu.autocast():
        model = gpu.module(nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2), nn.Linear(3, 2)))
        model[2].weight = model[1].weight
        hidden = Twice.apply(model[0](on_gpu(5, 4)))
        (model[1](hidden).sum() + model[2](hidden).float().square().mean()).backward()
    for parameter in model.parameters():
        assert parameter.grad.shape == parameter.shape and parameter.grad.dtype == torch.float32


def test_gradients_of_inputs_are_returned():
    with fake_gpu() as gpu:
        layer, x = gpu.module(nn.Linear(4, 3)), on_gpu(5, 4).requires_grad_()
        hidden = layer(x)
        of_hidden, of_x, unused = torch.autograd.grad(
            hidden.square().sum(), [hidden, x, on_gpu(1).requires_grad_()], allow_unused=True
        )
    assert (of_hidden.shape, of_x.shape, unused, layer.weight.grad) == ((5, 3), (5, 4), None, None)


def test_weights_that_are_shared_stay_so():
    model = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    model[1].weight = model[0].weight
    with fake_gpu() as gpu:
        gpu.module(model)
    assert model[1].weight is model[0].weight and model[0].weight.is_cuda
