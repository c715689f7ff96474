"""The arm that drops nothing and looks at a smaller image of the same scene."""

from __future__ import annotations

from typing import Any

from bus_toolkit.errors import ConfigError
from bus_toolkit.study.counts import Counts


def match_image(config: dict[str, Any], target: int, counts: Counts, location: str) -> dict[str, Any]:
    """Return the image size at which the model's cost comes nearest to ``target``, and the pipelines that give it.

    Raises:
        ConfigError: Nothing here can be made smaller.
    """
    raise ConfigError(f"{location}: image: smaller is not available yet. Leave the arm out.")
