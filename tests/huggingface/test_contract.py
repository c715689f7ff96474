"""What holds for every family, wherever it selects; ``python -m tests.huggingface.table`` writes what was measured."""

from __future__ import annotations

import pytest

from tests.huggingface.contract import CHECKS
from tests.huggingface.contract.check import Check
from tests.huggingface.tiny import Tiny


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.title.replace(" ", "_"))
def test_every_family_holds_it(tiny: Tiny, check: Check) -> None:
    measured = check.measure(tiny)
    assert measured.worst <= check.bound, f"{check.says}: {measured.shown}"
