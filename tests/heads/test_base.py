"""What all heads share."""

from __future__ import annotations

import pytest

from bus_toolkit.heads.itm import ITMHead


@pytest.mark.parametrize("kwargs", [{"weight": -1.0}, {"start_epoch": -0.5}])
def test_negative_weight_or_start_is_refused(kwargs: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"^{next(iter(kwargs))}: must be 0 or more, got -"):
        ITMHead(text_dim=8, **kwargs)
