"""Promises that every part keeps, whatever its kind."""

from __future__ import annotations

import pickle
from collections.abc import Sequence

import torch
from torch import Tensor

from bus_toolkit.ops.precision import at_least_float32
from bus_toolkit.testing.check import Case, Check, differ, rows
from bus_toolkit.testing.on_gpu import check_on_gpu
from bus_toolkit.testing.rounding import assert_float64, refuse_rounding


def check_deterministic(case: Case) -> None:
    """In evaluation mode the same input gives the same result, bit for bit."""
    part, inputs = case.build(), case.inputs()
    problem = differ(case.run(part, inputs), case.run(part, inputs), 0.0)
    assert not problem, f"two runs on one input: {problem}"


def check_batch_independent(case: Case) -> None:
    """A sample's result never depends on its batch mates."""
    part, inputs = case.build(), case.inputs()
    together = case.run(part, inputs)
    for row in range(3):
        alone = case.run(part, rows(inputs, [row]))
        problem = differ(alone, [result[row : row + 1] for result in together], 1e-4)
        assert not problem, f"sample {row} alone and within its batch: {problem}"


def check_input_untouched(case: Case) -> None:
    """The tensors that a part is given are not edited in place."""
    inputs = case.inputs()
    before = {name: tensor.clone() for name, tensor in inputs.items()}
    case.run(case.build(), inputs)
    edited = [name for name, tensor in inputs.items() if not torch.equal(tensor, before[name])]
    assert not edited, f"edited in place: {', '.join(edited)}"


def check_gradient(case: Case) -> None:
    """In training every trainable parameter gets a gradient, and it is finite."""
    part = case.build()
    part.train()
    results = [r for r in case.run(part, case.inputs()) if r.requires_grad]
    if not any(p.requires_grad for p in part.parameters()):
        return
    assert results, "no result carries a gradient"
    squares(results).backward()
    for name, parameter in part.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, f"parameter {name} gets no gradient"
            assert torch.isfinite(parameter.grad).all(), f"the gradient of parameter {name} is not finite"


def squares(results: Sequence[Tensor]) -> Tensor:
    """Return a scalar whose gradient reaches all that the results depend on."""
    return torch.stack([at_least_float32(result).square().mean() for result in results]).sum()


def check_half_precision(case: Case) -> None:
    """Under bfloat16 autocast results are finite."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _assert_finite(case.run(case.build(), case.inputs()), "bfloat16 autocast")


def check_float64(case: Case) -> None:
    """A part in float64 gives float64, and rounds nothing to a lower precision on the way."""
    part, inputs = case.build().double(), _floating(case.inputs(), torch.float64)
    with refuse_rounding(part):
        results = case.run(part, inputs)
    assert_float64(results)


def check_bfloat16_weights(case: Case) -> None:
    """Weights and inputs in bfloat16 work and give tokens in bfloat16."""
    results = case.run(case.build().to(torch.bfloat16), _floating(case.inputs(), torch.bfloat16))
    _assert_finite(results, "bfloat16")
    assert results[0].dtype == torch.bfloat16, f"bfloat16 went in, {results[0].dtype} came out"


def check_state_dict(case: Case) -> None:
    """A state dict holds all that a result depends on."""
    source = case.build()
    wanted = case.run(source, case.inputs())
    case.seed += 1
    try:
        target = case.build()
    finally:
        case.seed -= 1
    target.load_state_dict(source.state_dict())
    problem = differ(case.run(target, case.inputs()), wanted, 0.0)
    assert not problem, f"after loading the state dict into another one: {problem}"


def check_pickle(case: Case) -> None:
    """A part survives pickling (data-loader workers and launchers need it)."""
    part = case.build()
    copied = pickle.loads(pickle.dumps(part))
    problem = differ(case.run(copied, case.inputs()), case.run(part, case.inputs()), 0.0)
    assert not problem, f"after pickling: {problem}"


def check_compile(case: Case) -> None:
    """Captured by torch.compile a part gives the same result."""
    part, inputs = case.build(), case.inputs()
    wanted = case.run(part, inputs)
    torch._dynamo.reset()
    with torch.no_grad():
        got = case.run(torch.compile(part, backend="eager"), inputs)  # type: ignore[arg-type]
    problem = differ(got, wanted, 1e-5)
    assert not problem, f"compiled and not: {problem}"


COMMON_CHECKS: tuple[Check, ...] = (
    check_deterministic,
    check_batch_independent,
    check_input_untouched,
    check_gradient,
    check_half_precision,
    check_float64,
    check_bfloat16_weights,
    check_state_dict,
    check_pickle,
    check_compile,
    check_on_gpu,
)


def _floating(inputs: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    return {name: t.to(dtype) if t.is_floating_point() else t for name, t in inputs.items()}


def _assert_finite(results: list[Tensor], precision: str) -> None:
    for number, result in enumerate(results):
        assert torch.isfinite(result.float()).all(), f"result {number} is not finite in {precision}"
