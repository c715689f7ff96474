import pytest

from bus_toolkit.engine.hooks.live_line import clock, first_that_fits, shorter_lines

MEANS = {"loss": 3.5, "loss_itc": 1.25, "loss_itm": 2.25}


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (80, "loss 3.500 itc 1.250 itm 2.250  12.3/s  0:01:01 left"),
        (50, "loss 3.50 itc 1.25 itm 2.25  12.3/s  0:01:01 left"),
        (40, "loss 3.500  12.3/s  0:01:01 left"),
        (25, "12.3/s  0:01:01 left"),
        (5, "12.3/s  0:01:01 left"),
    ],
)
def test_the_widest_line_that_fits_is_shown(width, shown):
    assert first_that_fits(shorter_lines(MEANS, 12.34, 61.0), width) == shown


def test_without_losses_speed_and_time_are_left():
    assert shorter_lines({}, 1.0, 3661.4) == ["1.0/s  1:01:01 left"]
    assert clock(59.6) == "0:01:00"
