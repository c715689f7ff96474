"""The temperature of the contrastive head."""

from __future__ import annotations

import pytest
import torch

from bus_toolkit.heads.itc import ITCHead


def head(**kwargs: object) -> ITCHead:
    return ITCHead(embed_dim=8, text_dim=8, **kwargs)  # type: ignore[arg-type]


def test_the_scale_is_one_over_the_temperature() -> None:
    assert head(temperature=0.05).scale().item() == pytest.approx(20.0, rel=1e-5)


@pytest.mark.parametrize(("start", "back"), [(10.0, 1000.0), (-10.0, 2.0)])
def test_a_temperature_that_left_its_range_is_put_back_and_can_learn_again(start: float, back: float) -> None:
    itc = head()
    with torch.no_grad():
        itc.logit_scale.fill_(start)
    itc.after_step([])
    assert itc.scale().item() == pytest.approx(back, rel=1e-4)
    itc.scale().backward()
    assert itc.logit_scale.grad is not None
    assert itc.logit_scale.grad.item() != 0


@pytest.mark.parametrize("kwargs", [{"temperature": 1.0}, {"alpha": 1.5}, {"queue_size": -1}])
def test_values_outside_their_range_are_refused(kwargs: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"alpha must be in \[0, 1\], queue_size 0 or more and temperature in"):
        head(**kwargs)
