"""ToMe in loops over single tokens: what its code does, for tests of the fast one."""

from __future__ import annotations

import torch
from torch import Tensor


def slow_merge(
    tokens: Tensor, sizes: Tensor, metric: Tensor, count: int, num_prefix: int, value: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Merge ``count`` tokens of one image and return the tokens left and their sizes, in the published order.

    Args:
        tokens: (P + N, D), prefix first.
        sizes: How many patches each one contains, (P + N,).
        metric: What they are compared by, (P + N, E).
        count: Tokens merged away; 0 leaves everything.
        num_prefix: P, tokens that are in no pair. One class token comes first and one distillation token after it in
            the published code; without any, it does not sort the unmerged tokens.
        value: Turbo's: what the edges of each token are lowered by, (P + N,).
    """
    if count == 0:
        return tokens, sizes
    places = range(num_prefix, len(tokens))
    first, second = [p for p in places if p % 2 == 0], [p for p in places if p % 2 == 1]
    unit = metric / metric.norm(dim=1, keepdim=True)
    best = {a: max(second, key=lambda b, a=a: float(unit[a] @ unit[b])) for a in first}
    value = torch.zeros(len(tokens)) if value is None else value
    falling = sorted(first, key=lambda a: float(value[a]) - float(unit[a] @ unit[best[a]]))
    gone, unmerged = falling[:count], falling[count:]
    if num_prefix:
        unmerged = sorted(unmerged)
    groups = [[p] for p in (*range(num_prefix), *unmerged)]
    groups += [[b, *(a for a in gone if best[a] == b)] for b in second]
    new_sizes = torch.stack([sizes[members].sum() for members in groups])
    sums = torch.stack([(tokens[members] * sizes[members].unsqueeze(1)).sum(dim=0) for members in groups])
    return sums / new_sizes.unsqueeze(1), new_sizes
