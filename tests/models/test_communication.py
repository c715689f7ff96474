"""Bytes of each collective of a training step on two ranks, against the closed form."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from bus_toolkit.analysis.communication import StepTraffic, traffic_table
from bus_toolkit.step.pair_exchange import PairExchange
from tests.conftest import TwoRanks
from tests.ledger import Ledger, counted_collectives, note_gradients
from tests.tiny import WIDTH, images
from tests.tiny_model import sample, tiny_heads, tiny_model

TEXTS = ("abcd", "ef", "ghijkl", "lmn", "opqrst", "u", "vw", "xyz")
PAGE = Path(__file__).parents[2] / "tools" / "SCALE.md"
# Conditioning, momentum, what the matching head draws from; and the visual tokens that travel of an image: under strict
# those before the selector, with what the block before it read.
CASES: dict[str, tuple[str, bool, str, int]] = {
    "shared": ("shared", False, "global", 1 + 8),
    "shared, momentum": ("shared", True, "global", 1 + 8),
    "strict": ("strict", False, "global", 2 * (1 + 16)),
    "local": ("shared", False, "local", 1 + 8),
}
# Which collective each kind is.
KINDS = {
    "all_gather": ("features", "image ids", "numbers of drawn rows"),
    "reduce_scatter": ("gradients of features",),
    "all_to_all": ("drawn rows", "gradients of drawn rows"),
    "all_reduce": ("means", "figures"),
    "gradients": ("gradients of weights",),
}


class Whole(nn.Module):
    """A model as DistributedDataParallel calls it: with all that is trained in its output."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: torch.Tensor, rows: list) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        return self.model.parse_losses(self.model.loss(pixels, rows))


def ledger_of(rank: int, case: str, ranks: int = 2) -> tuple[Ledger, StepTraffic, tuple[int, int]]:
    """Return the ledger of a whole step of one rank, the sizes that it should follow from, and the rows received."""
    mode, momentum, negatives, tokens = CASES[case]
    heads = tiny_heads(queue_size=8 if momentum else 0)
    heads["itm"].negatives = negatives
    model = tiny_model(mode, heads=heads, momentum={"decay": 0.9} if momentum else None, num_queries=8)
    plans: list[PairExchange] = []
    wrapper = DistributedDataParallel(Whole(model), find_unused_parameters=False)
    ledger: Ledger = []
    note_gradients(wrapper, ledger)
    rows = [sample(text, number) for number, text in enumerate(TEXTS)]

    def noted(*args: Any, **kwargs: Any) -> PairExchange:
        plans.append(real(*args, **kwargs))
        return plans[-1]

    real = PairExchange.of
    with counted_collectives() as called, mock.patch.object(PairExchange, "of", noted):
        total, logged = wrapper(images(len(TEXTS))[rank::ranks], rows[rank::ranks])
        total.backward()
        model.after_step()
    of_images, of_texts = plans[-1].images, plans[-1].texts
    # Both ways: what the forward pass receives, the backward pass sends.
    both = [sum(plan.receive_sizes) + sum(plan.send_sizes) for plan in (of_images, of_texts)]
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    sizes = StepTraffic(
        rows=len(TEXTS) // ranks,
        feature_dim=16,
        image_bytes=tokens * WIDTH * 4,
        text_bytes=8 * (WIDTH + 1) * 4,  # the longest text of all ranks, with [CLS] and [SEP]
        parameters=sum(parameter.numel() for parameter in trained),
        means=3,
        figures=len(logged),
        momentum=momentum,
        matching=negatives == "global",
    )
    return called + ledger, sizes, (both[0], both[1])


def by_kind(result: tuple[Ledger, StepTraffic, tuple[int, int]], ranks: int) -> tuple[dict[str, int], dict[str, float]]:
    """Return the bytes of each collective as they were counted, and as the form has them."""
    ledger, sizes, (of_images, of_texts) = result
    got: dict[str, int] = defaultdict(int)
    for name, count in ledger:
        got[name] += count
    form = sizes.bytes_at(ranks, drawn=(of_images / 2, of_texts / 2))
    expected = {name: sum(form[kind] for kind in kinds) for name, kinds in KINDS.items()}
    return dict(got), {name: count for name, count in expected.items() if count}


@pytest.mark.parametrize("case", CASES)
def test_the_bytes_of_a_step_are_those_of_the_form(case: str, two_ranks: TwoRanks) -> None:
    for ledger, sizes, drawn in two_ranks(ledger_of, case):
        got, expected = by_kind((ledger, sizes, drawn), 2)
        assert got == expected
        # One collective a purpose: features, ids and numbers; both halves of pairs, there and back; means and figures.
        calls = [name for name, _ in ledger if name != "gradients"]
        assert calls.count("all_gather") == 2 + sizes.matching and calls.count("reduce_scatter") == (not sizes.momentum)
        assert calls.count("all_to_all") == 4 * sizes.matching and calls.count("all_reduce") == sizes.means + 1


BUS_BASE = StepTraffic(
    rows=64,
    feature_dim=256,
    image_bytes=65 * 768 * 4,
    text_bytes=25 * (768 + 1) * 4,
    parameters=389_869_944,
    means=3,
    figures=8,
    momentum=True,
)
RANKS = (8, 64, 512, 4096)


def test_the_page_shows_the_table_of_the_form() -> None:
    assert traffic_table(BUS_BASE, RANKS) in PAGE.read_text()


def test_nothing_grows_faster_than_the_gather_of_features() -> None:
    few, many = (BUS_BASE.bytes_at(ranks) for ranks in RANKS[::3])
    growth = {kind: many[kind] / few[kind] for kind in few if few[kind]}
    assert max(growth.values()) <= growth["features"] * (1 + 1e-9)
    assert growth["drawn rows"] < 1.15 and growth["gradients of weights"] == 1.0
    small = many["image ids"] + many["numbers of drawn rows"]
    assert small < many["features"] / 100
