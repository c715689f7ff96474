"""Checkpoints of one image size in runs of another: a start or an evaluation interpolates, a resumed run refuses."""

from pathlib import Path

import pytest
import torch
from mmpretrain.models.utils import resize_pos_embed

from bus_toolkit import build_model, load_config
from bus_toolkit.engine import RunOptions, build_runner
from bus_toolkit.errors import CheckpointError
from tests.engine.tiny_run import tiny_config

DEMO = Path(__file__).parents[2] / "registry_configs" / "bus" / "bus_scenes_tiny.yaml"
TABLES = ("backbone.vit.pos_embed", "momentum.copies.backbone.vit.pos_embed")


def model_part(img_size):
    settings = {"model.backbone.img_size": img_size, "model.momentum": {"decay": 0.9}}
    return load_config(DEMO, settings).model


@pytest.fixture
def checkpoint(tmp_path):
    model = build_model(model_part(32))
    for name in TABLES:
        torch.nn.init.normal_(model.get_parameter(name))
    path = tmp_path / "small.pth"
    hub = {"log_scalars": {}, "runtime_info": {}, "resumed_keys": {}}
    optimizer = {"state": {}, "param_groups": [{"params": []}]}
    held = {
        "state_dict": model.state_dict(),
        "meta": {"epoch": 1, "iter": 2},
        "message_hub": hub,
        "optimizer": optimizer,
    }
    torch.save(held, path)
    return path


def runner_at(img_size, tmp_path, *, training=True, **options):
    cfg = tiny_config(tmp_path / "run")
    cfg.model = model_part(img_size)
    if not training:
        cfg.train_dataloader = cfg.train_cfg = cfg.optim_wrapper = cfg.param_scheduler = None
    return build_runner(cfg, RunOptions(**options))


@pytest.mark.parametrize("training", [True, False], ids=["a training", "an evaluation"])
def test_weights_of_another_size_start(training, checkpoint, tmp_path):
    runner = runner_at(64, tmp_path, training=training, load_from=str(checkpoint))
    runner.load_or_resume()
    weights = torch.load(checkpoint, weights_only=True)["state_dict"]
    for name in TABLES:
        expected = resize_pos_embed(weights[name], (4, 4), (8, 8), "bicubic", 1)
        assert torch.equal(runner.model.state_dict()[name].cpu(), expected)


def test_a_run_of_another_size_is_not_resumed(checkpoint, tmp_path):
    runner = runner_at(64, tmp_path, resume=str(checkpoint))
    message = r"small\.pth: .*pos_embed has the shape \(1, 17, 128\), the model \(1, 65, 128\), .*with load_from"
    with pytest.raises(CheckpointError, match=message):
        runner.load_or_resume()
