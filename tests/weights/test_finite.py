import pytest
import torch
from safetensors.torch import save_file

from bus_toolkit.engine import RunOptions, build_runner
from bus_toolkit.errors import CheckpointError
from bus_toolkit.weights.finite import refuse_nan
from tests.engine.tiny_run import tiny_config


def test_weights_with_nan_are_refused_and_infinities_are_not():
    refuse_nan("a.pth", {"mask": torch.tensor([float("-inf")]), "ids": torch.tensor([1]), "name": "x"})
    weights = {"a": torch.zeros(2), "b": torch.tensor([1.0, float("nan")])}
    with pytest.raises(CheckpointError, match=r"^a.pth: 1 of its 2 tensors hold NaN, the first: b\. The training that"):
        refuse_nan("a.pth", weights)


@pytest.mark.parametrize("trains", [True, False])
def test_no_run_starts_from_them(tmp_path, trains):
    config = tiny_config(tmp_path)
    if not trains:
        config.train_dataloader = config.train_cfg = config.optim_wrapper = config.param_scheduler = None
    weights = {"linear.weight": torch.full((1, 4), float("nan")), "linear.bias": torch.zeros(1)}
    weights["steps"] = torch.tensor(0)
    save_file(weights, tmp_path / "w.safetensors")
    runner = build_runner(config, RunOptions(load_from=str(tmp_path / "w.safetensors")))
    with pytest.raises(CheckpointError, match=r"w.safetensors: 1 of its 2 tensors hold NaN, the first: linear.weight"):
        runner.train() if trains else runner.test()
