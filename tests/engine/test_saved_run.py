"""A work dir belongs to its last finished checkpoint, and a checkpoint brings its own config."""

import logging
import shutil

import pytest
import torch
from mmengine.hooks import Hook

from bus_toolkit.config import load_config_text
from bus_toolkit.engine import build_runner, evaluate, latest_checkpoint, load_checkpoint_file
from bus_toolkit.engine.options import RunOptions
from bus_toolkit.engine.saved_config import model_differences, saved_config_text
from bus_toolkit.errors import CheckpointError
from bus_toolkit.weights.run_state import read_section
from tests.engine.tiny_run import tiny_config

EACH_EPOCH = {"type": "bus_toolkit.AtomicCheckpointHook", "interval": 1}


class Dies(Hook):
    def __init__(self, step):
        self.step = step

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.step:
            raise RuntimeError("the data are broken")


def run(folder, *, dies_at=None, **changes):
    cfg = tiny_config(folder)
    cfg.default_hooks = {"checkpoint": EACH_EPOCH}
    cfg.merge_from_dict(changes)
    runner = build_runner(cfg)
    if dies_at is not None:
        runner.register_hook(Dies(dies_at))
        with pytest.raises(RuntimeError, match="broken"):
            runner.train()
    else:
        runner.train()
    return runner


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_run_that_dies_before_its_first_checkpoint_changes_nothing(tmp_path):
    run(tmp_path)
    before = files(tmp_path)
    assert {"config.yaml", "last_checkpoint", "epoch_2.pth"} <= set(before)
    run(tmp_path, dies_at=1, **{"optim_wrapper.optimizer.lr": 0.9})
    assert files(tmp_path) == before
    assert any("lr: 0.9" in path.read_text() for path in tmp_path.glob("2*/config.yaml"))


@pytest.mark.slow
def test_the_first_checkpoint_of_a_new_run_takes_the_folder_over(tmp_path):
    run(tmp_path)
    run(tmp_path, dies_at=3, **{"optim_wrapper.optimizer.lr": 0.9})
    assert latest_checkpoint(tmp_path).name == "epoch_1.pth"
    assert "lr: 0.9" in (tmp_path / "config.yaml").read_text()
    assert "lr: 0.9" in saved_config_text(load_checkpoint_file(tmp_path / "epoch_1.pth"))
    assert "lr: 0.05" in saved_config_text(load_checkpoint_file(tmp_path / "epoch_2.pth")), "of the earlier run"


@pytest.mark.slow
def test_a_first_run_shows_its_config_from_the_start(tmp_path):
    run(tmp_path, dies_at=0)
    assert (tmp_path / "config.yaml").is_file() and latest_checkpoint(tmp_path) is None
    run(tmp_path, dies_at=0, **{"optim_wrapper.optimizer.lr": 0.9})
    assert "lr: 0.9" in (tmp_path / "config.yaml").read_text(), "nothing was finished there"


def test_a_checkpoint_brings_its_config_and_batches(tmp_path):
    runner = run(tmp_path)
    held = load_checkpoint_file(tmp_path / "epoch_2.pth")
    assert load_config_text(saved_config_text(held), "epoch_2.pth").to_dict() == runner.cfg.to_dict()
    sizes = {"batch_size": 4, "processes": 1, "accumulation": 1, "steps_per_epoch": 2}
    assert read_section(held, "batches") == sizes


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, ""),
        ({"optim_wrapper.optimizer.lr": 0.9}, ""),
        ({"model.width": 1}, "model.width 1 here, nothing there"),
        ({"model.pretrained": "a.pth"}, ""),
        ({"model.parts": [{"keep_ratio": 0.25}]}, "model.parts [{'keep_ratio': 0.25}] here, nothing there"),
        ({"model.spare": None}, ""),
    ],
)
def test_the_model_of_a_checkpoint_is_compared_with_that_in_use(change, expected):
    from bus_toolkit.config import config_text

    saved, cfg = config_text(tiny_config("w")), tiny_config("w")
    cfg.merge_from_dict(change)
    assert model_differences(saved, cfg, "a.pth") == expected


