"""What the YAML of a study says about its report: the key ``report``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bus_toolkit.config.yaml_text import read_yaml
from bus_toolkit.errors import ConfigError
from bus_toolkit.home import expand_home
from bus_toolkit.study.nodes import mapping, whole
from bus_toolkit.study.reading import merged_study
from bus_toolkit.study.report.claims import Claim, ClaimKind, read_claim
from bus_toolkit.study.report.study_names import StudyNames
from bus_toolkit.study.report.tables import PageTable, Show, read_tables

_TEXTS = ("reference", "unpruned", "smaller_image")
_LISTS = ("ceilings", "baselines", "races", "notes")
_MAPPINGS = ("tasks", "arms", "metrics", "samples", "words")
_KEYS = (*_TEXTS, *_LISTS, *_MAPPINGS, "recall_at", "keep", "claims", "pages", "tables")


@dataclass(frozen=True)
class ReportSettings:
    """How a study is reported.

    Attributes:
        name: Of the study: the stem of its file.
        title: Of the study.
        reference: The arm that the others are compared to.
        unpruned: The arm without reduction, for the split and the time to quality; empty for none.
        smaller_image: The arm for the split "right at full size, wrong after downsampling"; empty for none.
        ceilings: Arms that read what no user has, such as boxes at inference: never recommended.
        baselines: Arms that look at neither the text nor the content of the image.
        races: Tasks that show the time to the quality of the unpruned arm; ``None`` for all. Where the start has that
            quality already, a time says nothing.
        keep: Keep ratio of the short table, the curves and the times; ``None`` is the smallest one.
        tasks: What the questions of a task or kind ask for, in words.
        arms: Shown names.
        metrics: Key of the validation metric by task or kind; else ``.../accuracy_<kind>`` or ``.../accuracy``.
        samples: By task, the metric whose verdicts on samples count, where several metrics have some.
        words: Words and names of the report, each with what it means.
        recall_at: By task, the rank up to which a query of a retrieval counts as answered; else the first only.
        pages: Markdown pages that have the study's markers.
        notes: Sentences for the reader: what was tuned, on what, how often.
        claims: What was aimed at before the study ran.
        tables: What the pages show beside the study's section.
    """

    name: str
    title: str
    reference: str
    unpruned: str = ""
    smaller_image: str = ""
    ceilings: tuple[str, ...] = ()
    baselines: tuple[str, ...] = ()
    races: tuple[str, ...] | None = None
    keep: float | None = None
    tasks: Mapping[str, str] = field(default_factory=dict)
    arms: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, str] = field(default_factory=dict)
    samples: Mapping[str, str] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)
    recall_at: Mapping[str, int] = field(default_factory=dict)
    pages: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    claims: tuple[Claim, ...] = ()
    tables: tuple[PageTable, ...] = ()

    def is_race(self, task: str) -> bool:
        """Return whether the task shows times to the unpruned arm's quality."""
        return self.races is None or task in self.races

    def shown(self, arm: str) -> str:
        """Return the name of an arm in tables and plots."""
        return self.arms.get(arm, arm)


def read_settings(path: str | Path) -> ReportSettings:
    """Read the title and the key ``report`` of a study, and which of its arms are special.

    Arms with ``oracle: true`` are ceilings, and the one with ``image: smaller`` is the smaller image, unless ``report``
    says otherwise. ``pages`` are relative to the file; a study that is based on another one has none from there.

    Raises:
        ConfigError: No such file, no reference arm, a key that is unknown or of the wrong kind.
    """
    content, file = merged_study(path), expand_home(path)
    location = f"{file}: report"
    node = content.get("report") or {}
    _check(node, location)
    reference = node.get("reference", content.get("reference"))
    if not isinstance(reference, str):
        raise ConfigError(f"{location}.reference: must be the arm that others are compared to, got {reference!r}.")
    claims = tuple(read_claim(c, f"{location}.claims.{i}") for i, c in enumerate(node.get("claims", [])))
    tables = read_tables(node.get("tables", {}), f"{location}.tables")
    _check_names(StudyNames(content), {**node, "reference": reference}, claims, tables, location)
    given: dict[str, Any] = {"ceilings": _arms(content, "oracle", True)}
    given["smaller_image"] = next(iter(_arms(content, "image", "smaller")), "")
    given.update({key: node[key] for key in ("unpruned", "smaller_image") if key in node})
    given.update({key: tuple(map(str, node[key])) for key in _LISTS if key in node})
    given.update({key: {str(k): str(v) for k, v in node[key].items()} for key in _MAPPINGS if key in node})
    pages = (read_yaml(file).get("report") or {}).get("pages", ())
    return ReportSettings(
        **given,
        name=file.stem,
        title=str(content.get("title", file.stem)),
        reference=reference,
        recall_at=_ranks(node.get("recall_at", {}), f"{location}.recall_at"),
        keep=_share(node.get("keep"), f"{location}.keep"),
        pages=tuple(file.parent / page for page in pages),
        claims=claims,
        tables=tables,
    )


