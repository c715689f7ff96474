"""Find out which layout a source has, and rename its tensors to a module's names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from bus_toolkit.errors import CheckpointError
from bus_toolkit.weights.layouts import Layout, Target
from bus_toolkit.weights.mapping import to_target
from bus_toolkit.weights.patterns import matches, pattern
from bus_toolkit.weights.reading import Source
from bus_toolkit.weights.table_files import AUTO, IDENTITY, get_layout, layouts, target_of


@dataclass(frozen=True)
class Renamed:
    """A source under a module's names.

    Attributes:
        tensors: By the module's names.
        layout: The layout that it had; ``None`` for the module's own names.
        left: Names of the source that have no counterpart by the layout's own account, or lie outside of the tower.
        unknown: Names inside the tower that no rule of the layout knows.
        origins: From which names of the source each tensor was made.
    """

    tensors: dict[str, Tensor]
    layout: Layout | None
    left: list[str]
    unknown: list[str]
    origins: Mapping[str, tuple[str, ...]]

    def origin(self, name: str) -> str:
        """Return the first name in the source of what became the tensor ``name``."""
        return self.origins.get(name, (name,))[0]


def rename(source: Source, own: Sequence[str], *, layout: str, prefix: str, location: str) -> Renamed:
    """Rename the tensors of ``source`` to the names ``own`` of a module.

    Args:
        source: The tensors.
        own: Names of the module's tensors.
        layout: Name of a layout, ``identity``, or ``auto`` to find it out.
        prefix: What comes before the names that are meant; empty finds it out.
        location: The YAML path of the setting, for messages.

    Raises:
        CheckpointError: Nothing is recognised, the layout is of another kind of module, or several towers are.
    """
    tensors = _under_prefix(source, prefix, location)
    target = target_of(own)
    chosen = find_layout(source, own, layout=layout, prefix=prefix, location=location)
    if chosen is not None:
        return _in_full(_by_table(tensors, chosen, own, location, source.path), source, prefix)
    start = _common_start(tensors, own)
    same = {name.removeprefix(start): t for name, t in tensors.items() if name.startswith(start)}
    there = set(own)
    if 2 * len(there & set(same)) < len(there):
        raise CheckpointError(
            f"{location}: nothing of {source.path} is recognised; its names begin with {_starts(tensors)}. "
            f"Known for this part are the layouts {', '.join(_names_for(target))}. Give such weights, or name the "
            "tower inside them with prefix."
        )
    known = {name: tensor for name, tensor in same.items() if name in there}
    outside = [name for name in tensors if not name.startswith(start)]
    unknown = [name for name in same if name not in there]
    origins = {name: (start + name,) for name in known}
    return _in_full(Renamed(known, None, outside, unknown, origins), source, prefix)


def find_layout(source: Source, own: Sequence[str], *, layout: str, prefix: str, location: str) -> Layout | None:
    """Return the layout of another library that ``source`` has for a module with the names ``own``, or ``None``.

    Args:
        source: The tensors.
        own: Names of the module's tensors.
        layout: Name of a layout, ``identity``, or ``auto`` to find it out.
        prefix: What comes before the names that are meant.
        location: The YAML path of the setting, for messages.

    Raises:
        CheckpointError: The layout is not known, of another kind of module, or not that of the source.
    """
    if layout == IDENTITY:
        return None
    return _choose(_under_prefix(source, prefix, location), target_of(own), layout, location, source.path)


def find_tower(source: Source, known: Mapping[str, Layout], layout: str, prefix: str) -> Renamed:
    """Rename the tensors of ``source`` to the names of the target of the layout they have, without a module.

    Args:
        source: The tensors.
        known: The layouts that it may have, by name.
        layout: Name of one of them, or ``auto``.
        prefix: As in :func:`rename`.

    Raises:
        CheckpointError: It has none of these layouts, or not the one that was named.
    """
    tensors = _under_prefix(source, prefix, source.path)
    candidates = [one for name, one in known.items() if layout in (AUTO, name)]
    matching = [one for one in candidates if one.prefixes_in(tensors)]
    if len(matching) > 1:
        raise CheckpointError(
            f"{source.path}: has the names of several layouts, {', '.join(one.name for one in matching)}. "
            "Name the right one with --from."
        )
    if not matching:
        raise CheckpointError(
            f"{source.path}: has none of the layouts {', '.join(one.name for one in candidates) or layout}; its names "
            f"begin with {_starts(tensors)}. Choose another layout, or name the tower with --prefix."
        )
    return _in_full(_by_table(tensors, matching[0], (), source.path, source.path), source, prefix)


def _under_prefix(source: Source, prefix: str, location: str) -> dict[str, Tensor]:
    tensors = {name.removeprefix(prefix): t for name, t in source.tensors.items() if name.startswith(prefix)}
    if not tensors:
        raise CheckpointError(
            f"{location}: no tensor of {source.path} begins with {prefix!r}, its names begin with "
            f"{_starts(source.tensors)}. Correct the prefix, or leave it out."
        )
    return tensors


def _in_full(renamed: Renamed, source: Source, prefix: str) -> Renamed:
    """Return the same with the source's own names in full, and with those outside of the prefix."""
    outside = [name for name in source.tensors if not name.startswith(prefix)]
    origins = {name: tuple(prefix + n for n in names) for name, names in renamed.origins.items()}
    return replace(renamed, left=outside + [prefix + name for name in renamed.left], origins=origins)


