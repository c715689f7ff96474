"""FSDP2: what a rank holds, and checkpoints that are those of any other training (``tests.equality`` has numbers)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from bus_toolkit.engine import RunOptions, build_runner
from bus_toolkit.engine.parallel.fsdp2 import FSDP2
from bus_toolkit.engine.parallel.shard_model import shard_model
from bus_toolkit.errors import ConfigError
from bus_toolkit.ops.shards import is_shard, own_part, whole
from bus_toolkit.weights.files import load_checkpoint_file
from tests.conftest import TwoRanks
from tests.engine.tiny_run import tiny_config
from tests.tiny_model import tiny_heads, tiny_model


def shares_of_rank(rank: int) -> dict[str, Any]:
    model: Any = tiny_model(heads=tiny_heads(queue_size=5), momentum={"decay": 0.9})
    wrapper = FSDP2(model)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    total = sum(parameter.numel() for parameter in model.parameters())
    wrapper.shard([optimizer])
    own = sum(own_part(parameter).numel() for parameter in model.parameters())
    wrapper.gather()
    gathered = not any(is_shard(parameter) for parameter in model.parameters())
    wrapper.spread()
    return {
        "share": own / total,
        "replicated": [name for name, p in model.named_parameters() if not is_shard(p)],
        "gathered": gathered,
        "spread": any(is_shard(parameter) for parameter in model.parameters()),
        "moved": {id(p) for group in optimizer.param_groups for p in group["params"]}
        == {id(p) for p in model.parameters() if p.requires_grad},
    }


def scalars_of_rank(rank: int) -> list[float | None]:
    wrapper = FSDP2(nn.Linear(1, 1))
    nowhere, on_one, everywhere = wrapper.replicated = [nn.Parameter(torch.ones(())) for _ in range(3)]
    on_one.grad = torch.tensor(4.0) if rank == 0 else None
    everywhere.grad = torch.tensor(float(rank))
    wrapper.average_replicated()
    return [None if scalar.grad is None else float(scalar.grad) for scalar in (nowhere, on_one, everywhere)]


def test_scalars_get_the_mean_and_none_where_no_rank_has_a_gradient(two_ranks: TwoRanks) -> None:
    assert two_ranks(scalars_of_rank) == [[None, 2.0, 0.5]] * 2


def gradient_of_rank(rank: int) -> list[float]:
    model = nn.Linear(1, 2, bias=False)
    wrapper = FSDP2(model, reduce_dtype="bfloat16")
    wrapper.shard([])
    wrapper(torch.full((1, 1), 1.0 + 2.0**-10)).sum().backward()
    assert model.weight.grad is not None
    return whole(model.weight.grad).flatten().tolist()


def test_gradients_are_averaged_in_the_precision_that_is_asked_for(two_ranks: TwoRanks) -> None:
    assert two_ranks(gradient_of_rank) == [[1.0, 1.0]] * 2  # bfloat16 has 8 bits


def test_each_rank_holds_its_share_and_all_only_when_asked(two_ranks: TwoRanks) -> None:
    shares = two_ranks(shares_of_rank)
    assert sum(one["share"] for one in shares) == pytest.approx(1.0, abs=1e-3)
    for one in shares:
        assert one["replicated"] == ["heads.itc.logit_scale"]  # a single number
        assert 0.4 < one["share"] < 0.6 and one["gathered"] and one["spread"] and one["moved"]


def tiny_training(launcher: str, work_dir: Path, epochs: int, resume: str | None = None, **wrapper: Any) -> Any:
    """Train the linear model on eight points, two steps an epoch, and return the weights of the last checkpoint."""
    batch_size = 4 if launcher == "none" else 2
    cfg = tiny_config(str(work_dir), max_epochs=epochs, batch_size=batch_size)
    cfg.model.width = 3
    cfg.default_hooks = {"checkpoint": {"type": "bus_toolkit.AtomicCheckpointHook", "interval": 1}}
    if wrapper:
        cfg.model_wrapper_cfg = wrapper
    runner = build_runner(cfg, RunOptions(launcher=launcher, no_validate=True, resume=resume))
    runner.train()
    return load_checkpoint_file(work_dir / f"epoch_{epochs}.pth")


def fsdp_of_rank(rank: int, folder: Path, checkpoints: str) -> None:
    settings = {"type": "bus_toolkit.FSDP2", "checkpoints": checkpoints}
    tiny_training("pytorch", folder / "two", 2, **settings)
    tiny_training("pytorch", folder / "one_to_two", 3, str(folder / "one" / "epoch_2.pth"), **settings)


@pytest.mark.parametrize("checkpoints", ["whole", "shards"])
def test_a_training_goes_on_with_another_number_of_processes(
    two_ranks: TwoRanks, tmp_path: Path, checkpoints: str
) -> None:
    unbroken = tiny_training("none", tmp_path / "unbroken", 3)
    tiny_training("none", tmp_path / "one", 2)
    two_ranks(fsdp_of_rank, tmp_path, checkpoints)
    tiny_training("none", tmp_path / "two_to_one", 3, str(tmp_path / "two" / "epoch_2.pth"))
    for kind in ("one_to_two", "two_to_one"):
        found = load_checkpoint_file(tmp_path / kind / "epoch_3.pth")
        assert found["state_dict"].keys() == unbroken["state_dict"].keys()
        for name, value in unbroken["state_dict"].items():
            torch.testing.assert_close(found["state_dict"][name], value, atol=1e-6, rtol=1e-5)
        for key, moments in unbroken["optimizer"]["state"].items():
            for name, value in moments.items():
                torch.testing.assert_close(found["optimizer"]["state"][key][name], value, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"param_dtype": "int8"}, "model_wrapper_cfg.param_dtype: must be one of float32, bfloat16, got 'int8'"),
        ({"checkpoints": "some"}, "model_wrapper_cfg.checkpoints: must be whole or shards, got 'some'"),
    ],
)
def test_settings_that_are_none_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FSDP2(nn.Linear(1, 1), **settings)


def test_what_does_not_go_with_it_is_refused(tmp_path: Path) -> None:
    cfg = tiny_config(str(tmp_path))
    cfg.custom_hooks = [{"type": "bus_toolkit.EMAHook"}]
    runner = build_runner(cfg)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.model = FSDP2(runner.model, param_dtype="bfloat16")
    runner.cfg.compile = True
    with pytest.raises(ConfigError) as caught:
        shard_model(runner)
    text = str(caught.value)
    assert "EMAHook keeps a whole copy of the model, got it beside FSDP2" in text
    assert "compile: was not tried with FSDP2" in text
    assert "param_dtype: bfloat16 needs optim_wrapper.type AmpOptimWrapper (--amp), got it without." in text
