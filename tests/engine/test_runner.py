import logging

import pytest
import torch
import yaml
from safetensors.torch import save_file

from bus_toolkit.engine import RunOptions, build_runner, load_checkpoint_file
from bus_toolkit.errors import CheckpointError, ConfigError
from tests.engine.tiny_run import tiny_config


def weights(runner):
    return {name: value.clone() for name, value in runner.model.state_dict().items()}


def test_a_run_trains_and_evaluates(tmp_path):
    runner = build_runner(tiny_config(tmp_path))
    before = weights(runner)
    runner.train()
    after = weights(runner)
    assert not torch.equal(before["linear.weight"], after["linear.weight"])
    assert int(after["steps"]) == 4  # two epochs of two batches
    assert runner.message_hub.get_scalar("val/tiny/mean").current() == pytest.approx(runner.val_loop.run()["tiny/mean"])


def test_a_resumed_run_ends_where_an_unbroken_one_does(tmp_path):
    build_runner(tiny_config(tmp_path / "whole", max_epochs=4)).train()
    whole = load_checkpoint_file(tmp_path / "whole/epoch_4.pth")
    build_runner(tiny_config(tmp_path / "split", max_epochs=2)).train()
    resumed = build_runner(tiny_config(tmp_path / "split", max_epochs=4), RunOptions(resume="latest"))
    resumed.train()
    split = load_checkpoint_file(tmp_path / "split/epoch_4.pth")
    assert resumed.model.progress[:2] == [2.0, 2.0]  # once before the training, once before its first step
    assert int(split["state_dict"]["steps"]) == 8
    for name, value in whole["state_dict"].items():
        torch.testing.assert_close(split["state_dict"][name], value)
    assert len(split["message_hub"]["log_scalars"]["train/loss"]._log_history) == 8


def test_a_fixed_seed_gives_the_same_weights_twice(tmp_path):
    runs = [build_runner(tiny_config(tmp_path / name), RunOptions(seed=5)) for name in "ab"]
    results = []
    for name in "ab":
        runner = build_runner(tiny_config(tmp_path / name), RunOptions(seed=5))
        runner.train()
        results.append(weights(runner))
    assert torch.equal(results[0]["linear.weight"], results[1]["linear.weight"])
    assert runs[0].seed == 5


def test_the_resolved_config_is_written(tmp_path):
    build_runner(tiny_config(tmp_path), RunOptions(seed=7))
    written = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert written["randomness"]["seed"] == 7
    assert written["train_cfg"]["max_epochs"] == 2


def test_a_config_can_leave_a_default_hook_out(tmp_path):
    cfg = tiny_config(tmp_path)
    cfg.default_hooks = {"progress": None}
    runner = build_runner(cfg)
    names = [type(hook).__name__ for hook in runner.hooks]
    assert "RichProgressHook" not in names
    assert "AtomicCheckpointHook" in names and "TrainingProgressHook" in names


def test_validation_data_serve_a_test(tmp_path):
    cfg = tiny_config(tmp_path)
    cfg.train_dataloader = cfg.train_cfg = cfg.optim_wrapper = cfg.param_scheduler = None
    assert "tiny/mean" in build_runner(cfg).test()


def test_weights_of_safetensors_start_a_training(tmp_path):
    path = str(tmp_path / "w.safetensors")
    save_file({"linear.weight": torch.full((1, 4), 9.0)}, path)
    with pytest.raises(
        CheckpointError, match=r"^load_from: .*it has no steps, linear\.bias\. .* write {checkpoint: .*, new_p"
    ):
        build_runner(tiny_config(tmp_path), RunOptions(load_from=path)).load_or_resume()
    cfg = tiny_config(tmp_path)
    cfg.load_from = {"checkpoint": path, "new_parts": ["steps", "linear.bias"]}
    runner = build_runner(cfg)
    runner.load_or_resume()
    assert torch.equal(runner.model.linear.weight.data, torch.full((1, 4), 9.0))


def test_weights_of_another_model_are_refused(tmp_path):
    save_file({"other": torch.zeros(1)}, tmp_path / "w.safetensors")
    runner = build_runner(tiny_config(tmp_path), RunOptions(load_from=str(tmp_path / "w.safetensors")))
    with pytest.raises(CheckpointError, match="none of its 1 tensors fits this model; their names begin with other"):
        runner.load_or_resume()


def test_a_work_dir_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"work_dir: cannot write .*file/w: Not a directory\. Set work_dir to"):
        build_runner(tiny_config(tmp_path / "file" / "w"))


def test_an_evaluation_needs_every_weight(tmp_path):
    save_file({"linear.weight": torch.zeros(1, 4)}, tmp_path / "w.safetensors")
    cfg = tiny_config(tmp_path)
    cfg.train_dataloader = cfg.train_cfg = cfg.optim_wrapper = cfg.param_scheduler = None
    runner = build_runner(cfg, RunOptions(load_from=str(tmp_path / "w.safetensors")))
    with pytest.raises(
        CheckpointError, match=r"does not fit this model: it has no steps, linear\.bias\. .*Use the config\.yaml"
    ):
        runner.test()


def test_the_screen_stays_free_of_openmmlab_and_the_file_gets_everything(tmp_path, capsys):
    runner = build_runner(tiny_config(tmp_path))
    runner.train()
    shown = capsys.readouterr()
    for noise in ("System environment", "mmengine", "Config:", "Hooks will be executed", "FileClient"):
        assert noise not in shown.out + shown.err
    assert "step 4/4" in shown.out
    assert "Trained 4 iterations (16 samples)" in shown.err
    logged = next(tmp_path.glob("2*/*.log")).read_text()
    assert "System environment" in logged and "Trained 4 iterations" in logged


def test_debug_shows_what_openmmlab_logs(tmp_path, capsys):
    build_runner(tiny_config(tmp_path), RunOptions(debug=True))
    assert "System environment" in capsys.readouterr().out
    logging.getLogger("bus_toolkit").setLevel(logging.INFO)


@pytest.mark.parametrize(
    "change, message",
    [
        (
            {"custom_hooks": [{"type": "EarlyStoppingHook", "monitor": "x", "rule": "up"}]},
            "custom_hooks.0: refuses its",
        ),
        ({"optim_wrapper": {"optimizer": {"type": "SGD", "lr": 0.1, "nesterov": True}}}, "optim_wrapper: refuses its"),
    ],
)
def test_values_that_are_refused_late_are_named_by_their_path(tmp_path, change, message):
    cfg = tiny_config(tmp_path)
    cfg.merge_from_dict({**change})
    with pytest.raises(ConfigError, match=message):
        build_runner(cfg).train()
