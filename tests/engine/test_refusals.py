"""Values that a hook, an optimizer or a schedule refuses only when it is built."""

import pytest

from bus_toolkit.engine.refusals import refusals_at
from bus_toolkit.errors import ConfigError, DataError


@pytest.mark.parametrize("error", [ValueError("rule must be given"), AssertionError("rule must be given")])
def test_a_refusal_gets_the_path_of_the_node(error):
    with pytest.raises(ConfigError, match=r"^custom_hooks.0: refuses its values: rule must be given. Correct them.$"):
        with refusals_at("custom_hooks.0"):
            raise error


@pytest.mark.parametrize("error", [KeyError("name"), TypeError("call"), DataError("data: gone.")])
def test_mistakes_in_the_code_and_errors_of_the_toolkit_pass_as_they_are(error):
    with pytest.raises(type(error)) as caught, refusals_at("custom_hooks.0"):
        raise error
    assert caught.value is error
