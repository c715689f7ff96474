"""What MMEngine and torch bring, switched on from a YAML: each does its work in a training of the demo's parts."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from mmengine.hooks import EMAHook

from bus_toolkit.engine import BusRunner, RunOptions, build_runner
from bus_toolkit.errors import ConfigError
from tests.engine.vlp_run import train_vlp, vlp_config

LAYER_DECAY = "optim_wrapper.constructor=mmpretrain.LearningRateDecayOptimWrapperConstructor"


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scenes")


def rates(runner: BusRunner) -> dict[str, float]:
    """Return the learning rate of each parameter by its name."""
    names = {id(parameter): name for name, parameter in runner.model.named_parameters()}
    groups = runner.optim_wrapper.optimizer.param_groups
    return {names[id(parameter)]: group["lr"] for group in groups for parameter in group["params"]}


@pytest.mark.slow
def test_the_average_of_the_weights_is_kept_evaluated_and_saved(scenes: Path, tmp_path: Path) -> None:
    hooks = "custom_hooks=[{type: EMAHook, momentum: 0.1}]"
    runner = train_vlp(vlp_config(scenes, hooks, "train_cfg.val_interval=2"), tmp_path)
    (hook,) = [hook for hook in runner.hooks if isinstance(hook, EMAHook)]
    averages = dict(hook.ema_model.module.named_parameters())
    moved = [name for name, value in runner.model.named_parameters() if not torch.equal(value, averages[name])]
    assert any(name.startswith("backbone.vit.layers") for name in moved)
    saved = torch.load(tmp_path / "iter_2.pth", weights_only=False)
    assert "ema_state_dict" in saved


def test_rates_fall_with_the_depth_of_both_towers(scenes: Path, tmp_path: Path) -> None:
    runner = train_vlp(vlp_config(scenes, LAYER_DECAY, "optim_wrapper.paramwise_cfg.layer_decay_rate=0.5"), tmp_path)
    found = rates(runner)
    top = max(found.values())
    blocks = [found[f"backbone.vit.layers.{block}.attn.qkv.weight"] for block in range(4)]
    assert blocks == pytest.approx([top / 16, top / 8, top / 4, top / 2])
    assert found["backbone.vit.patch_embed.projection.weight"] == pytest.approx(top / 32)
    words = [found[n] for n in found if n.startswith("text_encoder.bert.encoder.layer.") and n.endswith("query.weight")]
    assert words[-1] == pytest.approx(top / 2) and words == sorted(words)
    heads = [rate for name, rate in found.items() if name.startswith(("heads.", "decoder.", "backbone.selectors."))]
    assert heads == pytest.approx([top] * len(heads))


def test_vision_and_text_have_rates_of_their_own(scenes: Path, tmp_path: Path) -> None:
    key = "optim_wrapper.paramwise_cfg.custom_keys={backbone.vit: {lr_mult: 0.2}}"
    found = rates(train_vlp(vlp_config(scenes, key), tmp_path))
    (rest,) = {rate for name, rate in found.items() if not name.startswith("backbone.vit.")}
    (vision,) = {rate for name, rate in found.items() if name.startswith("backbone.vit.")}
    assert vision == pytest.approx(0.2 * rest)


@pytest.mark.slow
def test_a_training_ends_early_where_nothing_gets_better(scenes: Path, tmp_path: Path) -> None:
    stop = "{type: EarlyStoppingHook, monitor: retrieval/i2t_R@1, min_delta: 200, patience: 1}"
    config = vlp_config(scenes, f"custom_hooks=[{stop}]", "train_cfg.val_interval=1", steps=6)
    assert train_vlp(config, tmp_path).iter == 2


def test_the_profiler_writes_what_took_how_long(scenes: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace.json"
    hook = f"{{type: ProfilerHook, by_epoch: false, profile_times: 1, json_trace_path: {trace}}}"
    train_vlp(vlp_config(scenes, f"custom_hooks=[{hook}]"), tmp_path)
    assert "scaled_dot_product" in trace.read_text()


@pytest.mark.slow
def test_compiled_parts_keep_the_names_of_their_weights(scenes: Path, tmp_path: Path) -> None:
    runner = train_vlp(vlp_config(scenes, "compile={backend: eager}"), tmp_path)
    assert runner.model.backbone.vit.layers[0]._compiled_call_impl is not None
    saved = torch.load(tmp_path / "iter_2.pth", weights_only=False)["state_dict"]
    assert not [name for name in saved if "_orig_mod" in name]


def test_a_pattern_that_names_no_module_is_refused(scenes: Path, tmp_path: Path) -> None:
    config = vlp_config(scenes, "activation_checkpointing=[backbone.vit.layer.*]")
    with pytest.raises(ConfigError, match=r"activation_checkpointing: the model has no module 'backbone.vit.layer.\*'"):
        build_runner(config, RunOptions(work_dir=str(tmp_path)))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("compile={backend: eagre}", r"compile.backend: .*'eagre'"),
        ("compile={fulgraph: true}", r"compile.fulgraph: .*fullgraph"),
        ("optim_wrapper.clip_grad={max_nrm: 1.0}", r"optim_wrapper.clip_grad.max_nrm: .*max_norm"),
        ("optim_wrapper.accumulativ_counts=2", r"optim_wrapper.accumulativ_counts.*accumulative_counts"),
        ("custom_hooks=[{type: EMAHook, momentun: 0.1}]", r"custom_hooks.0.momentun: .*momentum"),
        ("custom_hooks=[{type: EarlyStopingHook, monitor: x}]", r"custom_hooks.0.type: .*EarlyStoppingHook"),
        (
            "optim_wrapper.paramwise_cfg.custom_keys={backbone: {lr_mul: 0.1}}",
            r"backbone.lr_mul: .*lr_mult",
        ),
        ("optim_wrapper.paramwise_cfg.layer_decay_rate=0.5", r"optim_wrapper.paramwise_cfg.layer_decay_rate"),
    ],
)
def test_a_mistyped_key_is_refused_with_its_place(override: str, message: str, scenes: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        vlp_config(scenes, override)


@pytest.mark.parametrize(
    ("backend", "package"),
    [("TensorboardVisBackend", "tensorboard"), ("WandbVisBackend", "wandb"), ("MLflowVisBackend", "mlflow")],
)
def test_a_logger_whose_package_is_missing_is_named(
    backend: str, package: str, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus_toolkit.engine.loggers.find_spec", lambda name: None)
    config = vlp_config(scenes, f"visualizer.vis_backends=[{{type: {backend}}}]")
    message = rf"visualizer.vis_backends.0.type: {backend} needs the package {package}, .*pip install {package}"
    with pytest.raises(ConfigError, match=message):
        build_runner(config, RunOptions(work_dir=str(tmp_path)))


class _Recorder(ModuleType):
    """A stand-in for a logger's package that notes what is called."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)

        return _Call(self, name)


