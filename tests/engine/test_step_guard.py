"""Steps that are left out: nothing moves, nothing else changes, and all ranks decide alike."""

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from bus_toolkit.engine import CPUAmpOptimWrapper
from bus_toolkit.engine.hooks.optimizer_steps import StepListener
from bus_toolkit.engine.step_guard import _clear_if, guard_steps
from bus_toolkit.testing.fake_gpu import fake_gpu

WRAPPERS = {
    "plain": (OptimWrapper, {}),
    "clipped": (OptimWrapper, {"clip_grad": {"max_norm": 0.5}}),
    "clipped by value": (OptimWrapper, {"clip_grad": {"type": "value", "clip_value": 0.1}}),
    "accumulated": (OptimWrapper, {"accumulative_counts": 2}),
    "bfloat16": (CPUAmpOptimWrapper, {"dtype": "bfloat16"}),
    "float16": (CPUAmpOptimWrapper, {"dtype": "float16"}),
    "float16, clipped": (CPUAmpOptimWrapper, {"dtype": "float16", "clip_grad": {"max_norm": 0.5}}),
}
OPTIMIZERS = {
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.1),
    "fused": lambda p: torch.optim.AdamW(p, lr=0.1, fused=True),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1),
}


def training(wrapper, optimizer, *, guarded=True):
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    kind, settings = WRAPPERS[wrapper]
    settings = {key: dict(value) if isinstance(value, dict) else value for key, value in settings.items()}
    built = kind(optimizer=OPTIMIZERS[optimizer](model.parameters()), **settings)
    if guarded:
        guard_steps(built)
    return model, built


def step(model, wrapper, seed, factor=1.0):
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(seed))
    with wrapper.optim_context(model):
        loss = model(x).float().pow(2).mean() * factor
    wrapper.update_params(loss)


def state(model, wrapper):
    moments = wrapper.optimizer.state_dict()["state"]
    values = [tensor for one in moments.values() for tensor in one.values() if isinstance(tensor, torch.Tensor)]
    return [tensor.clone() for tensor in [*model.parameters(), *values]]


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_finite_steps_are_those_without_the_guard_to_the_last_bit(wrapper, optimizer):
    runs = [training(wrapper, optimizer, guarded=guarded) for guarded in (True, False)]
    for model, built in runs:
        for seed in range(6):
            step(model, built, seed)
    assert all(torch.equal(a, b) for a, b in zip(*(state(*run) for run in runs), strict=True))


@pytest.mark.parametrize("factor", [float("nan"), float("inf")])
@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_step_that_is_not_finite_changes_neither_weights_nor_moments(wrapper, optimizer, factor):
    model, built = training(wrapper, optimizer)
    listener = StepListener()
    listener.listen(built)
    for seed in range(2):
        step(model, built, seed)
    before, stepped = state(model, built), listener.take()
    step(model, built, 2, factor)
    if wrapper == "accumulated":
        assert built.found is None
        step(model, built, 3)  # what the first batch has met is left in the sum
    assert stepped and not listener.take() and bool(built.found) and not bool(built.loss_is_finite)
    assert all(torch.equal(a, b) for a, b in zip(before, state(model, built), strict=True))
    for seed in range(4, 6):
        step(model, built, seed)
    assert not bool(built.found) and not torch.equal(before[0], model.weight)
    assert model.weight.isfinite().all()


class BrokenGradient(torch.autograd.Function):
    """A finite value with a gradient of NaN."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad * float("nan")


def test_a_finite_loss_with_a_broken_gradient_is_left_out_too():
    model, built = training("plain", "adamw")
    before = state(model, built)
    built.update_params(BrokenGradient.apply(model(torch.ones(1, 3))).sum())
    assert bool(built.found) and bool(built.loss_is_finite)
    assert all(torch.equal(a, b) for a, b in zip(before, state(model, built), strict=True))


def test_the_norm_is_that_of_all_gradients_before_they_are_clipped():
    model, built = training("clipped", "adamw")
    built.update_params(model(torch.ones(1, 3)).sum())  # 6 weights and 2 biases, each with a gradient of 1
    assert float(built.norm) == pytest.approx(8**0.5)
    model, built = training("plain", "adamw")
    built.update_params(model(torch.ones(1, 3)).sum())
    assert float(built.norm) == pytest.approx(8**0.5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_gradients_become_0_or_stay_to_the_last_bit(dtype):
    gradient = torch.tensor([[float("nan"), -float("inf"), 1e-40], [-0.0, 1.5, -3.25]], dtype=dtype).T
    kept, cleared = gradient.clone(), [gradient.clone(), torch.full((2,), float("nan"))]
    _clear_if(torch.tensor(False), [kept])
    assert torch.equal(kept.contiguous().view(torch.uint8), gradient.contiguous().view(torch.uint8))
    _clear_if(torch.tensor(True), cleared)
    assert all((one == 0).all() for one in cleared)


def test_a_sparse_gradient_becomes_0_too():
    gradient = torch.sparse_coo_tensor([[0, 2]], [float("nan"), 1.0], (3,)).coalesce()
    _clear_if(torch.tensor(True), [gradient])
    assert gradient.to_dense().tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_on_a_gpu_never_waits_for_it(name):
    with fake_gpu() as gpu:
        model = gpu.module(nn.Linear(3, 2))
        built = OptimWrapper(optimizer=OPTIMIZERS[name](model.parameters()), clip_grad={"max_norm": 0.5})
        guard_steps(built)
        for _ in range(2):
            built.update_params(model(torch.ones(1, 3, device="cuda:0")).sum())
    assert str(built.found.device) == str(built.loss_is_finite.device) == "cuda:0"


def weights_of_rank(rank, broken):
    torch.manual_seed(0)
    inner = nn.Linear(3, 2)
    model = DistributedDataParallel(inner)
    built = OptimWrapper(optimizer=torch.optim.AdamW(model.parameters(), lr=0.1), accumulative_counts=2)
    guard_steps(built)
    for number in range(6):
        step(model, built, 10 * number + rank, float("nan") if (rank, number) == broken else 1.0)
    own = [bool(built.loss_is_finite), bool(built.found)]
    return inner.weight.flatten().tolist(), own


def test_all_ranks_leave_out_the_step_in_which_one_met_nan(two_ranks):
    (first, own), (second, other) = two_ranks(weights_of_rank, (1, 4))  # the first batch of the third step
    assert first == second and own == [True, True] and other == [False, True]
    (whole, _), _ = two_ranks(weights_of_rank, None)
    assert first != whole and all(map(torch.isfinite, torch.tensor(first)))
