"""What all heads share."""

from __future__ import annotations

import math

import pytest

from bus_toolkit.heads.itm import ITMHead


@pytest.mark.parametrize("kwargs", [{"weight": -1.0}, {"start_epoch": -0.5}, {"weight": math.inf}])
def test_a_negative_or_infinite_weight_or_start_is_refused(kwargs: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"^{next(iter(kwargs))}: must be 0 or more, and finite, got "):
        ITMHead(text_dim=8, **kwargs)
