"""A resumed training follows its config: progress from the checkpoint, plan from the config."""

import pytest
import torch
from mmengine.hooks import Hook

from bus_toolkit.engine import build_runner, load_checkpoint_file
from bus_toolkit.engine.options import RunOptions
from bus_toolkit.errors import CheckpointError
from tests.engine.tiny_run import tiny_config

COSINE = [
    {"type": "LinearLR", "start_factor": 0.1, "by_epoch": False, "begin": 0, "end": 3},
    {"type": "CosineAnnealingLR", "by_epoch": False, "begin": 0, "eta_min": 0.0},
]


class Rates(Hook):
    """Note rate and momentum of each step."""

    def __init__(self):
        self.rates = {}

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        group = runner.optim_wrapper.optimizer.param_groups[0]
        self.rates[runner.iter] = (group["lr"], group["betas"][0])


def config(folder, *, epochs=4, batch_size=2, schedules=COSINE, **changes):
    cfg = tiny_config(folder, max_epochs=epochs, batch_size=batch_size)
    cfg.default_hooks = {"checkpoint": {"type": "bus_toolkit.AtomicCheckpointHook", "interval": 1}}
    cfg.param_scheduler = schedules
    cfg.merge_from_dict(changes)
    return cfg


def train(cfg, resume=None):
    """Return the runner and the rates of its steps; ``resume`` is a checkpoint's path, or ``latest``."""
    runner, noted = build_runner(cfg, RunOptions(resume=None if resume is None else str(resume))), Rates()
    runner.register_hook(noted)
    runner.train()
    return runner, noted.rates


@pytest.fixture
def warnings(capsys):
    """Return what was warned of about resuming since the last call."""
    return lambda: [line for line in capsys.readouterr().err.splitlines() if line.startswith("WARNING --resume")]


def flat(rates, steps):
    return [value for step in steps for value in rates[step]]


SCHEDULES = {
    "warm-up and cosine": COSINE,
    "by epoch": [{"type": "MultiStepLR", "milestones": [1, 3], "by_epoch": True}],
    "by epoch, made finer": [
        {"type": "CosineAnnealingLR", "T_max": 8, "by_epoch": True, "convert_to_iter_based": True}
    ],
    "both": [COSINE[0], {"type": "CosineAnnealingLR", "by_epoch": True, "eta_min": 1e-3}],
    "momentum": [*COSINE, {"type": "LinearMomentum", "start_factor": 0.5, "by_epoch": False, "begin": 0}],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SCHEDULES)
def test_twice_the_epochs_go_on_as_if_planned_from_the_start(name, tmp_path):
    schedules = SCHEDULES[name]
    train(config(tmp_path / "a", epochs=4, schedules=schedules))
    _, whole = train(config(tmp_path / "b", epochs=8, schedules=schedules))
    _, resumed = train(config(tmp_path / "a", epochs=8, schedules=schedules), "latest")
    assert list(resumed) == list(range(16, 32))
    assert flat(resumed, resumed) == pytest.approx(flat(whole, resumed))


def test_half_the_batch_size_goes_on_after_as_many_epochs(tmp_path, warnings):
    train(config(tmp_path / "a", epochs=4, batch_size=4))
    _, whole = train(config(tmp_path / "b", epochs=4, batch_size=2))
    runner, resumed = train(config(tmp_path / "a", epochs=4, batch_size=2), tmp_path / "a/epoch_2.pth")
    assert list(resumed) == list(range(8, 16)) and runner.iter == 16
    assert flat(resumed, resumed) == pytest.approx(flat(whole, resumed))
    assert resumed[15][0] < 0.05 * 0.02, "the cosine ends"
    (shown,) = warnings()
    assert "4 samples an optimizer step" in shown and "-> 2 samples" in shown and "2 -> 4 steps an epoch" in shown


def test_the_new_end_is_said_once(tmp_path, warnings):
    train(config(tmp_path, epochs=2))
    train(config(tmp_path, epochs=4), "latest")
    (shown,) = warnings()
    assert shown.startswith("WARNING --resume: the config differs from that of the run before, and counts from here on")
    assert "max_epochs 2 -> 4; max_iters 8 -> 16; CosineAnnealingLR" in shown
    assert "The schedules are planned again: at step 8 of 16 the rate is 0.025 (0.0019" in shown


def test_an_iteration_based_training_goes_on_by_its_own_steps(tmp_path, warnings):
    def loop(steps, batch_size=2):
        cfg = config(tmp_path, batch_size=batch_size, schedules=COSINE[1:])
        cfg.train_cfg = {"type": "IterBasedTrainLoop", "max_iters": steps, "val_interval": 1000}
        cfg.default_hooks.checkpoint.update(by_epoch=False, interval=4)
        return cfg

    train(loop(8))
    _, rates = train(loop(16, batch_size=4), "latest")
    assert list(rates) == list(range(8, 16)) and rates[8][0] == pytest.approx(0.025)
    (shown,) = warnings()
    assert "max_iters 8 -> 16" in shown and "4 -> 2 steps an epoch" in shown


