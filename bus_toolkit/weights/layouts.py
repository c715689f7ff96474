"""Tables of tensor names: the layout of another library, and the names of our own modules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bus_toolkit.weights.mapping import Rule
from bus_toolkit.weights.patterns import matches, pattern


@dataclass(frozen=True)
class Setting:
    """Advice for a kind of tensor that only the source or only the model has.

    Attributes:
        surplus: The source has it, the  does not have it.
        missing: The model has it, the  does not have it.
    """

    surplus: str
    missing: str


@dataclass(frozen=True)
class Target:
    """How a kind of module of ours names its tensors.

    Attributes:
        name: As layouts refer to it.
        signature: Names that such a module has.
        absent: Names that it never has.
        sizes: How a size is read from the tensors: a label, and ``{of: name, dim: number}`` or ``{count: pattern}``.
        grids: Position tables of images, (1, P + N, D) or (P + N, D), that are interpolated.
        relative: Tables of relative positions, (offsets + 3, heads), that are interpolated.
        angles: Cosines and sines of EVA-02's rotary positions, (N, E).
        rows: Position tables of texts, (positions, D), of which the first rows are taken.
        words: Tables and biases with a row for each word.
        first_layers: The start of the names of stacks that may take the first layers of a deeper one.
        optional: Tensors that a source may have and the model may leave out, such as a final norm.
        derived: Tensors that the module computes from its other weights.
        parts: The start of the names of parts that a whole model may do without.
        settings: By pattern of names, what to change where one side does not have them.
    """

    name: str
    signature: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    sizes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    grids: tuple[str, ...] = ()
    relative: tuple[str, ...] = ()
    angles: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    first_layers: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    derived: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    settings: Mapping[str, Setting] = field(default_factory=dict)


@dataclass(frozen=True)
class Layout:
    """How a library elsewhere names its tensors, and which tensors of ours they become.

    Attributes:
        name: As a config and the command line name it.
        about: Which classes or files have it.
        target: Name of the target it maps to.
        rules: The names, for both directions.
        prefix: What comes before every name in files that the library itself writes.
        signature: Patterns of names that must be there.
        absent: Patterns of names that must not be there.
        dropped: Patterns of names that belong to no part of ours: task heads, poolers.
        refused: Patterns of names that a model here cannot have, and why.
        lacking: Patterns of our names that such a source need not give; they stay as they are.
        gives: Patterns of our names that such a source must give; empty for all.
        fills: Patterns of our names that such a source never has, and the value that means nothing.
        numbers: The shifts of layer numbers in the rules: ``{first: pattern}`` of the source, or
            ``{count: pattern, minus: pattern}`` of source and model.
        appended_words: Words after the vocabulary that ours does not have.
        angles: Such a source has no angles of rotary positions, and means EVA-02's.
        activation: That of the best known weights of this layout, by transformers' name, used if there is no config.
        norm_eps: The epsilon that the norms of all weights of this layout were trained with; 0 where it is not known.
        needs: The arguments that the model here needs, in words.
        notes: What the user should know once these weights are in.
    """

    name: str
    about: str
    target: str
    rules: tuple[Rule, ...]
    prefix: str = ""
    signature: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    lacking: tuple[str, ...] = ()
    gives: tuple[str, ...] = ()
    fills: Mapping[str, float] = field(default_factory=dict)
    numbers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    appended_words: int = 0
    angles: bool = False
    activation: str = ""
    norm_eps: float = 0.0
    needs: str = ""
    notes: tuple[str, ...] = ()

    def prefixes_in(self, names: Iterable[str]) -> list[str]:
        """Return the prefixes under which ``names`` have this layout, the shortest first."""
        names = list(names)
        lead = pattern(f"*.{self.signature[0]}")
        prefixes = {bound["*"] + "." for name in names if (bound := lead.match(name, {})) is not None}
        if any(matches(name, self.signature[:1]) for name in names):
            prefixes.add("")
        return sorted((p for p in prefixes if self._is_under(p, names)), key=lambda p: (len(p), p))

    def _is_under(self, prefix: str, names: list[str]) -> bool:
        inside = [name[len(prefix) :] for name in names if name.startswith(prefix)]
        has_all = all(any(matches(name, (wanted,)) for name in inside) for wanted in self.signature)
        return has_all and not any(matches(name, self.absent) for name in inside)
