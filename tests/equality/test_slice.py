"""A few steps of the equality table; ``python -m tests.equality`` prints all of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.conftest import TwoRanks
from tests.equality.cases import CASES
from tests.equality.training import trained

STEPS = 4
SLICE = CASES[-2:]


def trainings_of_rank(rank: int) -> list[Any]:
    return [trained(case, wrapper, torch.float64, STEPS) for case in SLICE for wrapper in ("ddp", "fsdp2")]


@pytest.mark.slow
def test_two_ranks_train_what_one_process_does(two_ranks: TwoRanks) -> None:
    found = iter(two_ranks(trainings_of_rank)[0])
    for case in SLICE:
        expected = trained(case, "none", torch.float64, STEPS)
        for wrapper in ("ddp", "fsdp2"):
            got = next(found)
            for one, other in zip(got.losses, expected.losses, strict=True):
                assert one == pytest.approx(other, abs=1e-9), (case.name, wrapper)
            assert got.state.keys() == expected.state.keys()
            for name, value in expected.state.items():
                text = f"{case.name}, {wrapper}: {name}"
                torch.testing.assert_close(got.state[name], value, atol=1e-7, rtol=1e-7, msg=text)