def _choose(
    tensors: Mapping[str, Tensor], target: Target | None, layout: str, location: str, file: str
) -> Layout | None:
    if layout == AUTO:
        known = [one for one in layouts().values() if target is not None and one.target == target.name]
        return next((one for one in known if one.prefixes_in(tensors)), None)
    chosen = get_layout(layout, location)
    if target is None or chosen.target != target.name:
        raise CheckpointError(
            f"{location}: the layout {layout} is of a {chosen.target}, which this part is not. Known for it are "
            f"{', '.join(_names_for(target))}. Use one of these."
        )
    if not chosen.prefixes_in(tensors):
        raise CheckpointError(
            f"{location}: {file} does not have the layout {layout} (names as {', '.join(chosen.signature)}); its "
            f"names begin with {_starts(tensors)}. Leave layout out, and it is detected."
        )
    return chosen


def _by_table(tensors: Mapping[str, Tensor], layout: Layout, own: Sequence[str], location: str, file: str) -> Renamed:
    starts = layout.prefixes_in(tensors)
    if len(starts) > 1 and len(starts[0]) == len(starts[1]):
        raise CheckpointError(
            f"{location}: {file} holds several such parts, under {', '.join(starts)}. Name the one that is meant with "
            "prefix."
        )
    start = starts[0]
    inside = {name[len(start) :]: t for name, t in tensors.items() if name.startswith(start)}
    for name in inside:
        for text, why in layout.refused.items():
            if matches(name, (text,)):
                raise CheckpointError(f"{location}: {file} has {start}{name}: {why}.")
    mapped = to_target(inside, layout.rules, _numbers(layout, inside, own), set(own))
    dropped = [start + name for name in mapped.left if matches(name, layout.dropped)]
    outside = [name for name in tensors if not name.startswith(start)]
    unknown = [start + name for name in mapped.left if not matches(name, layout.dropped)]
    origins = {name: tuple(start + n for n in names) for name, names in mapped.origins.items()}
    return Renamed(mapped.tensors, layout, outside + dropped, unknown, origins)


def _numbers(layout: Layout, inside: Iterable[str], own: Iterable[str]) -> dict[str, int]:
    """Return the shifts of layer numbers that the rules speak of."""
    numbers = {}
    for name, how in layout.numbers.items():
        if "first" in how:
            numbers[name] = min(layer_numbers(inside, how["first"]), default=0)
        else:
            numbers[name] = len(layer_numbers(inside, how["count"])) - len(layer_numbers(own, how["minus"]))
    return numbers


def layer_numbers(names: Iterable[str], text: str) -> set[int]:
    """Return the numbers in the place of ``{i}`` in the names of the form ``text``."""
    form = pattern(text)
    return {int(bound["i"]) for name in names if (bound := form.match(name, {})) is not None}


def _common_start(tensors: Mapping[str, Tensor], own: Sequence[str]) -> str:
    """Return what comes before the module's own names, where it makes most of them meet."""
    names = set(tensors)
    starts = {n[: -len(o)] for o in (own[0], own[-1]) for n in names if n == o or n.endswith(f".{o}")}
    return max(sorted(starts, key=len), key=lambda s: sum(f"{s}{o}" in names for o in own), default="")


def _names_for(target: Target | None) -> list[str]:
    return [IDENTITY, *(n for n, one in layouts().items() if target is not None and one.target == target.name)]


def _starts(tensors: Mapping[str, Tensor]) -> str:
    return ", ".join(sorted({name.split(".")[0] for name in tensors})[:6])
