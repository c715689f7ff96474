"""The second stage of retrieval: which pairs are scored again, and how this changes the ranking.

Dims: I images, T texts, K candidates of a query, P pairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from bus_toolkit.evaluation.retrieval.pairs import Pairs, keys_of_images, keys_of_texts, nearest, similarity_chunks
from bus_toolkit.evaluation.retrieval.query_lines import Way
from bus_toolkit.evaluation.retrieval.ranking import RetrievalSet, best_match_ranks, ranks_in, recall_at
from bus_toolkit.evaluation.retrieval.shortlist import Shortlist


@dataclass(frozen=True)
class Candidates:
    """What the first stage proposes.

    Attributes:
        texts_of_image: int64 (I, K), the best texts of each image.
        images_of_text: int64 (T, K), the best images of each text.
        hard_text: int64 (I,), the best text that belongs to another image, or -1 where there is none.
        num_texts: T.
    """

    texts_of_image: Tensor
    images_of_text: Tensor
    hard_text: Tensor
    num_texts: int

    def i2t_keys(self) -> Tensor:
        """Return the key of each image's candidates, int64 (I, K)."""
        return keys_of_images(self.texts_of_image, self.num_texts)

    def t2i_keys(self) -> Tensor:
        """Return the key of each text's candidates, int64 (T, K)."""
        return keys_of_texts(self.images_of_text)

    def own_keys(self, data: RetrievalSet) -> Tensor:
        """Return the key of each image with its first caption, int64 (I,)."""
        return keys_of_images(data.first_text.unsqueeze(1), self.num_texts).squeeze(1)

    def hard_keys(self) -> Tensor:
        """Return the key of each image with its hardest wrong caption, int64 (I,); meaningless where there is none."""
        return keys_of_images(self.hard_text.unsqueeze(1), self.num_texts).squeeze(1)

    def listed_keys(self, data: RetrievalSet, shortlist: Shortlist) -> Tensor:
        """Return the keys of the pairs to score of a shortlist, and of what ``itm/hard_accuracy`` compares."""
        listed = [shortlist.keys(wanted) for wanted in (self.i2t_keys(), self.t2i_keys())]
        return self._with_compared(data, *listed).keys

    def pairs(self, data: RetrievalSet) -> Pairs:
        """Return every pair to score, once."""
        return self._with_compared(data, self.i2t_keys(), self.t2i_keys())

    def _with_compared(self, data: RetrievalSet, *keys: Tensor) -> Pairs:
        """Return the pairs of keys, and those that ``itm/hard_accuracy`` compares."""
        hard = self.hard_keys()[self.hard_text >= 0]
        return Pairs.of(self.num_texts, *keys, self.own_keys(data), hard)


def choose_candidates(data: RetrievalSet, topk: int) -> Candidates:
    """Return the ``topk`` most similar partners of each image and each text, and each image's hardest wrong caption."""
    texts_of_image, hard_text = [], []
    for rows, similarity in similarity_chunks(data.image_feats, data.text_feats):
        texts_of_image.append(similarity.topk(min(topk, similarity.shape[1]), dim=1).indices)
        # (1, T) == (chunk, 1) -> (chunk, T): the texts of each image itself are no wrong captions.
        own = data.image_of_text.unsqueeze(0) == torch.arange(rows.start, rows.start + similarity.shape[0]).unsqueeze(1)
        hardest = similarity.masked_fill(own, float("-inf")).argmax(dim=1)
        hard_text.append(hardest.masked_fill(own.all(dim=1), -1))
    images_of_text = nearest(data.text_feats, data.image_feats, topk).indices
    return Candidates(torch.cat(texts_of_image), images_of_text, torch.cat(hard_text), data.text_feats.shape[0])


class Ranking(NamedTuple):
    """The order of candidates after re-ranking.

    Attributes:
        ranks: int64 (Q,), wrong candidates before the best right one; that of the first stage where it proposed none.
        best: int64 (Q,), the first candidate of each query.
    """

    ranks: Tensor
    best: Tensor


def rerank(
    data: RetrievalSet, candidates: Candidates, scores: Tensor, itc_weight: float, shortlist: Shortlist | None = None
) -> dict[Way, Ranking]:
    """Return the order after re-ranking, of texts for images (``i2t``) and of images for texts (``t2i``).

    A query whose answers the first stage did not propose keeps its first-stage rank, so that R@k beyond the candidates
    equals the first stage's.

    Args:
        data: The features.
        candidates: What the first stage proposed.
        scores: Match scores (P,), in the order of ``candidates.pairs(data)``.
        itc_weight: Factor of the first-stage similarity that is added to the match score.
        shortlist: Those of which there are scores come first; ``None`` where there are of all.
    """
    pairs = candidates.pairs(data)
    images = torch.arange(len(data.image_ids))
    first_i2t = best_match_ranks(data.image_feats, data.text_feats, images, data.image_of_text)
    first_t2i = best_match_ranks(data.text_feats, data.image_feats, data.image_of_text, images)
    combined = pairs.weighted(scores, data.image_feats, data.text_feats, itc_weight)
    rankings: dict[Way, Ranking] = {}
    ways: tuple[tuple[Way, Tensor, Tensor, Tensor], ...] = (
        ("i2t", candidates.i2t_keys(), candidates.texts_of_image, first_i2t),
        ("t2i", candidates.t2i_keys(), candidates.images_of_text, first_t2i),
    )
    for way, wanted, proposed, first in ways:
        # (Q, K): whether each candidate is a right answer of its query.
        right = data.image_of_text[wanted % candidates.num_texts] == wanted // candidates.num_texts
        scored = pairs.look_up(combined, wanted)
        scored = scored if shortlist is None else shortlist.ordered(scored, wanted)
        best = proposed.gather(1, scored.argmax(dim=1, keepdim=True)).squeeze(1)
        rankings[way] = Ranking(torch.where(right.any(dim=1), ranks_in(scored, right), first), best)
    return rankings


def rerank_metrics(
    data: RetrievalSet,
    candidates: Candidates,
    scores: Tensor,
    rankings: Mapping[Way, Ranking],
    *,
    recall_k: Sequence[int],
) -> dict[str, float]:
    """Return recall after re-ranking and the accuracy on hard pairs.

    Args:
        data: The features.
        candidates: What the first stage proposed.
        scores: Match scores (P,), in the order of ``candidates.pairs(data)``.
        rankings: What ``rerank`` makes of them.
        recall_k: The k of R@k.

    Returns:
        ``retrieval/rerank_i2t_R@<k>``, ``retrieval/rerank_t2i_R@<k>``; ``itm/hard_accuracy``, the share of images whose
        own caption scores above the hardest wrong one (chance: 0.5), absent without wrong captions.
    """
    metrics: dict[str, float] = {}
    for way, ranking in rankings.items():
        metrics |= recall_at(ranking.ranks, recall_k, f"retrieval/rerank_{way}_")
    contested = candidates.hard_text >= 0
    if contested.any():
        pairs = candidates.pairs(data)
        own = pairs.look_up(scores, candidates.own_keys(data)[contested])
        hard = pairs.look_up(scores, candidates.hard_keys()[contested])
        metrics["itm/hard_accuracy"] = (own > hard).double().mean().item()
    return metrics
