"""The names of jobs: task, arm, keep ratio and seed, and the folders and patterns made of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

START, SAFE = "start", "_"


@dataclass(frozen=True)
class JobKey:
    """A job of a study; the ``task`` of a training that arms start from is ``start``, its ``arm`` the entry's name."""

    task: str
    arm: str
    keep: float
    seed: int

    @property
    def name(self) -> str:
        """``task/arm/keep_0.11/seed_0``: its folder below the study's."""
        return "/".join([safe(self.task), safe(self.arm), f"keep_{self.keep:g}", f"seed_{self.seed}"])

    def folder(self, out: Path) -> Path:
        """Return its folder."""
        return out / self.name

    def matches(self, patterns: Sequence[str]) -> int | None:
        """Return the place of the first pattern that it matches, ``None`` for none.

        A pattern is ``task/arm/keep_0.11/seed_0`` with ``*`` and ``?``; parts that are left out at the end match all.
        """
        return next((place for place, pattern in enumerate(patterns) if self._matches(pattern)), None)

    def _matches(self, pattern: str) -> bool:
        own = (self.task, self.arm, f"keep_{self.keep:g}", f"seed_{self.seed}")
        parts = [part.replace("[", "[[]") for part in pattern.strip("/").split("/")]  # a bracket is one, as in names
        return len(parts) <= len(own) and all(
            fnmatchcase(mine, part) or fnmatchcase(safe(mine), part) for mine, part in zip(own, parts, strict=False)
        )


def safe(name: str) -> str:
    """Return a name as it is written in the name of a folder."""
    return re.sub(r"[^\w.+-]+", SAFE, name)
