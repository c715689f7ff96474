"""Plans and jobs of a real, tiny study: equal cost, a shared start, curves, results."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from bus_toolkit.config import load_config
from bus_toolkit.errors import CheckpointError, ConfigError
from bus_toolkit.registry import plain
from bus_toolkit.study.jobs import Job, all_jobs
from bus_toolkit.study.planner import PlannedJob, Planner
from bus_toolkit.study.reading import read_study
from bus_toolkit.study.results import read_result
from bus_toolkit.study.starting import start_from
from bus_toolkit.study.work import CONFIG, Order, run_order
from tests.models.causal import tiny as tiny_causal
from tests.small_run import small

ROOT = Path(__file__).parents[2] / "registry_configs"
TASK = f"""
_base_: {ROOT / "bus" / "bus_scenes_tiny.yaml"}
model:
  text_encoder: {{num_layers: 1, hidden_size: 16, num_heads: 2}}
  backbone: {{arch: {{embed_dims: 16, num_layers: 2, num_heads: 2, feedforward_channels: 32}}}}
  fusion: {{_delete_: true, type: CrossAttentionFusion, num_layers: 1, num_heads: 2}}
  text_decoder: null
  selectors: []
  decoder: {{_delete_: true, type: Identity}}
  heads:
    _delete_: true
    itm: {{type: ITMHead}}
    itc: {{type: ITCHead, feature_dim: 8}}
    ptm: {{type: PatchTextHead}}
val_cfg: {{rerank_topk: 0}}
test_cfg: {{rerank_topk: 0}}
val_evaluator: [{{type: RetrievalRecall}}]
test_evaluator: [{{type: RetrievalRecall}}]
train_dataloader: {{sampler: {{_delete_: true, type: InfiniteSampler}}}}
"""
STUDY = """
title: tiny
seeds: [0]
reference: TSPS
keep: [0.25]
steps: 2
validate: {every: 2, samples: 4}
starts: {scenes: {config: task.yaml}}
tasks: {retrieval: {config: task.yaml, start: scenes}}
arms:
  full: {model: {heads: {ptm: null}}, steps: 3}
  TSPS: {selector: {type: TSPS, blocks: [1]}}
  Random: {selector: {type: Random, blocks: [1]}}
  Random after: {selector: {type: Random, blocks: [2]}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("study")
    (made / "task.yaml").write_text(TASK)
    # The same scenes for the start and the task: an anchor of YAML.
    words = "overrides: &words [{}]".format(", ".join(f'"{word}"' for word in small(made / "scenes")))
    first, second, third = STUDY.split("config: task.yaml")
    study = f"{first}config: task.yaml, {words}{second}config: task.yaml, overrides: *words{third}"
    (made / "study.yaml").write_text(study)
    return made


@pytest.fixture(scope="module")
def planned(folder: Path) -> dict[str, PlannedJob]:
    """Return the plans by the names of their arms."""
    study = read_study(folder / "study.yaml")
    jobs = all_jobs(study)
    planner = Planner(study, jobs, folder / "out")
    plans = {job.key.arm: planner.plan(job) for job in jobs}
    planner.counts.save()
    return plans


def model_of(plan: PlannedJob, folder: Path) -> dict[str, Any]:
    (folder / "planned.yaml").write_text(plan.config)
    model: dict[str, Any] = plain(load_config(folder / "planned.yaml").to_dict())["model"]
    return model


def test_arms_cost_what_the_reference_costs_or_say_by_how_much_they_differ(
    planned: dict[str, PlannedJob], folder: Path
) -> None:
    reference = planned["TSPS"].cost
    assert planned["TSPS"].changes == {"model.selectors.0.keep_ratio": 0.25}
    assert reference.target == reference.inference and reference.tokens == {"block 1": 18, "block 2": 18, "decoder": 18}
    for name in ("Random", "Random after"):
        cost = planned[name].cost
        assert cost.target == reference.inference and cost.deviation is not None
        assert (
            model_of(planned[name], folder)["selectors"][0]["keep_ratio"]
            == planned[name].changes["model.selectors.0.keep_ratio"]
        )
    # The score costs TSPS tokens, which Random may keep; after the last block little can be saved.
    assert abs(planned["Random"].cost.deviation) <= 0.03 and planned["Random"].cost.tokens["decoder"] > 18
    assert planned["Random after"].cost.deviation > 0.03 and planned["Random after"].cost.tokens["decoder"] == 2
    full = planned["full"]
    assert full.cost.target is full.cost.deviation is None and full.changes == {}
    assert full.cost.step > 2 * full.cost.inference > 2 * full.cost.shared > 0
    assert "ptm" not in model_of(full, folder)["heads"]


def test_counts_are_kept(planned: dict[str, PlannedJob], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = read_study(folder / "study.yaml")
    jobs = all_jobs(study)
    monkeypatch.setattr("bus_toolkit.study.counts.MacCounter", None)
    again = Planner(study, jobs, folder / "out").plan(next(job for job in jobs if job.key.arm == "Random"))
    assert again == planned["Random"]


def test_the_fingerprint_follows_config_and_start(planned: dict[str, PlannedJob], folder: Path) -> None:
    def fingerprint(text: str, arm: str) -> str:
        (folder / "other.yaml").write_text(text)
        study = read_study(folder / "other.yaml")
        jobs = all_jobs(study)
        job = next(job for job in jobs if job.key.arm == arm)
        return Planner(study, jobs, folder / "out").plan(job).fingerprint

    text = (folder / "study.yaml").read_text()
    first = fingerprint(text.replace("Random after", "Other"), "full")
    assert first == planned["full"].fingerprint
    assert fingerprint(text.replace("steps: 3", "steps: 4"), "full") != first
    changed = text.replace("starts: {scenes: {", "starts: {scenes: {steps: 7, ")
    assert changed != text and fingerprint(changed, "full") != first, "what it starts from has changed"


def test_the_fingerprint_does_not_follow_what_was_planned_before(folder: Path) -> None:
    # Ranks of retrieval cannot be tested under another text.
    more = "wrong_text: true, overrides: [test_evaluator.0.type=PatchTextAUC], "
    text = (folder / "study.yaml").read_text().replace("TSPS: {", f"TSPS: {{{more}")
    (folder / "order.yaml").write_text(text)
    jobs = all_jobs(study := read_study(folder / "order.yaml"))
    reference, other = (next(job for job in jobs if job.key.arm == arm) for arm in ("TSPS", "Random"))
    assert reference.wrong_text and not other.wrong_text
    late, first = Planner(study, jobs, folder / "out"), Planner(study, jobs, folder / "out")
    late.plan(other)  # costs what the reference costs, which is planned for it
    assert late.plan(reference) == first.plan(reference)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("match: keep", "retrieval, full: match: keep needs a selector with a keep ratio"),
        (
            "wrong_text: true",
            "retrieval, full: wrong_text: .* no selector, decoder or prior of this model reads the text",
        ),
    ],
)
def test_an_arm_without_what_it_asks_for_is_refused(folder: Path, more: str, message: str) -> None:
    (folder / "bad.yaml").write_text((folder / "study.yaml").read_text().replace("full: {", f"full: {{{more}, "))
    study = read_study(folder / "bad.yaml")
    jobs = all_jobs(study)
    job: Job = next(job for job in jobs if job.key.arm == "full")
    with pytest.raises(ConfigError, match=message):
        Planner(study, jobs, folder / "out").plan(job)


