"""Multiply-accumulate operations: counted on real modules, and in closed form for transformers that drop tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from bus_toolkit.analysis.mac_formulas import FORMULAS

Method = tuple[Any, str]


def count_macs(run: Callable[[], Any]) -> int:
    """Return the MACs of all matrix products and convolutions that ``run()`` performs, backward passes included.

    The counter does not see torch's fused attention kernel on the CPU, and MMEngine's counter sees none at all
    (ViT-B/16 at 384 px: 49.40 instead of 55.48 GMAC). So attention runs unfused here, and torch's transformer layers
    off their fast path, which changes no count. Not counted: products of single numbers (norms, activations, distances
    by ``torch.cdist``), LSTMs that run as one kernel, and products of sparse or quantised matrices.
    """
    with _counting() as counter:
        run()
    return counter.get_total_flops() // 2


def count_macs_by_part(run: Callable[[], Any], parts: Mapping[str, Sequence[Method]], rest: str) -> dict[str, int]:
    """Return the MACs of a forward pass by part; each product counts for the innermost part that is running.

    Args:
        run: A forward pass.
        parts: Name to the methods, each an object and a name, in which the part works.
        rest: Name for the work outside all parts.
    """
    totals: Counter[str] = Counter()
    with _counting() as counter, ExitStack() as watched:
        ledger = _Ledger(counter, totals, rest)
        for name, methods in parts.items():
            for owner, method in methods:
                watched.enter_context(ledger.watch(owner, method, name))
        run()
        ledger.book()
    return {name: totals[name] // 2 for name in (*parts, rest)}


class _Ledger:
    """Add the MACs counted since the last booking to the part that was running."""

    def __init__(self, counter: FlopCounterMode, totals: Counter[str], rest: str) -> None:
        self._counter, self._totals, self._running, self._booked = counter, totals, [rest], 0

    def book(self) -> None:
        now = self._counter.get_total_flops()
        self._totals[self._running[-1]] += now - self._booked
        self._booked = now

    @contextmanager
    def watch(self, owner: Any, method: str, name: str) -> Iterator[None]:
        """Book on ``name`` while ``owner.method`` runs, as long as the context is open."""
        call = getattr(owner, method)

        def watched(*args: Any, **kwargs: Any) -> Any:
            self.book()
            self._running.append(name)
            try:
                return call(*args, **kwargs)
            finally:
                self.book()
                self._running.pop()

        # Set on the instance, so that it hides the method of the class.
        owner.__dict__[method] = watched
        try:
            yield
        finally:
            del owner.__dict__[method]


class _NoModules:
    """In place of torch's tracker of modules: all work counts for the whole.

    The tracker puts hooks on the inputs of each module, and fails where one is a view of a parameter made without
    gradient, such as a learned token.
    """

    parents = frozenset({"Global"})  # torch's name of the whole

    def __enter__(self) -> _NoModules:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@contextmanager
def _counting() -> Iterator[FlopCounterMode]:
    counter = FlopCounterMode(display=False, custom_mapping=dict(FORMULAS))
    counter.mod_tracker = _NoModules()  # type: ignore[assignment]
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH), counter:
            yield counter
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)


def block_macs(num_tokens: int, embed_dim: int, mlp_ratio: float = 4.0) -> int:
    """Return the MACs of one transformer block: ``(4 + 2 r) n D^2 + 2 n^2 D``."""
    return int((4 + 2 * mlp_ratio) * num_tokens * embed_dim**2 + 2 * num_tokens**2 * embed_dim)


def blocks_macs(tokens_per_block: Sequence[int], embed_dim: int, mlp_ratio: float = 4.0) -> int:
    """Return the MACs of blocks that read so many tokens each; patch embedding and selectors are not in it."""
    return sum(block_macs(count, embed_dim, mlp_ratio) for count in tokens_per_block)


def text_semantic_macs(
    num_patches: int, embed_dim: int, text_dim: int, *, product: bool = False, fuse: bool = True
) -> int:
    """Return the MACs of one ``TSPS`` decision: scoring every patch, the text half once, and the fused token."""
    half = embed_dim // 2
    per_patch = embed_dim**2 * (2 if product else 1) + embed_dim * half + half + (embed_dim if fuse else 0)
    return num_patches * per_patch + text_dim * embed_dim + embed_dim**2
