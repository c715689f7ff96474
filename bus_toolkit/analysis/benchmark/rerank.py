"""The saving of the prefix cache when candidates are re-ranked under their own captions."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor

from bus_toolkit.analysis.benchmark.timing import take_turns
from bus_toolkit.analysis.benchmark.workload import made_up_batch
from bus_toolkit.analysis.macs import count_macs
from bus_toolkit.errors import ConfigError
from bus_toolkit.heads.base import need_head
from bus_toolkit.heads.itm import ITMHead
from bus_toolkit.models.vlp import VLPModel
from bus_toolkit.ops.precision import at_least_float32
from bus_toolkit.structures import SharedTokens, TextTokens


@dataclass(frozen=True)
class RerankSpeed:
    """Seconds and MACs an image, with and without the cache, and how far the logits are apart.

    They are the same bit for bit where both encode batches of one size. Here one encodes an image and the other a batch
    of copies of it, for which the CPU's matrix products may round otherwise.

    Attributes:
        cached: Seconds of each round with the cache.
        uncached: Without it.
        macs_cached: MACs of one image's candidates.
        macs_uncached: Without the cache.
        difference: The largest one of two logits of a pair.
    """

    cached: list[float]
    uncached: list[float]
    macs_cached: int
    macs_uncached: int
    difference: float

    @property
    def speed_up(self) -> float:
        """Median time without the cache over that with it."""
        return median(self.uncached) / median(self.cached)

    @property
    def promised(self) -> float:
        """The same ratio of MACs."""
        return self.macs_uncached / self.macs_cached


class _Reranker:
    """One image and its candidate captions, scored in chunks as ``evaluation.pair_scoring.score_pairs`` does.

    Both ways run the same code on batches of the same size; they differ in what the blocks before the first selector
    are run on: the image once, or the image of every pair.
    """

    def __init__(self, model: VLPModel, candidates: int, text_length: int, batch_size: int) -> None:
        self.model, self.batch_size = model, batch_size
        images, samples = made_up_batch(model, candidates, text_length)
        self.image = images[:1]
        with torch.no_grad():
            self.text = model.encoders.encode_text(model.encoders.tokenize([sample.text for sample in samples]))

    def cached(self) -> Tensor:
        """Return the match logits, the image's prefix computed once."""
        prefix = self.model.encoders.encode_shared(self.image)
        return torch.cat(
            [
                self._logits(prefix.index(self.image.new_zeros(len(part.pooled), dtype=torch.long)), part)
                for part in self._parts()
            ]
        )

    def uncached(self) -> Tensor:
        """Return the match logits, the image's prefix computed for each pair."""
        return torch.cat(
            [
                self._logits(self.model.encoders.encode_shared(self.image.expand(len(part.pooled), -1, -1, -1)), part)
                for part in self._parts()
            ]
        )

    def _parts(self) -> list[TextTokens]:
        starts = range(0, len(self.text.pooled), self.batch_size)
        return [self.text.index(slice(start, start + self.batch_size)) for start in starts]

    def _logits(self, prefix: SharedTokens, text: TextTokens) -> Tensor:
        visual = self.model.encoders.encode_visual(prefix, text)
        return need_head(self.model.heads, ITMHead, "re-ranking").match_logits(self.model.encoders.fuse(text, visual))


def measure_rerank(
    model: VLPModel, *, candidates: int, text_length: int, batch_size: int, rounds: int, device: torch.device
) -> RerankSpeed:
    """Time the re-ranking of one image's candidates with and without the cache, in turns.

    Args:
        model: On ``device``; it needs an ITM head.
        candidates: Captions of the image.
        text_length: Tokens of each.
        batch_size: Pairs at a time.
        rounds: Timed rounds.
        device: Where it runs.

    Raises:
        ComponentError: The model has no ITM head.
        ConfigError: No selector reads the text.
    """
    need_head(model.heads, ITMHead, "re-ranking")
    if not model.encoders.reads_text:
        raise ConfigError("model.selectors: no part reads the text, so that an image is encoded once anyway.")
    reranker = _Reranker(model.eval(), candidates, text_length, batch_size)
    runs = {"cached": reranker.cached, "uncached": reranker.uncached}
    with torch.no_grad():
        # The passes that are compared warm up those that are timed.
        cached_logits, uncached_logits = (at_least_float32(run()) for run in runs.values())
        times = take_turns(runs, rounds, device, warm_up=0)
        two = _Reranker(model, 2, text_length, 2)
        cached, uncached = count_macs(two.cached), count_macs(two.uncached)
    difference = (cached_logits - uncached_logits).abs().max().item()
    prefix, pair = uncached - cached, cached - uncached // 2
    macs_cached, macs_uncached = prefix + candidates * pair, candidates * (prefix + pair)
    return RerankSpeed(times["cached"], times["uncached"], macs_cached, macs_uncached, difference)
