import pytest

from bus_toolkit.engine import build_runner
from bus_toolkit.engine.batches import Batches
from bus_toolkit.engine.options import RunOptions
from tests.engine.tiny_run import tiny_config


def config(folder, batch_size, accumulation, base):
    cfg = tiny_config(folder, batch_size=batch_size, max_epochs=1)
    cfg.optim_wrapper.accumulative_counts = accumulation
    cfg.auto_scale_lr = {"base_batch_size": base}
    cfg.param_scheduler = None
    return cfg


@pytest.mark.parametrize(("batch_size", "accumulation", "factor"), [(2, 4, 1.0), (4, 1, 0.5), (4, 4, 2.0), (8, 1, 1.0)])
def test_the_rate_is_scaled_by_the_samples_of_an_optimizer_step(tmp_path, batch_size, accumulation, factor):
    runner = build_runner(config(tmp_path, batch_size, accumulation, base=8), RunOptions(auto_scale_lr=True))
    runner.train()
    assert runner.optim_wrapper.param_groups[0]["lr"] == pytest.approx(0.05 * factor)


def test_a_batch_sampler_has_the_size(tmp_path):
    cfg = config(tmp_path, 2, 2, base=8)
    cfg.train_dataloader.batch_sampler = {"type": "bus_toolkit.RegionBatchSampler"}
    runner = build_runner(cfg, RunOptions())
    runner.train()
    batches = Batches.of(runner.train_dataloader, runner.optim_wrapper)
    assert batches == Batches(batch_size=2, processes=1, accumulation=2, steps_per_epoch=4)
    assert str(batches) == "4 samples an optimizer step (batch 2 x 1 process x accumulation 2)"
