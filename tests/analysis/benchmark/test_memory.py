"""Peak memory against sums by hand."""

from __future__ import annotations

import torch

from bus_toolkit.analysis.benchmark.memory import peak_bytes

CPU = torch.device("cpu")
KIB = 1024


def test_what_is_freed_before_the_peak_does_not_count() -> None:
    def run() -> None:
        first = torch.ones(256)  # 1 KiB
        second = first * 2  # 2 KiB together, the peak
        del first
        del second
        torch.ones(256)

    assert peak_bytes(run, CPU) == 2 * KIB


def test_views_and_what_was_there_before_do_not_count() -> None:
    before = torch.ones(1024)

    def run() -> None:
        before.view(32, 32).t().add_(1.0)
        before[:256].clone()

    assert peak_bytes(run, CPU) == KIB


def test_what_the_backward_pass_needs_is_alive_until_then() -> None:
    weight = torch.ones(256, requires_grad=True)
    weight.grad = torch.zeros(256)

    def run(layers: int) -> None:
        out = weight
        for _ in range(layers):
            out = out.exp()  # saves its result
        out.sum().backward()

    assert peak_bytes(lambda: run(6), CPU) - peak_bytes(lambda: run(3), CPU) == 3 * KIB