def test_a_checkpoint_of_an_earlier_version_follows_the_config_too(tmp_path, warnings):
    train(config(tmp_path, epochs=2))
    held = torch.load(tmp_path / "epoch_2.pth", weights_only=False)
    del held["meta"]["bus_toolkit"]
    torch.save(held, tmp_path / "epoch_2.pth")
    _, rates = train(config(tmp_path, epochs=4), "latest")
    assert rates[8][0] == pytest.approx(0.025) and "max_epochs 2 -> 4" in warnings()[0]


def test_an_unchanged_config_touches_nothing(tmp_path, warnings):
    train(config(tmp_path / "a"))
    runner, rates = train(config(tmp_path / "a"), tmp_path / "a/epoch_2.pth")
    _, whole = train(config(tmp_path / "b"))
    assert rates == {step: whole[step] for step in rates}
    weights = [load_checkpoint_file(tmp_path / name / "epoch_4.pth")["state_dict"]["linear.weight"] for name in "ab"]
    assert torch.equal(*weights) and warnings() == []


def test_another_rate_decay_and_betas_count(tmp_path, warnings):
    train(config(tmp_path / "a", epochs=2))
    changed = {"lr": 0.01, "weight_decay": 0.2, "betas": [0.8, 0.99]}
    changes = {f"optim_wrapper.optimizer.{key}": value for key, value in changed.items()}
    runner, rates = train(config(tmp_path / "a", epochs=4, **changes), "latest")
    _, whole = train(config(tmp_path / "b", epochs=4, **changes))
    assert flat(rates, rates) == pytest.approx(flat(whole, rates))
    assert runner.optim_wrapper.param_groups[0]["weight_decay"] == 0.2
    (shown,) = warnings()
    for part in ("lr 0.05 -> 0.01", "weight_decay 0.01 -> 0.2", "betas (0.9, 0.999) -> (0.8, 0.99)"):
        assert part in shown
    assert runner.optim_wrapper.optimizer.state_dict()["state"][0]["step"] == 16, "the moments go on"


def test_a_rate_without_schedules_counts_too(tmp_path):
    train(config(tmp_path, epochs=2, schedules=None))
    _, rates = train(config(tmp_path, epochs=3, schedules=None, **{"optim_wrapper.optimizer.lr": 0.01}), "latest")
    assert {rate for rate, _ in rates.values()} == {0.01}


def test_an_added_schedule_is_planned_from_the_start(tmp_path, warnings):
    train(config(tmp_path / "a", epochs=2, schedules=COSINE[:1]))
    _, rates = train(config(tmp_path / "a", epochs=4), "latest")
    _, whole = train(config(tmp_path / "b", epochs=4))
    assert flat(rates, rates) == pytest.approx(flat(whole, rates))
    assert "1 -> 2 schedules" in warnings()[0]


def test_a_schedule_that_follows_a_metric_keeps_its_progress(tmp_path):
    plateau = {"type": "ReduceOnPlateauLR", "monitor": "tiny/mean", "patience": 1, "by_epoch": True}
    more = {"train_cfg.val_interval": 1}
    train(config(tmp_path, epochs=3, schedules=[plateau], **more))
    held = load_checkpoint_file(tmp_path / "epoch_3.pth")["param_schedulers"][0]
    runner, _ = train(config(tmp_path, epochs=4, schedules=[{**plateau, "patience": 5}], **more), "latest")
    schedule = runner.param_schedulers[0]
    assert schedule.patience == 5 and schedule._global_step == held["_global_step"] + 1


def test_another_optimizer_is_refused(tmp_path):
    train(config(tmp_path, epochs=2))
    cfg = config(tmp_path, epochs=4)
    cfg.optim_wrapper.optimizer = {"type": "SGD", "lr": 0.1, "momentum": 0.9}
    message = "written with another optimizer, without dampening, momentum. Use that one, or start again"
    with pytest.raises(CheckpointError, match=message):
        train(cfg, "latest")


def test_other_groups_of_parameters_are_refused(tmp_path):
    train(config(tmp_path, epochs=2))
    cfg = config(tmp_path, epochs=4)
    cfg.optim_wrapper.paramwise_cfg = {"bias_decay_mult": 0.0}
    cfg.optim_wrapper.optimizer.weight_decay = 0.01
    with pytest.raises(CheckpointError, match=r"epoch_2.pth: its optimizer has 2 parameters in 1 groups, got 2 in 2:"):
        train(cfg, "latest")


def test_the_seed_of_the_checkpoint_counts_and_is_said(tmp_path, warnings):
    train(config(tmp_path, epochs=2))
    runner, _ = train(config(tmp_path, epochs=3, **{"randomness.seed": 5}), "latest")
    assert runner.seed == 0
    assert warnings()[0] == "WARNING --resume: the seed of the checkpoint counts, 0, not 5 of the config."


def test_a_training_with_nothing_left_says_so(tmp_path, warnings):
    train(config(tmp_path, epochs=4))
    train(config(tmp_path, epochs=4), "latest")
    assert warnings() == ["WARNING --resume: nothing is left to train, got step 16 of 16. Raise train_cfg."]


def test_a_checkpoint_past_the_end_of_the_training_is_refused(tmp_path):
    train(config(tmp_path, epochs=4))
    message = r"is at step 16 \(epoch 4\), past the end of this training, step 8 \(epoch 2\). Raise train_cfg"
    with pytest.raises(CheckpointError, match=message):
        train(config(tmp_path, epochs=2), "latest")
