"""DDP in phases trains as DDP that always searches, and says what to do where the graph changes all the same."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from torch import nn

from bus_toolkit.engine.parallel.phased_ddp import PhasedDDP, PhaseHook, is_changing
from bus_toolkit.errors import ConfigError
from bus_toolkit.heads import VLPHead
from bus_toolkit.ops.schedule import KeepRatioSchedule
from tests.conftest import TwoRanks
from tests.tiny import images
from tests.tiny_model import sample, tiny_heads, tiny_model


def heads_of_two_starts(late: float = 1.0) -> dict[str, VLPHead]:
    torch.manual_seed(1)
    heads = tiny_heads(queue_size=5)
    heads["prefix_lm"].start_epoch = late  # the text decoder has no gradient before
    return heads


def trained(rank: int, phased: bool, accumulation: int, late: float) -> tuple[torch.Tensor, list[bool]]:
    """Return the weights after eight steps, and the phase of each."""
    model: Any = tiny_model(heads=heads_of_two_starts(late), momentum={"decay": 0.9})
    model.set_progress(0.0, 0)
    wrapper: Any = PhasedDDP(model) if phased else MMDistributedDataParallel(model, find_unused_parameters=True)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.01)
    optim_wrapper = OptimWrapper(optimizer, accumulative_counts=accumulation)
    optim_wrapper.initialize_count_status(wrapper, 0, 8)
    phases = []
    runner: Any = SimpleNamespace(model=wrapper, optim_wrapper=optim_wrapper)
    for step in range(8):
        model.set_progress(step / 3, step)
        PhaseHook().before_train_iter(runner, step)
        wrapper = runner.model
        phases.append(phased and wrapper.is_static)
        rows = [sample(text, 4 * step + i, boxed=step % 3 != 1) for i, text in enumerate(("abcd", "ef", "ghijk", "lm"))]
        wrapper.train_step({"images": images(4, seed=step)[rank::2], "data_samples": rows[rank::2]}, optim_wrapper)
        model.after_step()
    return torch.cat([p.detach().flatten() for p in model.parameters()]), phases


def trainings_of_rank(rank: int) -> list[tuple[torch.Tensor, list[bool]]]:
    # Where all heads take part from the start, the first batch of the second case only accumulates.
    return [trained(rank, phased, count, late) for count, late in ((1, 1.0), (2, 0.0)) for phased in (False, True)]


@pytest.mark.slow
def test_it_trains_as_ddp_that_always_searches_does(two_ranks: TwoRanks) -> None:
    for searched, phased, searched_by_two, phased_by_two in two_ranks(trainings_of_rank):
        assert torch.equal(searched[0], phased[0]) and torch.equal(searched_by_two[0], phased_by_two[0])
        assert phased[1] == [False] * 3 + [True] * 5 and phased_by_two[1] == [False] + [True] * 7


class Fickle(nn.Module):
    """Has a part that only some steps use."""

    def __init__(self) -> None:
        super().__init__()
        self.always, self.sometimes = nn.Linear(2, 1), nn.Linear(2, 1)
        self.data_preprocessor = lambda data, training: data
        self.parse_losses = lambda losses: (losses["loss"], losses)

    def forward(self, x: torch.Tensor, mode: str) -> dict[str, torch.Tensor]:
        both = self.always(x) + (self.sometimes(x) if x[0, 0] > 0 else 0)
        return {"loss": both.sum()}


def message_of_rank(rank: int) -> str:
    wrapper = PhasedDDP(Fickle(), is_static=True)
    optim_wrapper = OptimWrapper(torch.optim.SGD(wrapper.parameters(), lr=0.1))
    try:
        for sign in (1, 1, -1, 1):
            wrapper.train_step({"x": torch.full((1, 2), float(sign))}, optim_wrapper)
    except ConfigError as error:
        return str(error)
    return ""


def test_a_graph_that_changes_all_the_same_is_reported(two_ranks: TwoRanks) -> None:
    for message in two_ranks(message_of_rank):
        assert message.startswith("find_unused_parameters: the parameters that get a gradient have changed")
        assert "Set find_unused_parameters: true." in message


@pytest.mark.parametrize(("epoch", "changing"), [(0.0, True), (0.99, True), (1.0, False)])
def test_a_head_that_waits_may_change_what_is_trained(epoch: float, changing: bool) -> None:
    model = tiny_model(heads=heads_of_two_starts())
    model.set_progress(epoch, 0)
    assert is_changing(model) is changing


def test_so_may_a_scheduled_keep_ratio_and_a_model_of_somebody_else() -> None:
    model = tiny_model()
    assert not is_changing(model)
    model.backbone.selectors[0].schedule = KeepRatioSchedule(1.0, 0.5, epochs=2)
    model.set_progress(1.9, 0)
    assert is_changing(model)
    model.set_progress(2.0, 0)
    assert not is_changing(model) and is_changing(nn.Linear(1, 1))
