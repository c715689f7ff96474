"""Groups of configs with one baseline, and the random twin."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bus_toolkit.analysis.benchmark.groups import make_groups, select_at_random
from bus_toolkit.errors import ConfigError
from bus_toolkit.selectors.random import RandomSelector
from bus_toolkit.testing.model import tiny_batch, tiny_model
from bus_toolkit.testing.tiny import BATCH

ROOT = Path(__file__).parents[3] / "registry_configs"
TINY = ROOT / "bus" / "bus_scenes_tiny.yaml"
HEADS = {"itc": {"type": "ITCHead", "feature_dim": 16}}


def test_a_config_is_beside_its_baseline_without_reduction() -> None:
    (group,) = make_groups([TINY])
    assert (group.baseline.name, [m.name for m in group.members]) == ("bus_scenes_tiny unpruned", ["bus_scenes_tiny"])
    assert group.baseline.model["selectors"] == [] and group.baseline.model["decoder"] == {"type": "Identity"}
    assert group.members[0].model["selectors"][0]["type"] == "TSPS"


def test_configs_that_differ_in_reduction_only_share_a_host(tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(f"_base_: {TINY}\nmodel:\n  selectors: [{{type: Random, blocks: [2]}}]\n")
    plain = tmp_path / "plain.yaml"
    plain.write_text(f"_base_: {TINY}\nmodel:\n  selectors: []\n  decoder: {{type: Identity}}\n")
    (group,) = make_groups([TINY, other, plain])
    assert group.baseline.name == "plain", "an unpruned config is the baseline itself"
    assert [m.name for m in group.members] == ["bus_scenes_tiny", "other"]


def test_another_width_is_another_host() -> None:
    first, second = make_groups([TINY, ROOT / "albef" / "albef_scenes_small.yaml"])
    assert first.members and not second.members


def test_names_must_distinguish_configs() -> None:
    with pytest.raises(ConfigError, match="bus_scenes_tiny twice"):
        make_groups([TINY, TINY])


@pytest.mark.parametrize(
    "selector",
    [
        {"type": "TSPS", "blocks": [1, 3], "keep_ratio": 0.6},
        {"type": "ELIP", "blocks": [2, 4], "look_ahead": 1, "keep_ratio": [0.7, 0.45]},
        {"type": "TRIPS", "blocks": [2], "fuse": "none"},
    ],
    ids=lambda node: node["type"],
)
def test_the_random_twin_keeps_as_many_tokens_at_the_same_places(selector: dict) -> None:
    model = tiny_model(HEADS, selectors=[selector])
    images, _ = tiny_batch()
    text = model.encoders.encode_text(model.encoders.tokenize(["a red star"] * BATCH))
    own = model.backbone(images, text)
    sites = {s.site for s in model.backbone.selectors}
    twin = select_at_random(model, own.selections).backbone
    assert all(isinstance(s, RandomSelector) for s in twin.selectors) and {s.site for s in twin.selectors} == sites
    random = twin(images)
    assert [s.decision.plan.num_slots for s in random.selections] == [s.decision.plan.num_slots for s in own.selections]
    assert [s.block for s in random.selections] == [s.block for s in own.selections]
    assert not torch.equal(random.embeds, own.embeds)


def test_the_random_twin_trains_with_a_momentum_branch() -> None:
    model = tiny_model(HEADS, momentum={"decay": 0.9})
    images, samples = tiny_batch()
    selections = model.encode(images, ["a red star"] * BATCH).undecoded.selections
    twin = select_at_random(model, selections)
    twin.loss(images, samples)["loss_itc"].backward()
    twin.after_step()
