"""What may differ between a file of weights and a model, and the paths of parts that this is said of."""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Purpose = Literal["start", "evaluate", "resume"]


@dataclass(frozen=True)
class LoadRule:
    """What may differ between a file and a model.

    Attributes:
        purpose: To ``start`` a training, parts that the model does not have at all may be left out; to ``evaluate``,
            nothing may; to ``resume``, positions must be of the same grid as well.
        new_parts: Paths in the model that stay as they are, whether or not the file has them.
        unused_parts: Paths in the file that are left out.
        words: The words of the model's tokenizer by their ids; ``None`` if nothing that is loaded depends on them.
        copies: Paths of parts that follow others, by the path of these; what holds for a part holds for its copy.
    """

    purpose: Purpose = "start"
    new_parts: Sequence[str] = ()
    unused_parts: Sequence[str] = ()
    words: Sequence[str] | None = None
    copies: Mapping[str, str] = field(default_factory=dict)

    def is_new(self, name: str) -> bool:
        """Return whether a tensor of the model stays as it is."""
        return any(is_below(one, part) for one in (name, *self.originals(name)) for part in self.new_parts)

    def is_unused(self, name: str) -> bool:
        """Return whether a tensor of the file is left out."""
        return any(is_below(one, part) for one in (name, *self.originals(name)) for part in self.unused_parts)

    def originals(self, path: str) -> list[str]:
        """Return the path of which ``path`` is a copy, if it is one."""
        return [own + path[len(copied) :] for own, copied in self.copies.items() if is_below(path, copied)]

    def wrong(self, surplus: Iterable[str], own: Iterable[str]) -> list[str]:
        """Return the tensors of the file that must have a place in the model with the tensors ``own``.

        To start a training, those of a part or a head that the model does not have need none; and copies of what this
        model copies nothing of are needed by a resumed run alone.
        """
        if self.purpose == "resume":
            return list(surplus)
        known = paths_of(own)
        return [name for name in surplus if not self._needs_no_place(name, first_path(name, known))]

    def _needs_no_place(self, name: str, missing: str) -> bool:
        """Return whether the model may be without ``missing``, the shortest path to a tensor that it does not have."""
        folder = _common_folder(self.copies.values())
        if folder and is_below(missing, folder):
            name, missing = name[len(folder) + 1 :], missing[len(folder) + 1 :]
        elif self.purpose != "start":
            return False
        return missing.count(".") <= int(name.startswith("heads."))


def is_below(name: str, path: str) -> bool:
    """Return whether a tensor is that of the path, or of a module at or below it."""
    return name == path or name.startswith(f"{path}.")


def paths_of(names: Iterable[str]) -> set[str]:
    """Return every path at or below which one of the tensors is."""
    return {path for name in names for path in _steps(name)}


def first_path(name: str, known: Container[str]) -> str:
    """Return the shortest path to a tensor that is none of the known ones."""
    return next((path for path in _steps(name) if path not in known), name)


def groups(names: Iterable[str], others: Iterable[str]) -> dict[str, int]:
    """Return the shortest paths that cover ``names`` and none of ``others``, with the number of tensors in each."""
    known = paths_of(others)
    counts: dict[str, int] = {}
    for name in names:
        path = first_path(name, known)
        counts[path] = counts.get(path, 0) + 1
    return counts


def _common_folder(paths: Iterable[str]) -> str:
    """Return the longest path at which all of the paths begin; empty without any."""
    steps = [path.split(".")[:-1] for path in paths]
    shared = itertools.takewhile(lambda names: len(set(names)) == 1, zip(*steps, strict=False))
    return ".".join(names[0] for names in shared)


def _steps(name: str) -> list[str]:
    steps = name.split(".")
    return [".".join(steps[: count + 1]) for count in range(len(steps))]
