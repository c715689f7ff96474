import re
from pathlib import Path

import pytest

from bus_toolkit.errors import ConfigError
from bus_toolkit.limits import LIMITS, Limit

LIMIT = Limit("BUS_MAX_THINGS", 10, "things")


def test_the_environment_raises_a_limit(monkeypatch):
    assert LIMIT.value == 10
    monkeypatch.setenv("BUS_MAX_THINGS", " 2000 ")
    assert LIMIT.value == 2000
    monkeypatch.setenv("BUS_MAX_THINGS", "")
    assert LIMIT.value == 10


@pytest.mark.parametrize("text", ["0", "-1", "many", "1e6", "9" * 400, "²"])
def test_another_value_is_refused(monkeypatch, text):
    monkeypatch.setenv("BUS_MAX_THINGS", text)
    with pytest.raises(ConfigError, match="BUS_MAX_THINGS: must be a whole number from 1 below"):
        _ = LIMIT.value


def test_the_page_has_each_limit_with_its_default():
    page = (Path(__file__).parents[1] / "tools" / "README.md").read_text()
    rows = {
        name: int(number.replace(",", "")) for name, number in re.findall(r"\| `(BUS_MAX_\w+)` \| ([\d,]+) \|", page)
    }
    assert rows == {limit.variable: limit.default for limit in LIMITS}
