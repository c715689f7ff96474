"""What the settings of every family of generated scenes have in common: how they are read, checked and written down."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from typing_extensions import Self

from bus_toolkit.errors import ConfigError


class GeneratorSettings:
    """The base of the frozen data classes that say what generated scenes contain; it has no field of its own.

    A family adds fields, those that are declared here among them, ``_problems`` and ``words``.
    """

    image_size: int
    image_format: str
    seed: int

    def check(self) -> None:
        """Refuse values outside their range.

        Raises:
            ConfigError: All problems at once.
        """
        problems = [f"scenes.{problem}" for problem in self._problems()]
        if problems:
            raise ConfigError(problems)

    def _problems(self) -> Iterator[str]:
        raise NotImplementedError

    def words(self) -> dict[str, list[str]]:
        """Return the words of the texts by kind."""
        raise NotImplementedError

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """Read the mapping of a YAML file.

        Raises:
            ConfigError: An unknown key (with the nearest one), or a value outside its range.
        """
        known = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]  # each family is a data class
        problems = []
        for key in values:
            if key not in known:
                near = difflib.get_close_matches(str(key), known, n=1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                problems.append(f"scenes: no setting named {key!r}.{hint} It takes {', '.join(known)}.")
        if problems:
            raise ConfigError(problems)
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as the manifest holds them (lists, numbers and strings only)."""
        values = dataclasses.asdict(self)  # type: ignore[call-overload]
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
