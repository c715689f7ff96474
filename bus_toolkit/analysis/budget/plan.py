"""How many patches a model may keep so that it costs no more than another one, at a larger image size as a rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bus_toolkit.analysis.budget.costs import Costs, giga
from bus_toolkit.analysis.meta_macs import MacCounter, frame_of
from bus_toolkit.errors import ConfigError
from bus_toolkit.ops.schedule import KeepRatioSchedule
from bus_toolkit.registry import REGISTRIES

Node = dict[str, Any]
_WAYS_OUT = (
    "Choose a smaller image, an earlier block for the selector, a costlier reference, or model.momentum.selection: "
    "same where the momentum branch sees all patches."
)


@dataclass(frozen=True)
class Plan:
    """A model within its budget.

    Attributes:
        model: The ``model`` part of its config.
        changes: What was set in it, by YAML path.
        kept: Patches that the smallest ratio keeps, of all of them; those of a smaller image.
        macs: Of an image, or of one of its texts where the counter gives it several.
    """

    model: Node
    changes: dict[str, Any]
    kept: int
    macs: int


def plan_budget(model: Node, budget: int, counter: MacCounter, share: float | None = None) -> Plan:
    """Find the largest keep ratios with which ``model`` needs at most ``budget`` MACs an image.

    All ratios are scaled by one factor, and none above 1: those of several selectors and those that a selector lists
    for its blocks. The factor is looked for in steps of one patch: the smallest ratio is K / N of the N patches, and
    a few counts find K (``Costs``). Of a schedule the ``end`` is set, and counted.

    Args:
        model: The ``model`` part of a config, at the image size that is planned for.
        budget: MACs an image.
        counter: Counts them.
        share: Sets the decoder's ``num_queries`` to this share of the visual tokens that reach it (rounded down, at
            least 1); ``None`` keeps the number.

    Raises:
        ConfigError: No selector with a ratio; keeping all patches costs less than the budget, or keeping the
            fewest that all parts accept costs more.
        ComponentError: A part that refuses its arguments.
    """
    selectors = model.get("selectors") or []
    if not ratios_of(selectors):
        raise ConfigError("model.selectors: no selector here has a keep ratio to plan. Give a config with one.")
    # The ratios are what is planned: at those of the config the decoder may have too few tokens.
    num_patches = frame_of({**model, "decoder": {"type": "Identity"}}).num_patches

    def keeping(kept: int) -> Node:
        scaled = with_smallest_ratio(model, kept / num_patches)
        return scaled if share is None else _with_summary(scaled, counter, share)

    costs = Costs(lambda kept: counter.macs(keeping(kept)), budget)
    kept = _most(costs, budget, num_patches)
    planned = keeping(kept)
    changes = ratio_changes(planned)
    if share is not None:
        changes["model.decoder.num_queries"] = planned["decoder"]["num_queries"]
    return Plan(planned, changes, kept, costs.of(kept))


def with_smallest_ratio(model: Node, least: float) -> Node:
    """Return ``model`` with all keep ratios scaled alike so that the smallest is ``least``, and none above 1."""
    return {**model, "selectors": _with_smallest(model.get("selectors") or [], least)}


def ratio_changes(model: Node) -> dict[str, Any]:
    """Return the keep ratios of a model by their YAML paths."""
    nodes = enumerate(model.get("selectors") or [])
    return {f"model.selectors.{index}.keep_ratio": _ratio(node) for index, node in nodes if _ratio(node) is not None}


def ratios_of(selectors: Sequence[Mapping[str, Any]]) -> list[float]:
    """Return the final keep ratios of all selectors that have one, in their order and that of their blocks."""
    return [ratio for node in selectors for ratio in _final_ratios(_ratio(node))]


def summary_share(model: Node, counter: MacCounter) -> float:
    """Return the decoder's ``num_queries`` as a share of the visual tokens that reach it, without the prefix.

    Raises:
        ConfigError: The decoder has no fixed number of queries.
    """
    decoder = model.get("decoder") or {"type": "Identity"}
    argument = REGISTRIES.decoders.get(decoder["type"], "model.decoder").signature.arguments.get("num_queries")
    queries = decoder.get("num_queries", argument.default if argument else None)
    if not isinstance(queries, int):
        raise ConfigError(
            f"--num-queries scale: {decoder['type']} has no fixed number of queries, so there is none to scale. "
            "Use keep, or give model.decoder.num_queries a number."
        )
    return queries / _tokens_for_decoder(model, counter)


def _most(costs: Costs, budget: int, num_patches: int) -> int:
    """Return the largest number of patches within the budget, 1 to ``num_patches``."""
    if costs.of(num_patches) == budget:
        return num_patches
    if costs.of(num_patches) < budget:
        raise ConfigError(
            f"budget: keeping all {num_patches} patches takes {giga(costs.of(num_patches))}, less than the "
            f"{giga(budget)} of the reference. Choose a larger image or a cheaper reference; nothing need be dropped "
            "here."
        )
    kept = costs.most(num_patches)
    if kept == 0 or kept in costs.refused:
        raise ConfigError(_why_none(costs, budget, kept + 1, num_patches)) from costs.refused.get(kept)
    return kept


def _why_none(costs: Costs, budget: int, least: int, num_patches: int) -> str:
    text = (
        f"budget: keeping {least} of {num_patches} patches still takes {giga(costs.of(least))}, more than the "
        f"{giga(budget)} of the reference"
    )
    if costs.of(least) == costs.of(num_patches):
        return f"{text}, as much as keeping all: these keep ratios have no effect. Unset the option that fixes them."
    if least - 1 in costs.refused:
        text += f", and fewer are refused: {costs.refused[least - 1]}"
    return f"{text.rstrip('.')}. {_WAYS_OUT}"


def _ratio(node: Mapping[str, Any]) -> Any:
    argument = REGISTRIES.selectors.get(node["type"], "model.selectors").signature.arguments.get("keep_ratio")
    return node.get("keep_ratio", argument.default) if argument else None


def _final_ratios(value: Any) -> list[float]:
    if value is None:
        return []
    values = value if isinstance(value, Sequence) else [value]
    return [KeepRatioSchedule.parse(one).end for one in values]


def _with_smallest(selectors: Sequence[Mapping[str, Any]], least: float) -> list[Node]:
    """Scale all ratios alike so that the smallest one is ``least``."""
    smallest = min(ratios_of(selectors))

    def scaled(value: Any) -> Any:
        if isinstance(value, Sequence):
            return [scaled(one) for one in value]
        if isinstance(value, Mapping):
            return {**value, "end": scaled(value["end"])}
        # This order makes the smallest one exactly `least`: K / N of N patches must round down to K.
        return min(1.0, least * (value / smallest))

    return [{**node, **({} if _ratio(node) is None else {"keep_ratio": scaled(_ratio(node))})} for node in selectors]


def _with_summary(model: Node, counter: MacCounter, share: float) -> Node:
    queries = max(1, int(share * _tokens_for_decoder(model, counter) + 1e-9))
    return {**model, "decoder": {**model["decoder"], "num_queries": queries}}


def _tokens_for_decoder(model: Node, counter: MacCounter) -> int:
    return counter.tokens_for_decoder({**model, "decoder": {"type": "Identity"}})