def test_an_arm_starts_from_the_checkpoint_and_leaves_curve_samples_and_no_weights(
    planned: dict[str, PlannedJob], folder: Path
) -> None:
    out = folder / "out"
    done = {}
    for name, keeps in (("scenes", True), ("TSPS", False)):
        plan = planned[name]
        place = plan.job.key.folder(out)
        Order.of(plan, out, keeps_checkpoint=keeps).write(place, plan.config)
        done[name] = run_order(place)
        page = (place / "report.html").read_text()
        assert ("Test of the study</h3>" in page) == bool(done[name].metrics)
        assert done[name] == read_result(place) and done[name].fingerprint == plan.fingerprint
    start, arm = done["scenes"], done["TSPS"]
    assert start.checkpoint == "iter_2.pth" and start.metrics == {} and [p["step"] for p in start.curve] == [2]
    assert arm.fresh == ["backbone.selectors"] and arm.checkpoint is None
    assert not list(planned["TSPS"].job.key.folder(out).glob("*.pth"))
    assert [point["step"] for point in arm.curve] == [0, 2] and arm.train["steps"] == 2
    first, last = arm.curve
    assert first["macs"] == first["seconds"] == 0 and last["macs"] == 16 * arm.macs["step"]
    assert last["val"]["retrieval/num_images"] == 4 and arm.metrics["retrieval/num_images"] == 6
    assert last["seconds"] == arm.train["seconds"] > 0 and arm.wrong_text is None
    assert start.test == {} and arm.test["samples"] in (2, 4, 6) and arm.test["seconds"] > 0
    assert (arm.task, arm.arm, arm.keep, arm.seed, arm.chosen_on) == ("retrieval", "TSPS", 0.25, 0, "val")
    with gzip.open(planned["TSPS"].job.key.folder(out) / "samples.jsonl.gz", "rt") as lines:
        assert {"id", "rank"} <= json.loads(next(lines)).keys()


def test_a_start_without_a_checkpoint_is_refused(folder: Path, planned: dict[str, PlannedJob]) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(CheckpointError, match="the job to start from has no checkpoint. Run it first"):
        start_from(folder / "empty", {"model": {}})
    assert CONFIG == "job.yaml"


def test_selectors_of_a_language_model_may_be_fresh(tmp_path: Path) -> None:
    start = tiny_causal.model()
    torch.save(start.state_dict(), tmp_path / "iter_1.pth")
    (tmp_path / "last_checkpoint").write_text(str(tmp_path / "iter_1.pth"))
    node = {"type": "CausalVLM", **tiny_causal.PARTS, "selectors": [tiny_causal.TSPS]}
    assert start_from(tmp_path, {"model": node}) == {
        "checkpoint": str(tmp_path / "iter_1.pth"),
        "new_parts": ["selectors"],
        "unused_parts": [],
    }