def _arms(content: Mapping[str, Any], key: str, value: Any) -> tuple[str, ...]:
    """Return the arms of a study in which ``key`` is ``value``."""
    arms = content.get("arms")
    nodes = arms.items() if isinstance(arms, dict) else ()
    return tuple(str(name) for name, arm in nodes if isinstance(arm, dict) and arm.get(key) == value)


def _check_names(
    names: StudyNames, node: Mapping[str, Any], claims: Sequence[Claim], tables: Sequence[PageTable], location: str
) -> None:
    """Refuse an arm, a task or a keep ratio that the study does not have, and times of tasks that are no races."""
    for key in ("reference", "unpruned", "smaller_image"):
        names.check_arms([node[key]] if node.get(key) else [], f"{location}.{key}")
    for key in ("ceilings", "baselines", "arms"):
        names.check_arms(node.get(key, ()), f"{location}.{key}")
    names.check_tasks(node.get("races", ()), f"{location}.races")
    timed: list[tuple[str, str]] = []
    for table in tables:
        place = f"{table.location}.columns"
        names.check_arms([*table.arms, *(column.to for column in table.columns if column.to)], table.location)
        for column in table.columns:
            names.check_ratio(column.task, column.keep, place)
        timed += [(place, column.task) for column in table.columns if column.show in (Show.TIME, Show.TIME_MACS)]
    listed = [(f"{location}.claims", claims), *((f"{table.location}.claims", table.claims) for table in tables)]
    for place, claim in ((f"{place}.{i}", claim) for place, of_place in listed for i, claim in enumerate(of_place)):
        names.check_arms(filter(None, [claim.arm, claim.other]), place)
        names.check_ratio(claim.task, claim.keep, place)
        timed += [(place, claim.task)] if claim.kind is ClaimKind.TIME else []
    for place, task in timed:
        if "races" in node and task not in node["races"]:
            races = ", ".join(node["races"]) or "none"
            raise ConfigError(
                f"{place}: times are compared for the tasks in races, {races}, got {task!r}. Add it to "
                f"{location}.races."
            )


def _check(node: Any, location: str) -> None:
    if not isinstance(node, dict):
        raise ConfigError(f"{location}: must be a mapping with {', '.join(_KEYS)}, got {node!r}.")
    if unknown := [key for key in node if key not in _KEYS]:
        raise ConfigError(f"{location}: no such key, got {unknown[0]!r}. It takes {', '.join(_KEYS)}.")
    for keys, kind in ((_TEXTS, str), (_LISTS, list), (_MAPPINGS, dict), (("claims", "pages"), list)):
        for key in keys:
            if key in node and not isinstance(node[key], kind):
                raise ConfigError(f"{location}.{key}: must be a {_WORDS[kind]}, got {node[key]!r}.")
    for key in (*_LISTS, "pages"):
        if other := [item for item in node.get(key, ()) if not isinstance(item, str)]:
            raise ConfigError(f"{location}.{key}: must be texts, got {other[0]!r}. Put what holds ': ' into quotes.")


_WORDS: Mapping[type, str] = {str: "text", list: "list", dict: "mapping"}


def _ranks(node: Any, location: str) -> dict[str, int]:
    ranks = {str(task): whole(rank, f"{location}.{task}") for task, rank in mapping(node, location).items()}
    return {task: rank for task, rank in ranks.items() if rank is not None}


def _share(value: Any, location: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise ConfigError(f"{location}: must be a number in (0, 1], got {value!r}.")
    return float(value)
