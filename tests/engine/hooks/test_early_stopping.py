"""Early stopping: by fractions, through a resume, with figures that are not there."""

import logging
import math

import pytest
from mmengine.evaluator import BaseMetric

from bus_toolkit.engine import EarlyStoppingHook, RunOptions, build_runner, load_checkpoint_file
from bus_toolkit.errors import ConfigError
from bus_toolkit.registry import METRICS
from tests.engine.tiny_run import tiny_config


@METRICS.register_module(force=True)
class Scripted(BaseMetric):
    """Give the scores of a list, one a validation, the last one for ever."""

    default_prefix = "scripted"

    def __init__(self, scores, name="R@1"):
        super().__init__()
        self.scores, self.name = list(scores), name

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        score = self.scores.pop(0) if len(self.scores) > 1 else self.scores[0]
        return {self.name: score, "seen": 1.0} if score is not None else {"seen": 1.0}


def config(tmp_path, scores, *, max_epochs=10, checkpoint=None, **hook):
    cfg = tiny_config(tmp_path, max_epochs=max_epochs)
    cfg.train_cfg.val_interval = 1
    cfg.val_evaluator = {"type": "bus_toolkit.Scripted", "scores": scores}
    if hook:
        cfg.custom_hooks = [{"type": "bus_toolkit.EarlyStoppingHook", "monitor": "scripted/R@1", **hook}]
    cfg.default_hooks = {"checkpoint": {"type": "bus_toolkit.AtomicCheckpointHook", **(checkpoint or {"interval": 1})}}
    return cfg


def epochs(cfg, **options):
    runner = build_runner(cfg, RunOptions(**options))
    runner.train()
    return runner.epoch


def test_fractions_that_rise_do_not_stop_a_training(tmp_path):
    scores = [0.30, 0.33, 0.36, 0.39, 0.42, 0.45]
    assert epochs(config(tmp_path, scores, patience=3, max_epochs=6)) == 6


def test_a_constant_score_stops_it_and_a_resumed_training_at_the_same_epoch(tmp_path, caplog):
    with caplog.at_level(logging.INFO, "bus_toolkit"):
        assert epochs(config(tmp_path / "whole", [0.5], patience=3)) == 4
    assert "Early stopping after 8 iterations: scripted/R@1, it did not get better in 3 validations" in caplog.text
    assert epochs(config(tmp_path / "split", [0.5], patience=3, max_epochs=3)) == 3
    assert epochs(config(tmp_path / "split", [0.5], patience=3), resume="latest") == 4
    assert epochs(config(tmp_path / "split", [0.5], patience=3), resume="latest") == 4  # it has ended


def test_a_rule_of_less_waits_for_less(tmp_path):
    cfg = config(tmp_path, [3.0, 2.9, 2.9, 2.9], patience=2, max_epochs=9, rule="less")
    assert epochs(cfg) == 4


def test_the_direction_of_the_metrics_here_is_known():
    names = [
        "retrieval/i2t_R@1",
        "vqa/accuracy",
        "caption/CIDEr_D",
        "caption/BLEU_4",
        "patch_text/auc",
        "grounding/acc",
    ]
    assert [EarlyStoppingHook(name).rule for name in names] == ["greater"] * 6
    assert EarlyStoppingHook("caption/nll").rule == "less"
    with pytest.raises(ConfigError, match=r"EarlyStoppingHook.rule: must be greater or less for 'x/num', got None"):
        EarlyStoppingHook("x/num")


def test_a_name_that_no_metric_gives_is_refused_before_the_first_step(tmp_path):
    cfg = config(tmp_path, [0.5], patience=3)
    cfg.custom_hooks[0].monitor = "retrieval/i2t_R@1"
    runner = build_runner(cfg)
    message = (
        r"EarlyStoppingHook.monitor: no metric of val_evaluator gives 'retrieval/i2t_R@1'; .* start with scripted/\."
    )
    with pytest.raises(ConfigError, match=message):
        runner.train()
    assert runner.iter == 0


def test_a_figure_that_is_absent_is_warned_of_once(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "bus_toolkit"):
        assert epochs(config(tmp_path, [None], patience=1, max_epochs=3)) == 3
    (record,) = [r for r in caplog.records if "EarlyStopping" in r.getMessage()]
    assert record.getMessage() == (
        "EarlyStoppingHook.monitor: 'scripted/R@1' was not measured, got scripted/seen. It does not count for early "
        "stopping."
    )


def test_it_is_no_matter_in_an_evaluation(tmp_path):
    cfg = config(tmp_path, [0.5], patience=1)
    cfg.train_dataloader = cfg.train_cfg = cfg.optim_wrapper = cfg.param_scheduler = None
    assert build_runner(cfg).test()["scripted/R@1"] == 0.5


