"""A whole model with dropout, flips, rows with boxes, momentum, queue and average: interrupted or not, the same bits.

``python -m tests.engine.interrupted_run`` goes through all kinds of runs, steps and workers.
"""

from __future__ import annotations

import pytest

from tests.engine.interrupted_run import config_of, differences, train, write_data


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


SHORT = "train_cfg.max_epochs=1"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "step"), [("rows with boxes, average of weights, accumulation", 4), ("two sources", 3)]
)
def test_interrupted_or_not_a_training_is_the_same(data, tmp_path, kind, step):
    whole = train(config_of(kind, data, SHORT), tmp_path / "whole")
    interrupted = config_of(kind, data, SHORT, workers=1)
    resumed = train(interrupted, tmp_path / "resumed", tmp_path / f"whole/iter_{step}.pth")
    assert step < whole["meta"]["iter"] == resumed["meta"]["iter"]
    assert differences(whole, resumed) == []


@pytest.mark.slow
def test_so_is_one_of_two_processes(two_ranks, data, tmp_path):
    for found, steps in two_ranks(interrupt, data, tmp_path):
        assert found == [] and steps > 2


def interrupt(rank, data, folder):
    config = config_of("plain rows", data, SHORT, "train_dataloader.batch_size=3")
    whole = train(config, folder / "whole", launcher="pytorch")
    config = config_of("plain rows", data, SHORT, "train_dataloader.batch_size=3")
    resumed = train(config, folder / "resumed", folder / "whole/iter_2.pth", launcher="pytorch")
    return differences(whole, resumed), whole["meta"]["iter"]
