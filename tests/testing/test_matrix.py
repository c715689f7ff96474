"""Every selector trains with every decoder, backbone and fusion; what cannot work is refused with a reason."""

from __future__ import annotations

import pytest

from bus_toolkit.registry import REGISTRIES
from bus_toolkit.testing.matrix import _tried, swap_matrix


@pytest.mark.slow
def test_every_combination_trains() -> None:
    cells = list(swap_matrix())
    selectors, decoders = len(REGISTRIES.selectors.names()), len(REGISTRIES.decoders.names())
    backbones, fusions = 1 + len(REGISTRIES.backbones.names()), len(REGISTRIES.fusions.names())
    assert len(cells) == selectors * (decoders + backbones * fusions)
    assert [cell for cell in cells if cell.problem] == []


def test_a_combination_that_cannot_work_is_refused_with_a_reason() -> None:
    cell = _tried({"selectors": "TSPS", "backbone": "mmpretrain.ResNet"})
    assert cell.problem.startswith("refused: model.backbone") and cell.tokens == ""