@pytest.mark.parametrize("interval", [-1, 1])
def test_a_training_that_stops_early_ends_with_a_checkpoint(tmp_path, interval):
    assert epochs(config(tmp_path, [0.5], patience=1, checkpoint={"interval": interval})) == 2
    assert load_checkpoint_file(tmp_path / "epoch_2.pth")["meta"]["epoch"] == 2


def test_the_best_score_is_the_same_in_a_resumed_training(tmp_path):
    best = {"interval": 1, "save_best": "scripted/R@1"}
    epochs(config(tmp_path / "whole", [0.2, 0.6, 0.4, 0.5], max_epochs=4, checkpoint=best))
    cut = config(tmp_path / "split", [0.2, 0.6], max_epochs=2, checkpoint=best)
    epochs(cut)
    # The checkpoint of a run that was killed before the validation of its second epoch:
    epochs(config(tmp_path / "split", [0.4, 0.5], max_epochs=4, checkpoint=best), resume="latest")
    for name in ("whole", "split"):
        assert [path.name for path in (tmp_path / name).glob("best_*")] == ["best_scripted_R@1_epoch_2.pth"]


def test_a_validation_that_a_kill_prevented_is_made_up_for(tmp_path, monkeypatch):
    best = {"interval": 1, "save_best": "scripted/R@1"}
    runner = build_runner(config(tmp_path, [0.2, 0.6], max_epochs=4, checkpoint=best, patience=9))
    validate = runner.val_loop.run
    monkeypatch.setattr(
        runner.val_loop, "run", lambda: validate() if runner.epoch < 2 else (_ for _ in ()).throw(OSError)
    )
    with pytest.raises(OSError):
        runner.train()
    resumed = build_runner(
        config(tmp_path, [0.6, 0.4, 0.5], max_epochs=4, checkpoint=best, patience=9), RunOptions(resume="latest")
    )
    resumed.train()
    assert [path.name for path in tmp_path.glob("best_*")] == ["best_scripted_R@1_epoch_2.pth"]
    assert resumed.message_hub.get_info("early_stopping_scripted/R@1") == {"best": 0.6, "wait": 2, "rule": "greater"}


def test_a_best_figure_that_no_metric_gives_is_refused_before_the_first_step(tmp_path):
    runner = build_runner(config(tmp_path, [0.5], checkpoint={"save_best": "acc", "rule": "greater"}))
    with pytest.raises(ConfigError, match=r"AtomicCheckpointHook.save_best: no metric of val_evaluator gives 'acc'"):
        runner.train()


@pytest.mark.parametrize(("name", "scores"), [("scripted/r1_acc", [0.5]), ("scripted/R@1", [math.nan, 0.4, math.nan])])
def test_a_best_figure_that_is_not_measured_is_warned_of_and_training_goes_on(tmp_path, caplog, name, scores):
    with caplog.at_level(logging.WARNING, "bus_toolkit"):
        assert epochs(config(tmp_path, scores, max_epochs=3, checkpoint={"save_best": name})) == 3
    (record,) = [r for r in caplog.records if "save_best" in r.getMessage()]
    assert record.getMessage().startswith(f"AtomicCheckpointHook.save_best: {name!r} ")
    assert ("got scripted/R@1, scripted/seen. No checkpoint" in record.getMessage()) is (len(scores) == 1)
    assert len(list(tmp_path.glob("best_*"))) == (len(scores) == 3)


def test_without_a_validation_a_figure_is_said_to_be_never_measured(tmp_path, caplog):
    cfg = config(tmp_path, [0.5], patience=1, max_epochs=2)
    with caplog.at_level(logging.WARNING, "bus_toolkit"):
        assert epochs(cfg, no_validate=True) == 2
    assert "EarlyStoppingHook.monitor: scripted/R@1 is never measured: this training has no validation." in caplog.text


@pytest.mark.parametrize("patience", [0, 1])
def test_no_patience_ends_at_the_first_score_that_is_no_better(tmp_path, patience):
    assert epochs(config(tmp_path, [0.1, 0.2, 0.3, 0.3, 0.4], patience=patience)) == 4


def test_the_best_score_in_one_direction_is_none_in_the_other(tmp_path):
    assert epochs(config(tmp_path, [0.1], patience=9, rule="less", max_epochs=2)) == 2
    cfg = config(tmp_path, [0.05, 0.05, 0.06], patience=2, rule="greater", max_epochs=9)
    assert epochs(cfg, resume="latest") == 6  # 0.06 in epoch 4 is the best; that of epoch 2 is validated again
