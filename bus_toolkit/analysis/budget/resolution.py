"""A config at another image size and the cost of a reference: counted, planned, with all that must change for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bus_toolkit.analysis.benchmark.results import per_sample
from bus_toolkit.analysis.budget.baselines import SMALLER_IMAGE, same_cost_baselines
from bus_toolkit.analysis.budget.plan import Plan, plan_budget, ratios_of, summary_share
from bus_toolkit.analysis.budget.report import Row
from bus_toolkit.analysis.budget.smaller_image import smaller_image
from bus_toolkit.analysis.meta_macs import Frame, MacCounter, Pass, frame_of
from bus_toolkit.config import load_config
from bus_toolkit.config.image_size import Size, pixels, resize_data
from bus_toolkit.config.overrides import parse_overrides
from bus_toolkit.config.smaller_data import shrink_data
from bus_toolkit.errors import ConfigError
from bus_toolkit.registry import plain


@dataclass(frozen=True)
class ConfigVariant:
    """A config file with overrides, ``a.b.0.c=value`` words, seen at an image size in pixels; ``None``: its own."""

    path: str
    overrides: Sequence[str] = ()
    size: Size | None = None

    @property
    def name(self) -> str:
        """Its file's stem."""
        return Path(self.path.rsplit("::", 1)[-1]).stem

    def changes(self) -> dict[str, Any]:
        """Return overrides and image size as values by YAML path."""
        changes = dict(parse_overrides(self.overrides))
        if self.size is not None:
            square = self.size[0] == self.size[1]
            changes["model.backbone.img_size"] = self.size[0] if square else list(self.size)
        return changes

    def load(self, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the config with ``changes`` on top of its own.

        Raises:
            ConfigError: Anything wrong with it, or no backbone in it.
        """
        config = plain(load_config(self.path, {**self.changes(), **(changes or {})}).to_dict())
        if "backbone" not in (config.get("model") or {}):
            raise ConfigError(f"{self.path}: model: there is no backbone to plan for. Give a config of a VLPModel.")
        return config


@dataclass(frozen=True)
class Resolution:
    """A plan for a whole config.

    Attributes:
        rows: The table: the reference, the config as it is, the plan, and baselines at the cost of the plan.
        config: The planned config.
        changed: YAML paths that differ from the file that it is based on.
        headlines: Lines that describe the plan and its reference.
        notes: Settings that could not be changed here and need a look.
    """

    rows: list[Row]
    config: dict[str, Any]
    changed: list[str]
    headlines: list[str]
    notes: list[str]


def plan_resolution(
    source: ConfigVariant,
    reference: ConfigVariant,
    *,
    work: Pass = "step",
    text_length: int | None = None,
    scale_queries: bool = False,
    texts_per_image: int = 1,
    baselines: bool = True,
) -> Resolution:
    """Plan ``source`` at its size for the MACs of ``reference`` at its own, and baselines at the same cost.

    See ``plan_budget`` and ``same_cost_baselines``.

    Args:
        source: What is planned.
        reference: What it may cost.
        work: ``step`` or ``forward`` (see ``MacCounter``).
        text_length: Tokens of every caption; ``None`` for the shorter ``max_length`` of the two tokenizers.
        scale_queries: Whether the decoder's ``num_queries`` keeps its share of the tokens that reach it.
        texts_per_image: Texts of each image of a batch; MACs are those of one text.
        baselines: Whether baselines are planned too, which takes as long again.

    Raises:
        ConfigError: Anything wrong with a config, texts longer than a tokenizer allows, or no plan within the budget.
        ComponentError: A part that refuses its arguments.
    """
    own = ConfigVariant(source.path, source.overrides).load()
    target, matched = source.load(), reference.load()
    before, frame, reference_frame = (frame_of(config["model"]) for config in (own, target, matched))
    length = _text_length(text_length, frame, reference_frame)
    counter = MacCounter(work, length, texts_per_image=texts_per_image)
    share = summary_share(own["model"], counter) if scale_queries else None
    budget = counter.macs(matched["model"])
    plan = plan_budget(target["model"], budget, counter, share)

    data, notes = resize_data(own, before.image_size, frame.image_size)
    changes = {**source.changes(), **data, **plan.changes}
    rows = [
        _row(f"{reference.name}, reference", matched["model"], reference_frame, counter, budget),
        _row(f"{source.name}, own ratios", target["model"], frame, counter, counter.macs(target["model"])),
        _row(f"{source.name}, planned", plan.model, frame, counter, plan.macs),
    ]
    for baseline in same_cost_baselines(plan.model, plan.macs, counter) if baselines else ():
        name = f"{source.name}, {', '.join(baseline.names)}"
        if baseline.plan is None:
            notes.append(f"{name}: not at this cost. {baseline.problem}")
        else:
            at = frame_of(baseline.plan.model)
            rows.append(_row(name, baseline.plan.model, at, counter, baseline.plan.macs))
    headlines = [
        f"{source.name} at {pixels(frame.image_size)} px keeps {plan.kept} of {frame.num_patches} patches: "
        f"{_cost(plan, budget, counter)}.",
        _reference_line(reference, reference_frame),
    ]
    return Resolution(rows, source.load({**data, **plan.changes}), list(changes), headlines, notes)


def plan_smaller_image(
    source: ConfigVariant,
    reference: ConfigVariant,
    *,
    work: Pass = "step",
    text_length: int | None = None,
    texts_per_image: int = 1,
) -> Resolution:
    """Plan the largest smaller image with which ``source`` costs no more than ``reference`` (see ``smaller_image``).

    Its data loaders make the same pictures as before and reduce them (see ``shrink_data``).

    Args:
        source: What is planned, at its full size; as a rule without selectors.
        reference: What it may cost.
        work: As for ``plan_resolution``.
        text_length: As for ``plan_resolution``.
        texts_per_image: As for ``plan_resolution``.

    Raises:
        ConfigError: As ``plan_resolution``.
        ComponentError: A part that refuses its arguments.
    """
    own, matched = source.load(), reference.load()
    frame, reference_frame = (frame_of(config["model"]) for config in (own, matched))
    length = _text_length(text_length, frame, reference_frame)
    counter = MacCounter(work, length, texts_per_image=texts_per_image)
    budget = counter.macs(matched["model"])
    plan = smaller_image(own["model"], budget, counter)
    smaller = frame_of(plan.model)
    data, notes = shrink_data(own, smaller.image_size)
    changes = {**data, **plan.changes}
    rows = [
        _row(f"{reference.name}, reference", matched["model"], reference_frame, counter, budget),
        _row(f"{source.name}, own size", own["model"], frame, counter, counter.macs(own["model"])),
        _row(f"{source.name}, {SMALLER_IMAGE}", plan.model, smaller, counter, plan.macs),
    ]
    headlines = [
        f"{source.name} at {pixels(smaller.image_size)} px has {plan.kept} of {frame.num_patches} patches: "
        f"{_cost(plan, budget, counter)}, {100 * (1 - plan.macs / budget):.1f} % below.",
        _reference_line(reference, reference_frame),
    ]
    return Resolution(rows, source.load(changes), list({**source.changes(), **changes}), headlines, notes)


def _row(name: str, model: dict[str, Any], frame: Frame, counter: MacCounter, macs: int) -> Row:
    return Row(name, pixels(frame.image_size), frame.num_patches, counter.tokens(model), _ratios(model), macs)


def _cost(plan: Plan, budget: int, counter: MacCounter) -> str:
    figures = f"{plan.macs / 1e9:.3f} of {budget / 1e9:.3f} GMAC {per_sample(counter.texts_per_image)}"
    return f"{figures} ({counter.work}, {counter.text_length} text tokens)"


def _reference_line(reference: ConfigVariant, frame: Frame) -> str:
    options = f", with {' '.join(reference.overrides)}" if reference.overrides else ""
    return f"Reference: {reference.path} at {pixels(frame.image_size)} px{options}."


def _ratios(model: Mapping[str, Any]) -> list[float]:
    return ratios_of(model.get("selectors") or [])


def _text_length(wanted: int | None, *frames: Frame) -> int:
    longest = min(frame.max_length for frame in frames)
    if wanted is not None and not 3 <= wanted <= longest:
        raise ConfigError(
            f"--text-length: must be between 3 ([CLS], a word, [SEP]) and {longest}, the shorter "
            f"model.tokenizer.max_length of the two configs, got {wanted}. Choose another, or raise max_length."
        )
    return longest if wanted is None else wanted
