"""What a resumed training takes from its checkpoint belongs to the same parameters, weights and figures as before."""

from __future__ import annotations

import pytest
import torch
from mmengine.hooks import Hook
from torch import nn

from bus_toolkit.engine import build_runner, load_checkpoint_file
from bus_toolkit.engine.options import RunOptions
from bus_toolkit.errors import CheckpointError
from bus_toolkit.registry import MODELS
from tests.engine.hooks.test_early_stopping import Scripted  # noqa: F401 - registers it
from tests.engine.tiny_run import TinyModel, tiny_config


@MODELS.register_module(force=True)
class Layers(TinyModel):
    """Layers of one shape in a chosen order."""

    def __init__(self, order="ab", frozen=""):
        super().__init__()
        for name in order:
            self.add_module(name, nn.Linear(4, 4).requires_grad_(name not in frozen))
        self.names = order

    def forward(self, inputs, data_samples=None, mode="tensor"):
        x = torch.stack([row.float() for row in inputs]) if isinstance(inputs, list) else inputs.float()
        for weight, name in enumerate(sorted(self.names), start=1):
            x = x + 10**weight * self.get_submodule(name)(x)
        return super().forward(x, data_samples, mode)


def config(folder, *, epochs=2, ema=False, hook=None, **model):
    cfg = tiny_config(folder, max_epochs=epochs)
    cfg.default_hooks = {"checkpoint": {"type": "bus_toolkit.AtomicCheckpointHook", "interval": 1, **(hook or {})}}
    if model:
        cfg.model = {"type": "bus_toolkit.Layers", **model}
        cfg.optim_wrapper.paramwise_cfg = {"custom_keys": {"b": {"lr_mult": 0.5}}}
    if ema:
        cfg.custom_hooks = [{"type": "bus_toolkit.EMAHook", "momentum": 0.5}]
    return cfg


class Start(Hook):
    """Note what the first step starts from."""

    priority = "VERY_LOW"

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if batch_idx or hasattr(self, "weights"):
            return
        optimizer = runner.optim_wrapper.optimizer
        named = dict(runner.model.named_parameters())
        self.weights = {name: value.detach().clone() for name, value in named.items()}
        held = {name: optimizer.state.get(value, {}).get("exp_avg") for name, value in named.items()}
        self.moments = {name: value.clone() for name, value in held.items() if value is not None}
        self.rates = {
            name: group["lr"] for group in optimizer.param_groups for name in named if named[name] is group["params"][0]
        }


def resume(cfg, file="latest"):
    runner, start = build_runner(cfg, RunOptions(resume=str(file))), Start()
    runner.register_hook(start)
    runner.train()
    return start


def test_moments_and_rates_go_by_the_names_of_parameters_not_by_their_order(tmp_path):
    trained = build_runner(config(tmp_path, order="ab"))
    trained.train()
    optimizer = trained.optim_wrapper.optimizer
    moments = {name: optimizer.state[value]["exp_avg"].clone() for name, value in trained.model.named_parameters()}
    assert not torch.allclose(moments["a.weight"], moments["b.weight"])
    start = resume(config(tmp_path, epochs=3, order="ba"))
    assert start.moments.keys() == moments.keys()
    for name, value in moments.items():
        assert torch.equal(start.moments[name], value), name
    assert start.rates["b.weight"] == pytest.approx(0.5 * start.rates["a.weight"])


def test_as_many_other_parameters_are_refused(tmp_path):
    build_runner(config(tmp_path, order="ab", frozen="b")).train()
    other = config(tmp_path, epochs=3, order="ab", frozen="a")
    message = r"epoch_2.pth: its optimizer moves other parameters, a.weight, a.bias, got b.weight, b.bias \(2 in all\)"
    with pytest.raises(CheckpointError, match=message):
        resume(other)


def test_without_the_average_a_training_goes_on_from_its_own_weights(tmp_path, capsys):
    trained = build_runner(config(tmp_path, ema=True))
    trained.train()
    average = load_checkpoint_file(tmp_path / "epoch_2.pth")["state_dict"]["linear.weight"]
    capsys.readouterr()
    start = resume(config(tmp_path, epochs=3))
    assert torch.equal(start.weights["linear.weight"], trained.model.linear.weight)
    assert not torch.equal(start.weights["linear.weight"], average)
    assert "this config no EMAHook: the training goes on from its own weights" in capsys.readouterr().err


def test_a_checkpoint_without_optimizer_is_refused_with_the_way_to_start_from_it(tmp_path):
    build_runner(config(tmp_path, hook={"save_optimizer": False})).train()
    message = r"epoch_2\.pth: no run can go on from it: it has no optimizer .*--cfg-options load_from=.*epoch_2\.pth"
    with pytest.raises(CheckpointError, match=message):
        resume(config(tmp_path, epochs=3))


def scored(folder, scores, epochs, **hook):
    cfg = config(folder, epochs=epochs, hook=hook)
    cfg.train_cfg.val_interval = 1
    cfg.val_evaluator = {"type": "bus_toolkit.Scripted", "scores": scores}
    return cfg


def best(folder):
    return sorted(path.name.removesuffix(".pth") for path in folder.glob("best_*"))


def test_another_figure_or_direction_does_not_have_to_beat_the_former_one(tmp_path, capsys):
    name = "scripted/R@1"
    build_runner(scored(tmp_path, [0.9], 2, save_best="scripted/seen", rule="greater")).train()
    # The validation of the last epoch is made again, with the first of the scores.
    resume(scored(tmp_path, [0.1, 0.2, 0.3, 0.2], 5, save_best=name))
    assert best(tmp_path) == ["best_scripted_R@1_epoch_4", "best_scripted_seen_epoch_1"]
    shown = capsys.readouterr().err
    assert "the best score until now is of scripted/seen (greater); scripted/R@1 starts without" in shown
    resume(scored(tmp_path, [0.5, 0.4, 0.35], 7, save_best=name, rule="less"))
    assert best(tmp_path)[:2] == ["best_scripted_R@1_epoch_4", "best_scripted_R@1_epoch_7"]


def test_a_figure_that_gets_company_keeps_its_best_score(tmp_path):
    build_runner(scored(tmp_path, [0.5], 2, save_best="scripted/R@1")).train()
    both = ["scripted/R@1", "scripted/seen"]
    resume(scored(tmp_path, [0.3, 0.4, 0.6], 4, save_best=both, rule=["greater", "greater"]))
    assert best(tmp_path) == ["best_scripted_R@1_epoch_4", "best_scripted_seen_epoch_2"]


def test_the_best_score_of_an_earlier_version_counts_if_its_file_says_the_figure(tmp_path):
    build_runner(scored(tmp_path, [0.5], 2, save_best="scripted/R@1")).train()
    held = torch.load(tmp_path / "epoch_2.pth", weights_only=False)
    del held["message_hub"]["runtime_info"]["best_figures"]
    torch.save(held, tmp_path / "epoch_2.pth")
    resume(scored(tmp_path, [0.4], 3, save_best="scripted/R@1"))
    assert best(tmp_path) == ["best_scripted_R@1_epoch_1"]
