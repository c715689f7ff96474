"""Two ranks with boxes on few and differently many rows give loss and gradient of one process on all rows."""

from __future__ import annotations

import torch
import torch.distributed as dist

from bus_toolkit.heads.grounding import GroundingHead
from tests.conftest import TwoRanks
from tests.tiny import WIDTH, images
from tests.tiny_model import sample, tiny_model

BOXED = (0, 2, 3, 4)  # three of these rows are dealt to rank 0, one to rank 1


def loss_and_gradient(rows: slice) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    model = tiny_model(heads={"grounding": GroundingHead(embed_dim=WIDTH, text_dim=WIDTH)})
    texts = ["abcd", "ef", "ghijk", "lmn", "opqrst", "u"]
    batch = [sample(text, index, boxed=index in BOXED) for index, text in enumerate(texts)]
    loss = model.loss(images(6)[rows], batch[rows])["loss_grounding"]
    loss.backward()
    return loss.detach(), torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def mean_over_ranks(rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    loss, gradient = loss_and_gradient(slice(rank, None, 2))
    for tensor in (loss, gradient):
        dist.all_reduce(tensor)  # what DDP does
    return loss / 2, gradient / 2


def test_two_ranks_equal_one_process(two_ranks: TwoRanks) -> None:
    loss, gradient = two_ranks(mean_over_ranks)[0]
    expected_loss, expected_gradient = loss_and_gradient(slice(None))
    torch.testing.assert_close(loss, expected_loss, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(gradient, expected_gradient, atol=1e-4, rtol=1e-3)
