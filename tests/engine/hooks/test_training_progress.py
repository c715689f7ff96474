"""The model follows the training: before steps, before validations, and from a checkpoint."""

import json
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from bus_toolkit import Inferencer
from bus_toolkit.engine import RunOptions, TrainingProgressHook, build_runner, load_checkpoint_file
from bus_toolkit.engine.hooks.training_progress import iterations_per_epoch
from bus_toolkit.errors import ConfigError, DataError
from bus_toolkit.weights.run_state import read_section
from tests.engine.tiny_run import tiny_config
from tests.engine.vlp_run import train_vlp, vlp_config

FALLING = "model.selectors.0.keep_ratio={start: 1.0, end: 0.25, epochs: 0.25, shape: linear}"


def test_the_model_gets_the_epoch_before_every_step_and_validation(tmp_path):
    config = tiny_config(tmp_path)
    config.train_cfg.val_interval = 1
    runner = build_runner(config)
    runner.train()
    # Two batches an epoch: before the training, two steps, a validation, two steps, a validation.
    assert runner.model.progress == pytest.approx([0.0, 0.0, 0.5, 1.0, 1.0, 1.5, 2.0])


def test_a_checkpoint_keeps_the_progress_and_an_evaluation_of_it_sets_it(tmp_path):
    config = tiny_config(tmp_path, max_epochs=3)
    config.train_cfg.val_interval = 1
    config.default_hooks = {"checkpoint": {"type": "bus_toolkit.AtomicCheckpointHook", "interval": 1}}
    build_runner(config).train()
    assert read_section(load_checkpoint_file(tmp_path / "epoch_2.pth"), "progress") == {
        "epoch": 2.0,
        "iteration": 4,
        "validated": False,
    }
    config = tiny_config(tmp_path)
    config.train_dataloader = config.train_cfg = config.optim_wrapper = config.param_scheduler = None
    tester = build_runner(config, RunOptions(load_from=str(tmp_path / "epoch_2.pth")))
    tester.test()
    assert tester.model.progress == [2.0]


def test_a_training_from_weights_starts_at_its_own_beginning(tmp_path):
    build_runner(tiny_config(tmp_path / "a")).train()
    runner = build_runner(tiny_config(tmp_path / "b"), RunOptions(load_from=str(tmp_path / "a" / "epoch_2.pth")))
    runner.train()
    assert runner.model.progress[:2] == [0.0, 0.0]


@pytest.mark.parametrize("name", ["KeepRatioScheduleHook", "TrainingProgressHook"])
def test_the_hook_has_two_names_and_may_come_twice(tmp_path, name):
    config = tiny_config(tmp_path)
    config.custom_hooks = [{"type": f"bus_toolkit.{name}"}]
    runner = build_runner(config)
    runner.train()
    assert sum(isinstance(hook, TrainingProgressHook) for hook in runner.hooks) == 2
    assert (tmp_path / "epoch_2.pth").is_file()


@pytest.mark.parametrize(("hook", "kind"), [("keep_ratio_schedule", "TrainingProgress"), ("model_state", "ModelState")])
def test_a_hook_that_the_model_depends_on_cannot_be_removed(tmp_path, hook, kind):
    config = tiny_config(tmp_path)
    config.default_hooks = {hook: None}
    with pytest.raises(ConfigError, match=rf"^default_hooks\.{hook}: a training of TinyModel needs its {kind}Hook"):
        build_runner(config)


def test_what_depends_on_the_progress_is_named(tmp_path):
    config = vlp_config(tmp_path, "default_hooks.keep_ratio_schedule=null", "model.heads.itm.start_epoch=0.6", FALLING)
    with pytest.raises(ConfigError, match=r"itm would not wait for start_epoch, keep_ratio would not follow its sched"):
        build_runner(config, RunOptions(work_dir=str(tmp_path)))


@pytest.mark.slow
def test_the_same_weights_have_the_same_keep_ratio_in_validation_test_and_inference(tmp_path):
    config = vlp_config(tmp_path, FALLING, "train_cfg.val_interval=2", "default_hooks.logger.interval=1")
    trained = train_vlp(config, tmp_path / "run")
    at = trained.model.backbone.selectors[0].schedule.at
    # The last step began after one iteration, the validation after two.
    first, last, after = (at(step / len(trained.train_dataloader)) for step in range(3))
    assert 1.0 == first > last > after > 0.25
    assert trained.model.backbone.selectors[0].keep_ratio == pytest.approx(after)
    logged = [json.loads(line) for line in next((tmp_path / "run").rglob("scalars.json")).read_text().splitlines()]
    assert [line["keep_ratio"] for line in logged if "keep_ratio" in line] == pytest.approx([first, last])
    validated = {k: v.current() for k, v in trained.message_hub.log_scalars.items() if k.startswith("val/retrieval")}

    options = RunOptions(work_dir=str(tmp_path / "test"), load_from=str(tmp_path / "run" / "iter_2.pth"))
    config = vlp_config(tmp_path, FALLING)
    config.test_dataloader = config.test_evaluator = config.test_cfg = None  # a test of the validation's data
    config.train_dataloader = config.train_cfg = config.optim_wrapper = config.param_scheduler = None
    tester = build_runner(config, options)
    metrics = tester.test()
    assert tester.model.backbone.selectors[0].keep_ratio == pytest.approx(after)
    tested = {f"val/{name}": value for name, value in metrics.items()}
    assert {name: tested[name] for name in validated} == pytest.approx(validated)
    assert Inferencer(tmp_path / "run").model.backbone.selectors[0].keep_ratio == pytest.approx(after)


def test_a_model_without_progress_is_left_alone():
    loader = DataLoader(range(4))
    runner = SimpleNamespace(model=nn.Linear(1, 1), iter=0, train_dataloader=loader)
    TrainingProgressHook().before_train_iter(runner, 0)


def test_an_endless_sampler_with_batches_larger_than_the_data_has_epochs_of_less_than_a_batch():
    from mmengine.dataset import InfiniteSampler

    loader = DataLoader(range(6), batch_size=8, sampler=InfiniteSampler(range(6)), drop_last=True)
    assert iterations_per_epoch(loader) == 0.75


def test_data_without_a_length_are_refused():
    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter(range(4))

    with pytest.raises(DataError, match=r"train_dataloader.dataset: must have a length.*got a Stream without __len__"):
        iterations_per_epoch(DataLoader(Stream()))
