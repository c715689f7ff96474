"""What any selection is compared with at equal cost: selections that look at nothing, pooling, fewer pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bus_toolkit.analysis.budget.plan import Plan, plan_budget
from bus_toolkit.analysis.budget.smaller_image import smaller_image
from bus_toolkit.analysis.meta_macs import MacCounter
from bus_toolkit.errors import ConfigError
from bus_toolkit.registry import REGISTRIES

Node = dict[str, Any]
# They drop or merge without a product of matrices, so that one plan holds for all.
BLIND = ("Random", "UniformGrid", "GridPool")
SMALLER_IMAGE = "smaller image"


@dataclass(frozen=True)
class Baseline:
    """A baseline at the cost of a model.

    Attributes:
        names: Of the baselines that the plan holds for.
        plan: The plan, with the first of them; ``None`` where none has this cost.
        problem: Why there is no plan; empty if there is one.
    """

    names: Sequence[str]
    plan: Plan | None
    problem: str = ""

    def model(self, name: str) -> Node:
        """Return the ``model`` part of a config with the baseline of that name."""
        assert self.plan is not None, "asked for baselines that have a plan"
        selectors = [{**node, "type": name} for node in self.plan.model["selectors"]]
        return {**self.plan.model, "selectors": selectors}


def same_cost_baselines(model: Node, budget: int, counter: MacCounter) -> list[Baseline]:
    """Plan the baselines of a model for its cost.

    ``Random``, ``UniformGrid`` and ``GridPool`` select once, after the first block that has a selector in ``model``,
    and fuse nothing. The smaller image has neither selectors nor a decoder. Heads that train the scores of selectors
    take no part in either, nor does a prior; of a ``CausalVLM`` no ``patch_text``. Its selectors in the language model
    are what is replaced.

    Args:
        model: The ``model`` part of a config with selectors.
        budget: MACs an image, those of ``model`` as a rule.
        counter: Counts them.
    """
    heads = {
        name: node
        for name, node in (model.get("heads") or {}).items()
        if not getattr(REGISTRIES.heads.get(node["type"], f"model.heads.{name}").cls, "needs_supervised_scores", False)
    }
    bare = {**model, **({"heads": heads, "prior": None} if "heads" in model else {"patch_text": None})}
    block = min(min(node["blocks"]) for node in model["selectors"])
    blind = {**bare, "selectors": [{"type": BLIND[0], "blocks": [block], "keep_ratio": 0.5}]}
    full = {**bare, **unselective(bare)}
    return [
        _planned(BLIND, lambda: plan_budget(blind, budget, counter)),
        _planned((SMALLER_IMAGE,), lambda: smaller_image(full, budget, counter)),
    ]


def unselective(model: Node) -> Node:
    """Return the settings without which a model reads all tokens: no selectors, no decoder."""
    outer: Node = {"vision_selectors": []} if model.get("vision_selectors") else {}
    return {"selectors": [], **outer, "decoder": {"type": "Identity"}}


def _planned(names: Sequence[str], plan: Callable[[], Plan]) -> Baseline:
    try:
        return Baseline(names, plan())
    except ConfigError as error:
        return Baseline(names, None, str(error))
