"""Which modules are gathered one by one."""

from __future__ import annotations

import pytest
from torch import nn

from bus_toolkit.engine.parallel.sharding import refuse_shared_weights
from bus_toolkit.errors import ConfigError


def tied() -> nn.ModuleDict:
    model = nn.ModuleDict({"read": nn.Linear(3, 3), "write": nn.Linear(3, 3), "other": nn.Linear(3, 3)})
    model["write"].weight = model["read"].weight
    return model


@pytest.mark.parametrize("names", [("read", "write"), ("read",), ("other", "write")])
def test_a_weight_of_two_units_is_refused(names: tuple[str, ...]) -> None:
    model = tied()
    with pytest.raises(ConfigError, match="units: write.weight is the weight read.weight of another unit"):
        refuse_shared_weights(model, [model[name] for name in names])


def test_one_that_a_unit_or_the_rest_shares_with_itself_is_not() -> None:
    model = tied()
    refuse_shared_weights(model, [model["other"]])
    refuse_shared_weights(nn.ModuleDict({"both": model}), [model])


def test_a_module_of_two_units_is_refused() -> None:
    part = nn.Linear(2, 2)
    model = nn.ModuleDict({"a": nn.Sequential(part), "b": nn.Sequential(part)})
    with pytest.raises(ConfigError, match="b.0.weight is the weight a.0.weight"):
        refuse_shared_weights(model, list(model.values()))
