"""ToMe's matching and merging as it is published, in one piece, and how long ours takes beside it.

Written from the description (arXiv 2210.09461, section 3): the tokens, class token included, are split in turn, sums go
to the second set by a reduction over copies of whole index rows, and sizes travel as one more column.

    python -m tests.ops.published_merge    # ratios of the medians, forward and backward
"""

from __future__ import annotations

import argparse
from statistics import median

import torch
from torch import Tensor

from bus_toolkit.analysis.benchmark.timing import ratios, take_turns
from bus_toolkit.ops import apply_plan, bipartite_merge_plan, similarity_of_halves


def published(tokens: Tensor, metric: Tensor, sizes: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the tokens (B, N - count, D) and their sizes (B, N - count, 1), the class token first.

    Args:
        tokens: (B, N, D), the class token first.
        metric: What they are compared by, (B, N, E).
        sizes: (B, N, 1).
        count: Tokens merged away.
    """
    with torch.no_grad():
        unit = metric / metric.norm(dim=-1, keepdim=True)
        edges = unit[:, ::2] @ unit[:, 1::2].transpose(1, 2)
        edges[:, 0] = -torch.inf  # the class token merges with none
        best, partner = edges.max(dim=-1)
        order = best.argsort(dim=-1, descending=True).unsqueeze(-1)
        gone, stays = order[:, :count], order[:, count:].sort(dim=1).values
        partner = partner.unsqueeze(-1).gather(1, gone)

    def merge(values: Tensor) -> Tensor:
        first, second = values[:, ::2], values[:, 1::2]
        width = values.shape[-1]
        left = first.gather(1, stays.expand(-1, -1, width))
        moved = first.gather(1, gone.expand(-1, -1, width))
        return torch.cat([left, second.scatter_reduce(1, partner.expand(-1, -1, width), moved, reduce="sum")], dim=1)

    summed, new_sizes = merge(tokens * sizes), merge(sizes)
    return summed / new_sizes, new_sizes


def ours(tokens: Tensor, metric: Tensor, sizes: Tensor, count: int) -> Tensor:
    """Return the same tokens by plan and merging."""
    edges = similarity_of_halves(metric[:, 1:], num_prefix=1)
    return apply_plan(tokens, bipartite_merge_plan(edges, count, sizes[:, 1:, 0], num_prefix=1), num_prefix=1)


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    sizes = (("--batch-size", 8), ("--tokens", 577), ("--width", 768), ("--merged", 16), ("--rounds", 25))
    for flag, default in sizes:
        parser.add_argument(flag, type=int, default=default)
    args = parser.parse_args()
    tokens = torch.randn(args.batch_size, args.tokens, args.width, requires_grad=True)
    metric, ones = torch.randn(args.batch_size, args.tokens, 64), torch.ones(args.batch_size, args.tokens, 1)
    upstream = torch.randn(args.batch_size, args.tokens - args.merged, args.width)
    inputs = (tokens, metric, ones, args.merged)

    def backward(out: Tensor) -> None:
        tokens.grad = None
        out.backward(upstream)

    device = torch.device("cpu")
    with torch.no_grad():
        forward = {"ours": lambda: ours(*inputs), "published": lambda: published(*inputs)}
        times = take_turns(forward, args.rounds, device, warm_up=3)
        _show("forward", times)
    both = {"ours": lambda: backward(ours(*inputs)), "published": lambda: backward(published(*inputs)[0])}
    _show("forward and backward", take_turns(both, args.rounds, device, warm_up=3))


def _show(name: str, times: dict[str, list[float]]) -> None:
    milliseconds = {side: 1e3 * median(seconds) for side, seconds in times.items()}
    ratio = median(ratios(times["ours"], times["published"]))
    print(f"{name}: {', '.join(f'{side} {value:.1f} ms' for side, value in milliseconds.items())}; ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
