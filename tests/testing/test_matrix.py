"""Any two parts of different slots train together; what cannot work is refused with a reason.

All combinations take minutes; ``tools/describe.py matrix`` tries them.
"""

from __future__ import annotations

import pytest

from bus_toolkit.testing.matrix import part_names, try_combination
from bus_toolkit.testing.pairs import covering_rows


@pytest.mark.parametrize("parts", covering_rows(part_names()), ids=lambda parts: "-".join(parts.values()))
def test_every_pair_of_parts_trains(parts: dict[str, str]) -> None:
    assert try_combination(parts).problem == ""


def test_a_combination_that_cannot_work_is_refused_with_a_reason() -> None:
    cell = try_combination({"selectors": "TSPS", "backbone": "mmpretrain.ResNet"})
    assert cell.problem.startswith("refused: model.backbone") and cell.tokens == ""
