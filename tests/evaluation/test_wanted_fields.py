"""An evaluation computes what somebody reads, and everything where somebody does not say what he reads."""

from __future__ import annotations

import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook, IterTimerHook, LoggerHook

from bus_toolkit.declarations import declared
from bus_toolkit.engine.evaluator_checks import check_metrics
from bus_toolkit.engine.hooks.report import ReportHook
from bus_toolkit.errors import ConfigError
from bus_toolkit.evaluation import ClassificationAccuracy, PatchTextAUC, RetrievalRecall
from bus_toolkit.evaluation.wanted_fields import wanted_fields
from bus_toolkit.heads import VLPHead
from bus_toolkit.models.vlp import VLPModel
from bus_toolkit.registry import METRICS, REGISTRIES
from bus_toolkit.testing import tiny_batch
from bus_toolkit.testing.model import TINY_HEADS, tiny_model

PATCHES = {"kept", "scores", "patch_grid"}


class Loop:
    reads = ("text_feats",)
    gives = ()

    def __init__(self, *metrics) -> None:
        self.metrics, self.evaluator = metrics, self


class Reading(Hook):
    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Read predictions, and do not say which."""


class Undeclared(ClassificationAccuracy):
    def row(self, sample):
        return {**super().row(sample), "score": sample.get("pred_score")}


class Foreign(BaseMetric):
    def process(self, data_batch, data_samples) -> None:
        """Read predictions, and do not say which."""

    def compute_metrics(self, results):
        return {}


def test_it_is_what_metrics_hooks_and_the_loop_read() -> None:
    hooks = [IterTimerHook(), LoggerHook(), Hook()]
    assert wanted_fields([ClassificationAccuracy()], hooks, Loop()) == {"pred_label", "text_feats"}
    assert wanted_fields([PatchTextAUC()], hooks, None) == {"patch_scores", "patch_scores_shuffled", "object_labels"}
    assert wanted_fields([], [ReportHook(num_images=1)], None) == PATCHES
    assert wanted_fields([], [ReportHook(num_images=0)], None) == set(), "no picture is missing"


@pytest.mark.parametrize("metric", [Undeclared(), Foreign()])
def test_a_metric_that_declares_nothing_wants_everything(metric: BaseMetric) -> None:
    assert wanted_fields([ClassificationAccuracy(), metric], [], None) is None


def test_a_hook_that_declares_nothing_wants_everything() -> None:
    assert wanted_fields([], [Reading()], None) is None


@pytest.fixture(scope="module")
def model() -> VLPModel:
    return tiny_model(TINY_HEADS).eval()


def predicted(model: VLPModel, monkeypatch: pytest.MonkeyPatch, fields: set[str] | None) -> tuple[set[str], set[str]]:
    """Return the heads that ran, and the fields that samples got."""
    ran: set[str] = set()
    for name, head in model.heads.items():
        monkeypatch.setattr(head, "predict", lambda step, name=name, run=head.predict: (ran.add(name), run(step))[1])
    images, samples = tiny_batch()
    before = set(samples[0].keys())
    with torch.no_grad():
        model.predict(images, samples, fields=fields)
    return ran, set(samples[0].keys()) - before


@pytest.mark.parametrize(
    ("fields", "heads", "given"),
    [
        (set(), set(), set()),
        ({"pred_label"}, {"classification"}, {"pred_label", "pred_score"}),
        ({"image_feats", "text_feats"}, {"itc"}, {"image_feats", "text_feats"}),
        ({"patch_scores"}, {"ptm"}, {"patch_scores", "patch_labels", "object_labels"}),
        ({"kept"}, set(), PATCHES),
        ({"kept", "kept_stages"}, set(), {*PATCHES, "kept_stages", "stage_blocks"}),
    ],
)
def test_heads_run_whose_predictions_are_read(model, monkeypatch, fields, heads, given) -> None:
    assert predicted(model, monkeypatch, fields) == (heads, given)


def test_the_last_stage_kept_what_is_kept_in_all(model) -> None:
    images, samples = tiny_batch()
    with torch.no_grad():
        model.predict(images, samples, fields={"kept", "kept_stages"})
    for sample in samples:
        assert len(sample.kept_stages) == len(sample.stage_blocks) > 0
        assert torch.equal(sample.kept_stages[-1], sample.kept)


def test_without_a_wish_every_head_runs_and_an_evaluation_may_wish(model, monkeypatch) -> None:
    assert predicted(model, monkeypatch, None)[0] == set(TINY_HEADS)
    images, samples = tiny_batch()
    model.wanted_fields = frozenset({"pred_label"})
    with torch.no_grad():
        model(images, samples, mode="predict")
    model.wanted_fields = None
    assert "pred_label" in samples[0] and "image_feats" not in samples[0]


def test_a_head_that_declares_nothing_always_runs_and_sees_no_wish(model, monkeypatch) -> None:
    class Plugged(type(model.heads["itc"])):
        def predict(self, step):
            return {"own": [len(super().predict(step))] * 3}

    monkeypatch.setattr(model.heads["itc"], "__class__", Plugged)
    images, samples = tiny_batch()
    with torch.no_grad():
        model.predict(images, samples, fields=set())
    assert samples[0].own == 3


def test_a_metric_that_reads_what_no_head_predicts_is_refused() -> None:
    model = tiny_model({"itm": {"type": "ITMHead"}})
    check_metrics(Loop(PatchTextAUC()), model, "val_evaluator")  # models with and without boxes share an evaluator
    message = (
        "val_evaluator.RetrievalRecall: reads image_feats, text_feats, which no head predicts: got heads that give "
        "itm_negative, itm_positive, kept, patch_grid, scores.* Add the head that gives it, or remove RetrievalRecall"
    )
    with pytest.raises(ConfigError, match=message):
        check_metrics(Loop(RetrievalRecall()), model, "val_evaluator")

    class Plugged(VLPHead):
        def predict(self, step):
            return {"image_feats": [], "text_feats": []}

    model.heads["own"] = Plugged()
    check_metrics(Loop(RetrievalRecall()), model, "val_evaluator")  # it may give them


def test_all_of_ours_declare() -> None:
    heads = [(REGISTRIES.heads.get(name).cls, "predicts", "predict") for name in REGISTRIES.heads.names()]
    metrics = [(cls, "reads", "row") for cls in METRICS.module_dict.values()]
    ours = [(cls, *names) for cls, *names in heads + metrics if cls.__module__.startswith("bus_toolkit.")]
    assert len(ours) > 20
    assert [cls for cls, *names in ours if declared(object.__new__(cls), *names) is None] == []
