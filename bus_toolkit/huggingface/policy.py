"""How selection goes on beyond one image and one question."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, get_args

from bus_toolkit.errors import ComponentError
from bus_toolkit.huggingface.turns import Turns
from bus_toolkit.huggingface.visual_places import Quota


@dataclass(frozen=True)
class Policy:
    """How selection goes on beyond one image and one question.

    Attributes:
        quota: What is ranked together: all visual tokens of a ``sample``, or those of an ``image``.
        turns: What becomes of the selection of an earlier turn of the same conversation.
        around_selection: Opened around each selection, so that its cost can be measured.

    Raises:
        ComponentError: Another word.
    """

    quota: Quota
    turns: Turns
    around_selection: Callable[[], AbstractContextManager[Any]]

    def __post_init__(self) -> None:
        """Check the words."""
        for name, value, allowed in (("quota", self.quota, Quota), ("turns", self.turns, Turns)):
            if value not in get_args(allowed):
                raise ComponentError(
                    f"reduce_tokens: {name} must be one of {', '.join(get_args(allowed))}, got {value!r}. Correct "
                    f"{name}."
                )