def test_differences_are_named_as_deep_as_they_lie():
    from bus_toolkit.config import config_text

    here, there = tiny_config("w"), tiny_config("w")
    there.model.selectors = [{"type": "A", "keep_ratio": 0.5}, {"type": "B"}]
    here.model.selectors = [{"type": "A", "keep_ratio": 0.25}, {"type": "C"}]
    shown = "model.selectors.0.keep_ratio 0.25 here, 0.5 there; model.selectors.1.type C here, B there"
    assert model_differences(config_text(there), here, "a.pth") == shown
    here.model.update({f"key_{n}": n for n in range(9)})
    assert model_differences(config_text(there), here, "a.pth").endswith("(and 6 more)")


@pytest.mark.slow
def test_evaluating_and_resuming_with_another_model_is_reported(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("bus_toolkit"), "propagate", True)
    run(tmp_path)
    caplog.clear()
    for options in (RunOptions(load_from=str(tmp_path / "epoch_2.pth")), RunOptions(resume="latest")):
        cfg = tiny_config(tmp_path, max_epochs=3)
        cfg.model.width = 1
        if options.resume is None:
            cfg.train_cfg = cfg.train_dataloader = cfg.optim_wrapper = cfg.param_scheduler = None
            build_runner(cfg, options).test()
        else:
            build_runner(cfg, options).train()
    wanted = "epoch_2.pth: was trained with another model section: model.width 1 here, nothing there. The values here"
    assert sum(wanted in record.getMessage() for record in caplog.records) >= 2


def test_a_model_with_other_parameters_is_refused_by_what_differs(tmp_path):
    run(tmp_path)
    cfg = tiny_config(tmp_path, max_epochs=3)
    cfg.model.spare = True
    with pytest.raises(CheckpointError) as caught:
        build_runner(cfg, RunOptions(resume="latest")).train()
    first, second = str(caught.value).splitlines()
    differs = "epoch_2.pth: is of a training with another model section: model.spare True here, nothing there. Resume"
    assert differs in first and "its optimizer has 2 parameters in 1 groups, got 4 in 1" in second


@pytest.mark.slow
def test_weights_to_start_from_may_be_of_another_model(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("bus_toolkit"), "propagate", True)
    run(tmp_path / "a")
    run(tmp_path / "b", load_from=str(tmp_path / "a/epoch_2.pth"), **{"model.width": 1})
    assert "another model section" not in caplog.text


def weight(path):
    return load_checkpoint_file(path)["state_dict"]["linear.weight"]


@pytest.mark.slow
def test_a_copied_folder_goes_on_from_its_own_checkpoint(tmp_path):
    run(tmp_path / "bus")
    own = weight(tmp_path / "bus/epoch_2.pth")
    shutil.copytree(tmp_path / "bus", tmp_path / "bus_seed0")
    run(tmp_path / "bus", **{"randomness.seed": 7})
    newest = latest_checkpoint(tmp_path / "bus_seed0")
    assert newest == tmp_path / "bus_seed0/epoch_2.pth" and torch.equal(weight(newest), own)
    assert not torch.equal(weight(tmp_path / "bus/epoch_2.pth"), own)


@pytest.mark.slow
def test_a_resumed_copy_leaves_the_best_checkpoint_of_the_other_run(tmp_path):
    best = {"default_hooks.checkpoint.save_best": "tiny/mean", "default_hooks.checkpoint.rule": "greater"}
    best["train_cfg.val_interval"] = 1
    run(tmp_path / "a", **best)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    cfg = tiny_config(tmp_path / "b", max_epochs=4)
    cfg.default_hooks = {"checkpoint": EACH_EPOCH}
    cfg.merge_from_dict(best)
    cfg.default_hooks.checkpoint.rule = "less"  # the next score counts as better, or the one after it
    held = sorted((tmp_path / "a").glob("best_*.pth"))
    runner = build_runner(cfg, RunOptions(resume="latest"))
    runner.train()
    assert runner.message_hub.get_info("best_ckpt").startswith(str(tmp_path / "b"))
    assert held and sorted((tmp_path / "a").glob("best_*.pth")) == held


def test_evaluate_is_the_same_with_the_config_in_the_checkpoint(tmp_path):
    run(tmp_path / "a")
    text = saved_config_text(load_checkpoint_file(tmp_path / "a/epoch_2.pth"))
    (tmp_path / "own.yaml").write_text(text)
    options = RunOptions(work_dir=str(tmp_path / "t"), load_from=str(tmp_path / "a/epoch_2.pth"))
    assert set(evaluate(tmp_path / "own.yaml", (), options)) == {"tiny/mean"}
