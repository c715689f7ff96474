"""Who takes part in a benchmark: the configs, each beside its unpruned baseline and those of its own cost."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from bus_toolkit.analysis.benchmark.causal_workload import CausalWorkload
from bus_toolkit.analysis.benchmark.results import Settings
from bus_toolkit.analysis.benchmark.workload import Workload
from bus_toolkit.analysis.budget.baselines import same_cost_baselines, unselective
from bus_toolkit.analysis.meta_macs import MacCounter
from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone
from bus_toolkit.config import load_config
from bus_toolkit.errors import ConfigError
from bus_toolkit.models.build import build_model
from bus_toolkit.models.vlp import VLPModel
from bus_toolkit.registry import plain
from bus_toolkit.selectors.random import RandomSelector
from bus_toolkit.structures import Selection

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Contender:
    """One config: its file's stem as ``name``, and its ``model`` part."""

    name: str
    model: dict[str, Any]

    def build(self) -> Any:
        """Build the model, with random weights."""
        return build_model(self.model)


@dataclass(frozen=True)
class Group:
    """Configs that differ in selectors and decoder only, and the baseline that they share, without any."""

    baseline: Contender
    members: tuple[Contender, ...]


def make_groups(configs: Sequence[str | Path], overrides: Sequence[str] = ()) -> list[Group]:
    """Load ``configs`` and sort them by their unpruned baselines: no selectors, decoder Identity, all heads.

    Raises:
        ConfigError: Two configs with the same file name, one without a VLPModel, or anything wrong with one of them.
    """
    groups: dict[str, Group] = {}
    names: set[str] = set()
    for path in configs:
        name = Path(str(path).rsplit("::", 1)[-1]).stem
        if name in names:
            raise ConfigError(f"benchmark: file names must distinguish the configs, got {name} twice. Rename one.")
        names.add(name)
        model = plain(load_config(path, list(overrides)).to_dict()).get("model") or {}
        if "backbone" not in model:
            text = "there is no backbone to measure. Give configs of a VLPModel or a CausalVLM."
            raise ConfigError(f"{path}: model: {text}")
        bare = copy.deepcopy(model)
        bare |= {**unselective(bare), **({"patch_text": None} if "patch_text" in bare else {})}
        key = repr(sorted(bare.items()))
        group = groups.setdefault(key, Group(Contender(f"{name} unpruned", bare), ()))
        if _reduces(model):
            groups[key] = Group(group.baseline, (*group.members, Contender(name, model)))
        else:
            groups[key] = Group(Contender(name, bare), group.members)
    return list(groups.values())


def _reduces(model: Mapping[str, Any]) -> bool:
    return (
        bool(model.get("selectors") or model.get("vision_selectors"))
        or (model.get("decoder") or {}).get("type", "Identity") != "Identity"
    )


def same_cost(member: Contender, settings: Settings) -> Iterator[Contender]:
    """Yield what a config that selects is compared with at its MACs of a step: even pattern, pooling, smaller image.

    A random selection of the even pattern's ratio costs the same. Those that cannot have this cost are left out, and
    logged.
    """
    counter = MacCounter(
        "step",
        settings.text_length,
        batch_size=max(2, settings.batch_size),
        texts_per_image=settings.texts_per_image,
        scope=settings.scope,
    )
    for baseline in same_cost_baselines(member.model, counter.macs(member.model), counter):
        shown = [name for name in baseline.names if name != "Random"]
        if baseline.plan is None:
            _log.info("%s: no %s at its cost. %s", member.name, " or ".join(shown), baseline.problem)
            continue
        for name in shown:
            yield Contender(f"{member.name} {name}", baseline.model(name))


def random_twin(member: Contender, load: Workload | CausalWorkload) -> Any:
    """Return the model of a config with random selectors that keep as many tokens at the same places."""
    if isinstance(load, Workload):
        return select_at_random(member.build(), load.selections())
    nodes = {
        name: [{"type": "Random", **_same_number(selection)} for selection in selections]
        for name, selections in load.selections_by_tower().items()
    }
    return build_model({**member.model, **nodes, "patch_text": None})


def _same_number(selection: Selection) -> dict[str, Any]:
    """Return settings of a selector that leaves as many tokens at the same place."""
    plan = selection.decision.plan
    ratio = plan.keep_indices.shape[1] / plan.num_inputs
    return {"blocks": [selection.block], "keep_ratio": ratio, "fuse": "normalized" if plan.fused else "none"}


def select_at_random(model: VLPModel, selections: Sequence[Selection]) -> VLPModel:
    """Replace the selectors of ``model`` by random ones that keep as many tokens at the same places, and return it.

    Args:
        model: Changed in place.
        selections: What its own selectors did in one pass.
    """
    sites = {block: selector.site for selector in model.backbone.selectors for block in selector.blocks}
    chosen = []
    for selection in selections:
        selector = RandomSelector(**_same_number(selection))
        selector.site = sites[selection.block]  # type: ignore[misc]  # the copy acts at the same site as the original
        chosen.append(selector)
    backbones: list[TokenReducingBackbone] = [model.backbone]
    if model.momentum is not None:
        backbones.append(model.momentum.copies["backbone"])  # the copies follow tensor by tensor
    for backbone in backbones:
        backbone.selectors = nn.ModuleList(copy.deepcopy(chosen))
    return model
