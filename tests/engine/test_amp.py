import pytest
import torch

from bus_toolkit.engine import RunOptions, build_runner
from bus_toolkit.engine.amp import CPUAmpOptimWrapper, fit_amp_to_device
from bus_toolkit.errors import ConfigError
from tests.engine.tiny_run import tiny_config


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_amp_trains_in_bfloat16_on_the_cpu(tmp_path, no_gpu):
    runner = build_runner(tiny_config(tmp_path), RunOptions(amp=True, no_validate=True))
    before = runner.model.linear.weight.clone()
    runner.train()
    assert runner.model.dtypes == {torch.bfloat16}
    assert runner.model.linear.weight.dtype == torch.float32
    assert not torch.equal(before, runner.model.linear.weight)


def test_a_gpu_config_runs_on_the_cpu(tmp_path, no_gpu):
    cfg = tiny_config(tmp_path)
    cfg.optim_wrapper |= {"type": "AmpOptimWrapper", "dtype": "float16", "loss_scale": "dynamic"}
    fit_amp_to_device(cfg)
    assert cfg.optim_wrapper.type == "bus_toolkit.CPUAmpOptimWrapper"
    assert cfg.optim_wrapper.dtype == "float16" and cfg.optim_wrapper.loss_scale == "dynamic"


@pytest.mark.parametrize("loss_scale", ["dynamic", 64, 64.0, {"init_scale": 64.0, "growth_interval": 2}])
def test_float16_trains_on_the_cpu_with_scaled_losses(tmp_path, no_gpu, loss_scale):
    cfg = tiny_config(tmp_path)
    cfg.optim_wrapper |= {"type": "AmpOptimWrapper", "dtype": "float16", "loss_scale": loss_scale}
    runner = build_runner(cfg, RunOptions(no_validate=True))
    before = runner.model.linear.weight.clone()
    runner.train()
    assert runner.model.dtypes == {torch.float16}
    assert not torch.equal(before, runner.model.linear.weight)
    scale = runner.optim_wrapper.loss_scaler.get_scale()
    assert scale >= 64.0 and (scale == 64.0) == isinstance(loss_scale, float | int)


def test_bfloat16_needs_no_scaling(tmp_path, no_gpu):
    runner = build_runner(tiny_config(tmp_path), RunOptions(amp=True, no_validate=True))
    runner.train()
    assert not runner.optim_wrapper.loss_scaler.is_enabled()


@pytest.mark.parametrize(("supported", "dtype"), [(True, "bfloat16"), (False, "float16")])
def test_a_gpu_gets_the_precision_that_it_has(tmp_path, monkeypatch, supported, dtype):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported)
    cfg = tiny_config(tmp_path)
    cfg.optim_wrapper.type = "AmpOptimWrapper"
    fit_amp_to_device(cfg)
    assert cfg.optim_wrapper.dtype == dtype
    assert ("loss_scale" in cfg.optim_wrapper) is supported  # bfloat16 needs no scaling


def test_amp_evaluates_in_bfloat16(tmp_path, no_gpu):
    cfg = tiny_config(tmp_path)
    cfg.train_dataloader = cfg.train_cfg = cfg.optim_wrapper = cfg.param_scheduler = None
    runner = build_runner(cfg, RunOptions(amp=True))
    runner.test()
    assert runner.model.dtypes == {torch.bfloat16}


def test_amp_on_another_wrapper_is_refused(tmp_path):
    cfg = tiny_config(tmp_path)
    cfg.optim_wrapper.type = "MyWrapper"
    with pytest.raises(ConfigError, match="--amp: it works on an optim_wrapper of type OptimWrapper .*got 'MyWrapper'"):
        build_runner(cfg, RunOptions(amp=True))


def test_another_precision_is_refused(tmp_path, no_gpu):
    message = "optim_wrapper.dtype: must be one of bfloat16, float16, got 'float61'"
    with pytest.raises(ConfigError, match=message):
        CPUAmpOptimWrapper(dtype="float61", optimizer=None)
    cfg = tiny_config(tmp_path)
    cfg.optim_wrapper |= {"type": "AmpOptimWrapper", "dtype": "float61"}
    with pytest.raises(ConfigError, match=message):
        fit_amp_to_device(cfg)


def test_attention_of_another_kind_is_refused_with_the_choices():
    with pytest.raises(ConfigError, match=r"optim_wrapper\.attention: must be one of fused, fused_float32, unfused"):
        CPUAmpOptimWrapper(torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1), attention="fast")


def test_attention_is_computed_as_the_wrapper_says(monkeypatch):
    model = torch.nn.Linear(2, 2)
    wrapper = CPUAmpOptimWrapper(torch.optim.SGD(model.parameters(), 0.1), attention="unfused")
    states = [torch.randn(1, 1, 3, 4) for _ in range(3)]
    with wrapper.optim_context(model):
        inside = torch.nn.functional.scaled_dot_product_attention(*states)
    outside = torch.nn.functional.scaled_dot_product_attention(*states)
    assert not torch.equal(inside, outside)
    assert torch.allclose(inside.float(), outside, atol=0.05)
