import pytest
from mmengine.config import Config

from bus_toolkit.engine.options import RunOptions, apply_options
from bus_toolkit.errors import ConfigError
from tests.engine.tiny_run import tiny_config


def applied(cfg, **options):
    apply_options(cfg, RunOptions(**options))
    return cfg


def test_the_work_dir_comes_from_the_flag_then_the_config_then_the_name(tmp_path, monkeypatch):
    (tmp_path / "my_run.yaml").touch()
    cfg = Config(tiny_config("from_config").to_dict(), filename=str(tmp_path / "my_run.yaml"))
    assert applied(cfg, work_dir="from_flag").work_dir == "from_flag"
    assert applied(tiny_config("from_config")).work_dir == "from_config"
    cfg.work_dir = None
    assert applied(cfg).work_dir == "./work_dirs/my_run"
    monkeypatch.setenv("HOME", "/home/me")
    assert applied(tiny_config("~/runs/a")).work_dir == "/home/me/runs/a"


def test_auto_scale_lr_is_switched_on():
    cfg = tiny_config("w")
    cfg.auto_scale_lr = {"base_batch_size": 32}
    assert applied(cfg, auto_scale_lr=True).auto_scale_lr == {"base_batch_size": 32, "enable": True}


def test_auto_scale_lr_without_a_base_batch_size_is_refused():
    with pytest.raises(ConfigError, match=r"auto_scale_lr\.base_batch_size: --auto-scale-lr needs it, got None"):
        applied(tiny_config("w"), auto_scale_lr=True)


def test_auto_scale_lr_without_a_batch_size_is_refused():
    cfg = tiny_config("w")
    cfg.auto_scale_lr = {"base_batch_size": 32}
    del cfg.train_dataloader["batch_size"]
    with pytest.raises(ConfigError, match=r"train_dataloader\.batch_size: --auto-scale-lr needs it"):
        applied(cfg, auto_scale_lr=True)


def test_no_validate_removes_the_validation():
    cfg = applied(tiny_config("w"), no_validate=True)
    assert cfg.val_cfg is None and cfg.val_dataloader is None and cfg.val_evaluator is None


def test_seed_is_set_where_the_config_has_none():
    cfg = tiny_config("w")
    cfg.pop("randomness")
    assert applied(cfg, seed=3).randomness == {"seed": 3}


def test_every_missing_key_of_a_stage_is_named():
    cfg = tiny_config("w")
    cfg.val_cfg = cfg.val_evaluator = cfg.optim_wrapper = None
    with pytest.raises(ConfigError) as caught:
        applied(cfg)
    assert str(caught.value).splitlines() == [
        "optim_wrapper: missing although there is train_dataloader, train_cfg. Add it, or remove the others.",
        "val_cfg: missing although there is val_dataloader. Add it, or remove the others.",
        "val_evaluator: missing although there is val_dataloader. Add it, or remove the others.",
    ]


@pytest.mark.parametrize("seed", [-1, 2**32, 10**30])
def test_a_seed_that_numpy_does_not_take_is_refused(tmp_path, seed):
    cfg = Config({"work_dir": str(tmp_path)})
    with pytest.raises(ConfigError, match=r"--seed: must be in 0 to 2\^32 - 1, got"):
        apply_options(cfg, RunOptions(seed=seed))
