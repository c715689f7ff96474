"""The tables and verdicts that a study shows in Markdown pages: the key ``report.tables`` of its YAML."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from bus_toolkit.errors import ConfigError
from bus_toolkit.study.nodes import check_keys, mapping, words
from bus_toolkit.study.report.claims import Claim, read_claim


class Show(Enum):
    """What a cell shows."""

    ACCURACY = "accuracy"
    DIFFERENCE = "difference"
    """Of the accuracies, to the reference or to the arm ``to``, in points."""
    OTHER_TEXT = "other_text"
    """Accuracy while the selection reads another text."""
    LOST = "lost_by_downsampling"
    """Accuracy where the unpruned arm is right and the smaller image wrong."""
    MACS = "macs"
    """A question, where an image has as many as ``questions`` says."""
    SHARED = "shared"
    """MACs that all questions about an image share."""
    OWN = "own"
    """MACs that each question adds."""
    CHEAPER = "cheaper"
    """For how many questions an image it costs less MACs than the unpruned arm, or than the arm ``to``."""
    TOKENS = "tokens"
    TRAINING = "training"
    """Counted MACs of the training."""
    STEPS = "steps"
    BOXES = "boxes"
    """Whether a selector learns from boxes."""
    AUC = "auc"
    """Scores of the named object's patches against those of other objects' patches."""
    AUC_OTHER_TEXT = "auc_other_text"
    TIME = "time"
    """To the unpruned arm's end quality, as a share of its time."""
    TIME_MACS = "time_macs"


@dataclass(frozen=True)
class PageColumn:
    """A column of a table: one figure of the arms on one kind of question at one keep ratio.

    Attributes:
        task: The task.
        kind: Kind of its questions; empty if it has one kind only.
        keep: Keep ratio.
        show: The figure.
        to: The arm that it is compared to; empty for the reference, or the unpruned arm.
        questions: About one image, for MACs.
    """

    task: str
    kind: str
    keep: float
    show: Show
    to: str
    questions: int

    @property
    def name(self) -> str:
        """Of the kind of question."""
        return f"{self.task}: {self.kind}" if self.kind else self.task


@dataclass(frozen=True)
class PageTable:
    """What a page shows between two markers: verdicts on claims, then a table.

    Attributes:
        name: In the markers.
        location: In the YAML, for messages.
        arms: Its rows.
        columns: Its columns; without any there is no table.
        claims: Sentences of the page that the results judge.
    """

    name: str
    location: str
    arms: tuple[str, ...]
    columns: tuple[PageColumn, ...]
    claims: tuple[Claim, ...]


_TABLE = {"arms", "columns", "claims"}
_COLUMNS = {"task", "kind", "keep", "show", "to", "questions"}


def read_tables(node: Any, location: str) -> tuple[PageTable, ...]:
    """Return the tables of a YAML node, each under its name.

    Raises:
        ConfigError: A key is unknown or missing, or a value is of the wrong kind.
    """
    return tuple(_table(str(name), each, f"{location}.{name}") for name, each in mapping(node, location).items())


def _table(name: str, node: Any, location: str) -> PageTable:
    check_keys(node, location, _TABLE, set())
    if not name or "-->" in name or "\n" in name:
        raise ConfigError(f"{location}: must have a name that fits between <!-- and -->, got {name!r}. Rename it.")
    if ("arms" in node) != ("columns" in node) or not node:
        raise ConfigError(f"{location}: needs arms and columns, or claims, or all three, got {', '.join(node)}.")
    listed = {key: node.get(key, []) for key in ("columns", "claims")}
    for key, value in listed.items():
        if not isinstance(value, list):
            raise ConfigError(f"{location}.{key}: must be a list, got {value!r}.")
    columns = [_columns(each, f"{location}.columns.{i}") for i, each in enumerate(listed["columns"])]
    return PageTable(
        name=name,
        location=location,
        arms=words(node.get("arms", []), f"{location}.arms"),
        columns=tuple(itertools.chain.from_iterable(columns)),
        claims=tuple(read_claim(each, f"{location}.claims.{i}") for i, each in enumerate(listed["claims"])),
    )


def _columns(node: Any, location: str) -> list[PageColumn]:
    """Return the columns of an entry: one for each combination of its values, the last key changing fastest."""
    check_keys(node, location, _COLUMNS, {"task", "keep"})
    shows = [_show(value, location) for value in _several(node.get("show", Show.ACCURACY.value))]
    for key, fitting in _ONLY_WITH.items():
        if key in node and not set(shows) & set(fitting):
            fits = " or ".join(show.value for show in fitting)
            raise ConfigError(f"{location}.{key}: has an effect on {fits} only. Show one of them, or leave it out.")
    keeps, questions = (_several(node.get(key, 1)) for key in ("keep", "questions"))
    for key, values, kinds in (("keep", keeps, (int, float)), ("questions", questions, (int,))):
        if wrong := [each for each in values if isinstance(each, bool) or not isinstance(each, kinds) or each <= 0]:
            raise ConfigError(f"{location}.{key}: must be a number above 0, or a list of such, got {wrong[0]!r}.")
    return [
        PageColumn(str(task), str(kind), float(keep), show, str(node.get("to", "")), count)
        for task in _several(node["task"])
        for kind in _several(node.get("kind", ""))
        for keep in keeps
        for show in shows
        for count in (questions if show is Show.MACS else (1,))
    ]


_ONLY_WITH: Mapping[str, tuple[Show, ...]] = {"to": (Show.DIFFERENCE, Show.CHEAPER), "questions": (Show.MACS,)}


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _show(value: Any, location: str) -> Show:
    try:
        return Show(value)
    except ValueError as error:
        known = ", ".join(show.value for show in Show)
        raise ConfigError(f"{location}.show: must be one of {known}, got {value!r}.") from error
