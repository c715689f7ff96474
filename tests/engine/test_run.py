import json

import pytest

from bus_toolkit.engine import RunOptions, evaluate, run, train
from bus_toolkit.errors import ConfigError
from tests.engine.tiny_run import tiny_config


@pytest.fixture
def config(tmp_path, monkeypatch):
    """Let `load_config` return the tiny config, whatever the path."""
    cfg = tiny_config(tmp_path / "work")
    monkeypatch.setattr(run, "load_config", lambda path, overrides: cfg)
    return cfg


def test_a_trained_checkpoint_is_evaluated_and_its_metrics_are_written(config, tmp_path):
    train("tiny.yaml")
    checkpoint = str(tmp_path / "work/epoch_2.pth")
    metrics = evaluate("tiny.yaml", (), RunOptions(load_from=checkpoint), out=tmp_path / "new/metrics.json")
    assert json.loads((tmp_path / "new/metrics.json").read_text()) == metrics
    assert set(metrics) == {"tiny/mean"}


def test_an_evaluation_leaves_the_config_of_the_training_alone(config, tmp_path):
    train("tiny.yaml")
    written = (tmp_path / "work/config.yaml").read_text()
    evaluate("tiny.yaml", (), RunOptions(load_from=str(tmp_path / "work/epoch_2.pth")))
    assert (tmp_path / "work/config.yaml").read_text() == written
    assert len(list((tmp_path / "work").glob("2*/config.yaml"))) == 2  # of the training and of the evaluation


def test_an_evaluation_does_not_ask_for_training_data(config, tmp_path):
    train("tiny.yaml")
    config.train_dataloader.dataset.type = "bus_toolkit.Gone"
    assert evaluate("tiny.yaml", (), RunOptions(load_from=str(tmp_path / "work/epoch_2.pth")))


def test_every_missing_part_of_a_training_is_named(config):
    config.optim_wrapper = config.train_cfg = None
    with pytest.raises(ConfigError) as caught:
        train("tiny.yaml")
    assert [str(problem).split(":")[0] for problem in caught.value.problems] == ["train_cfg", "optim_wrapper"]


def test_an_evaluation_without_data_is_refused(config):
    config.val_dataloader = None
    with pytest.raises(ConfigError, match="test_dataloader: an evaluation needs it or val_dataloader, got neither"):
        evaluate("tiny.yaml")


def test_metrics_are_written_as_json_only(config):
    with pytest.raises(ConfigError, match=r"--out: the metrics are written as JSON, got metrics\.pkl"):
        evaluate("tiny.yaml", out="metrics.pkl")


def test_a_config_without_a_model_is_refused(config):
    config.model = None
    with pytest.raises(ConfigError, match=r"^model: a training needs it, got none\. Add it"):
        train("tiny.yaml")
    with pytest.raises(ConfigError, match=r"^model: an evaluation needs it, got none\. Add it"):
        evaluate("tiny.yaml")


def test_metrics_that_cannot_be_written_are_reported_with_the_flag(config, tmp_path):
    train("tiny.yaml")
    (tmp_path / "file").touch()
    checkpoint = str(tmp_path / "work/epoch_2.pth")
    with pytest.raises(ConfigError, match=r"--out: cannot write .*file/new: Not a directory\. Set --out to a place"):
        evaluate("tiny.yaml", (), RunOptions(load_from=checkpoint), out=tmp_path / "file/new/m.json")


def test_verdicts_need_a_metric_that_has_them_a_test_and_a_file_that_can_be_written(config, tmp_path):
    with pytest.raises(ConfigError, match="samples_file: a test has verdicts, got it for a training"):
        train("tiny.yaml", (), RunOptions(samples_file="x.jsonl"))
    with pytest.raises(ConfigError, match="--samples: the verdicts are written as JSON lines, got x.json"):
        evaluate("tiny.yaml", (), RunOptions(samples_file="x.json"))
    with pytest.raises(ConfigError, match="--samples: needs a metric with a verdict on single samples, got TinyMean"):
        evaluate("tiny.yaml", (), RunOptions(samples_file=tmp_path / "x.jsonl"))
