"""Two ranks with rows of two sources give the losses and gradients of one process on the same global batch."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist

from tests.conftest import TwoRanks
from tests.tiny import images
from tests.tiny_model import sample, tiny_heads, tiny_model

CASES = (("shared", True), ("strict", False))  # conditioning and momentum
SHARED = ("mlm", "ptm", "itc", "itm", "prefix_lm")


def global_batch() -> tuple[torch.Tensor, list]:
    """Return six captions that serve all heads, and four rows for two of them."""
    texts = ["abcd", "ef", "ghijk", "lmn", "opqrst", "u", "vwx", "yz", "ba", "dcfe"]
    rows = [
        sample(text, index, boxed=index in (0, 3, 7, 8), objectives=SHARED if index < 6 else ("mlm", "ptm"))
        for index, text in enumerate(texts)
    ]
    return images(10), rows


def losses_and_gradient(mode: str, rank: int, world: int, momentum: bool) -> tuple[dict[str, float], torch.Tensor]:
    torch.manual_seed(0)
    model = tiny_model(
        mode, "prompt", heads=tiny_heads(queue_size=5 * momentum), momentum={"decay": 0.9} if momentum else None
    )
    pixels, rows = global_batch()
    # As MixedBatchSampler deals them out: in turns within each source.
    own = [*range(rank, 6, world), *range(6 + rank, 10, world)]
    total, logged = model.parse_losses(model.loss(pixels[own], [rows[row] for row in own]))
    total.backward()
    gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    return {name: float(value.detach()) for name, value in logged.items()}, gradient


def results_of_rank(rank: int) -> list[tuple[dict[str, float], torch.Tensor]]:
    results = []
    for mode, momentum in CASES:
        logged, gradient = losses_and_gradient(mode, rank, 2, momentum)
        dist.all_reduce(gradient)  # what DDP does
        results.append((logged, gradient / 2))
    return results


def test_two_ranks_equal_one_process(two_ranks: TwoRanks) -> None:
    for (logged, gradient), (mode, momentum) in zip(two_ranks(results_of_rank)[0], CASES, strict=True):
        expected, expected_gradient = losses_and_gradient(mode, 0, 1, momentum)
        assert set(logged) == set(expected)
        for name in expected:
            assert logged[name] == pytest.approx(expected[name], abs=1e-5, rel=1e-5), (mode, name)
        torch.testing.assert_close(gradient, expected_gradient, atol=1e-4, rtol=1e-3)