class _Call:
    """A function, or an object with functions, of the stand-in."""

    def __init__(self, recorder: _Recorder, name: str) -> None:
        self._recorder, self._name = recorder, name

    def __call__(self, *args: object, **kwargs: object) -> _Recorder:
        self._recorder.calls.append(self._name)
        return self._recorder

    def __getattr__(self, name: str) -> _Call:
        return _Call(self._recorder, name)


@pytest.mark.parametrize(("backend", "package"), [("WandbVisBackend", "wandb"), ("MLflowVisBackend", "mlflow")])
def test_losses_reach_a_logger(
    backend: str, package: str, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in = _Recorder(package)
    monkeypatch.setitem(sys.modules, package, stand_in)
    monkeypatch.setattr("bus_toolkit.engine.loggers.find_spec", lambda name: object())
    more = [f"visualizer.vis_backends=[{{type: {backend}}}]", "default_hooks.logger.interval=1"]
    train_vlp(vlp_config(scenes, *more), tmp_path)
    assert {"log", "log_metrics", "log_metric"} & set(stand_in.calls), stand_in.calls


def test_losses_reach_tensorboard(scenes: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    backend = "visualizer.vis_backends=[{type: TensorboardVisBackend}]"
    train_vlp(vlp_config(scenes, backend, "default_hooks.logger.interval=1"), tmp_path)
    (events,) = tmp_path.rglob("events.out.tfevents*")
    assert events.stat().st_size > 500
