"""Two ranks with boxes on few and differently many rows give loss and gradient of one process on all rows."""

from __future__ import annotations

import socket
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from bus_toolkit.heads.grounding import GroundingHead
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


def work(rank: int, port: int, out: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    loss, gradient = loss_and_gradient(slice(rank, None, 2))
    for tensor in (loss, gradient):
        dist.all_reduce(tensor)  # what DDP does
    if rank == 0:
        torch.save((loss / 2, gradient / 2), out)
    dist.destroy_process_group()


def test_two_ranks_equal_one_process(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    out = tmp_path / "ranks.pt"
    mp.spawn(work, args=(port, str(out)), nprocs=2)
    loss, gradient = torch.load(out)
    expected_loss, expected_gradient = loss_and_gradient(slice(None))
    torch.testing.assert_close(loss, expected_loss, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(gradient, expected_gradient, atol=1e-4, rtol=1e-3)
