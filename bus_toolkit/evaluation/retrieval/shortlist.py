"""Which candidates are worth a selection by their text: the best ones by a selection without.

With a selector that reads the text the blocks after it run for each pair; an unpruned model encodes each image once. So
all candidates are first scored on what is selected without text, once an image, and only the best of them again, each
under its text.

Dims: K candidates of a query, Q queries, P pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bus_toolkit.evaluation.retrieval.pairs import Pairs


@dataclass(frozen=True)
class Shortlist:
    """The best candidates of each query.

    Attributes:
        pairs: All pairs of a query with a candidate.
        scores: What is known of each without text in the selection, (P,).
        count: So many of each query's candidates are on the list.
    """

    pairs: Pairs
    scores: Tensor
    count: int

    def lists(self, wanted: Tensor) -> Tensor:
        """Return which candidates of queries are on the list, bool (Q, K), by their keys int64 (Q, K)."""
        scores = self.pairs.look_up(self.scores, wanted)
        best = scores.topk(min(self.count, scores.shape[1]), dim=1).indices
        return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, best, True)

    def keys(self, wanted: Tensor) -> Tensor:
        """Return the keys of the candidates on the list, of all queries together."""
        return wanted[self.lists(wanted)]

    def ordered(self, scores: Tensor, wanted: Tensor) -> Tensor:
        """Return by what candidates are ordered, (Q, K): those on the list by their scores, the others after them.

        Args:
            scores: (Q, K), read for those on the list.
            wanted: Their keys.
        """
        listed, rest = self.lists(wanted), self.pairs.look_up(self.scores, wanted)
        lowest = scores.masked_fill(~listed, torch.inf).amin(dim=1, keepdim=True)
        # Each keeps its distance to the best of all; one below the lowest, whatever the scale of either score.
        return torch.where(listed, scores, lowest - 1.0 - (rest.amax(dim=1, keepdim=True) - rest))
