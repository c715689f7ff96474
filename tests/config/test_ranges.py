"""Numbers that OpenMMLab or torch would refuse too late, or take in silence."""

import pytest

from bus_toolkit.config.ranges import range_problems

_BAD = [
    ("train_dataloader", {"batch_size": 0}, "batch_size: must be at least 1, got 0."),
    ("val_dataloader", {"num_workers": -1}, "num_workers: must be 0 or more, got -1."),
    ("optim_wrapper.optimizer", {"lr": -1e-3}, "lr: must be 0 or more, and finite, got -0.001."),
    ("optim_wrapper.optimizer", {"weight_decay": -1}, "weight_decay: must be 0 or more, and finite, got -1."),
    ("optim_wrapper.optimizer", {"betas": [0.9, 1.0]}, "betas.1: must be in [0, 1), got 1.0."),
    (
        "optim_wrapper.paramwise_cfg.custom_keys.vit",
        {"lr_mult": -0.1},
        "lr_mult: must be 0 or more, and finite, got -0.1.",
    ),
    ("optim_wrapper.clip_grad", {"max_norm": -1}, "max_norm: must be above 0, got -1."),
    ("optim_wrapper.clip_grad", {"max_norm": 0}, "max_norm: must be above 0, got 0."),
    ("optim_wrapper.clip_grad", {"max_norm": float("nan")}, "max_norm: must be above 0, got nan."),
    ("param_scheduler.0", {"end": -1}, "end: must be after begin, got -1 with begin 0. Leave it out for no end."),
    ("param_scheduler.1", {"begin": 5, "end": 5}, "end: must be after begin, got 5 with begin 5."),
    ("param_scheduler", {"T_max": 0}, "T_max: must be at least 1, got 0."),
    ("optim_wrapper.optimizer", {"lr": float("inf")}, "lr: must be 0 or more, and finite, got inf."),
    ("train_cfg", {"val_begin": -3}, "val_begin: must be 0 or more, got -3."),
    (
        "param_scheduler.0",
        {"type": "CosineAnnealingLR", "eta_min": -1.0},
        "eta_min: must be 0 or more, and finite, got -1.0.",
    ),
    (
        "param_scheduler.0",
        {"type": "LinearLR", "start_factor": 0},
        "start_factor: must be above 0, at most 1, got 0.",
    ),
    ("param_scheduler.0", {"type": "LinearMomentum", "end_factor": 2}, "end_factor: must be in [0, 1], got 2."),
    ("param_scheduler", {"type": "ConstantLR", "factor": 0}, "factor: must be above 0, at most 1, got 0."),
    ("param_scheduler.0", {"type": "ExponentialLR", "gamma": -0.5}, "gamma: must be above 0, and finite, got -0.5."),
    ("param_scheduler.0", {"type": "mmengine.StepLR", "step_size": 0}, "step_size: must be at least 1, got 0."),
    ("param_scheduler.0", {"type": "MultiStepLR", "milestones": [2, -4]}, "milestones.1: must be 0 or more, got -4."),
    ("param_scheduler.0", {"type": "PolyLR", "power": -2}, "power: must be above 0, and finite, got -2."),
    ("param_scheduler.0", {"type": "CosineRestartLR", "periods": [2, 0]}, "periods.1: must be at least 1, got 0."),
    ("param_scheduler.0", {"type": "OneCycleLR", "eta_max": -0.1}, "eta_max: must be above 0, and finite, got -0.1."),
    ("param_scheduler.0", {"type": "ReduceOnPlateauLR", "factor": 1.5}, "factor: must be in [0, 1), got 1.5."),
    ("randomness", {"seed": -1}, "seed: must be in 0 to 2^32 - 1, got -1."),
    ("randomness", {"seed": 2**32}, "seed: must be in 0 to 2^32 - 1, got 4294967296."),
    (
        "default_hooks.checkpoint",
        {"type": "AtomicCheckpointHook", "interval": 0},
        "interval: must be at least 1, or -1 for never, got 0.",
    ),
    (
        "default_hooks.checkpoint",
        {"type": "CheckpointHook", "max_keep_ckpts": 0},
        "max_keep_ckpts: must be at least 1, or -1 for all, got 0.",
    ),
    ("default_hooks.logger", {"type": "LoggerHook", "interval": 0}, "interval: must be at least 1, got 0."),
    ("custom_hooks.2", {"type": "EMAHook", "momentum": 2}, "momentum: must be between 0 and 1, got 2."),
]


@pytest.mark.parametrize("path, node, problem", _BAD, ids=lambda value: str(value)[:30])
def test_a_number_outside_its_range_is_named_by_its_path(path, node, problem):
    (only,) = range_problems(node, path)
    assert str(only).startswith(f"{path}.{problem}")


@pytest.mark.parametrize(
    "path, node",
    [
        ("optim_wrapper.optimizer", {"lr": 0, "weight_decay": 0.0, "betas": [0, 0.999], "eps": 1e-8}),
        ("optim_wrapper.clip_grad", {"max_norm": 1e-6, "type": "norm"}),
        ("param_scheduler.0", {"begin": 0, "end": 1, "T_max": 1}),
        ("param_scheduler.0", {"type": "LinearLR", "start_factor": 1e-3, "end_factor": 1.0, "end": 9}),
        ("param_scheduler.0", {"type": "MyOwnSchedule", "factor": 3, "gamma": -1, "power": 0}),
        ("default_hooks.checkpoint", {"type": "CheckpointHook", "interval": -1, "max_keep_ckpts": -1}),
        ("custom_hooks.0", {"type": "MyHook", "momentum": 7, "interval": 0}),
        ("randomness", {"seed": None}),
        ("model.heads.itc", {"lr": -1, "batch_size": -1}),
    ],
)
def test_what_is_allowed_and_what_belongs_to_others_passes(path, node):
    assert list(range_problems(node, path)) == []
