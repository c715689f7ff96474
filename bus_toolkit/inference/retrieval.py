"""Search among images and texts: features first, then the best pairs by matching.

Dims: I images, T texts, E width of the features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from bus_toolkit.errors import ConfigError
from bus_toolkit.evaluation.retrieval.pair_scoring import TextCache, score_pairs
from bus_toolkit.evaluation.retrieval.ranking import similarity_chunks
from bus_toolkit.heads.base import need_head
from bus_toolkit.heads.itc import ITCHead
from bus_toolkit.inference.index import ImageIndex

Direction = Literal["both", "i2t", "t2i"]
DIRECTIONS = ("both", "i2t", "t2i")


class Hit(NamedTuple):
    """A candidate of a query: its ``index``, its ``cosine``, and after re-ranking its ``match`` probability."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody calls on a hit
    cosine: float
    match: float | None = None


@dataclass(frozen=True)
class Search:
    """The settings of a search; see ``Inferencer.retrieve``.

    Raises:
        ConfigError: ``topk`` or ``rerank`` below 1, or an unknown direction.
    """

    topk: int
    rerank: int | None
    direction: Direction

    def __post_init__(self) -> None:
        for name in ("topk", "rerank"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"Inferencer.retrieve.{name}: must be 1 or more, got {value}.")
        if self.direction not in DIRECTIONS:
            raise ConfigError(
                f"Inferencer.retrieve.direction: must be one of {', '.join(DIRECTIONS)}, got {self.direction!r}."
            )


@torch.no_grad()
def retrieve(
    model: Any, index: ImageIndex, texts: Sequence[str], search: Search, *, itc_weight: float, batch_size: int
) -> dict[str, list[list[dict[str, Any]]]]:
    """Return the best partners of each image (``i2t``) and of each text (``t2i``); see ``Inferencer.retrieve``.

    Args:
        model: A model with an ITC head; with an ITM head for re-ranking.
        index: The encoded images.
        texts: The texts.
        search: How many partners, and in which direction.
        itc_weight: Factor of the cosine that is added to the match logit, as in ``VLPEvalLoop``.
        batch_size: Texts, and pairs, at a time.

    Raises:
        ConfigError: Re-ranking with an index that holds no tokens.
    """
    if search.rerank and not index.prefixes.ids():
        raise ConfigError(
            "Inferencer.retrieve.rerank: the index holds features only. Make it with index(images, rerank=True)."
        )
    cache = TextCache(model, texts, batch_size, next(model.parameters()).device)
    feats = _text_features(model, cache, len(texts), batch_size)
    near = search.rerank or 0
    hits: dict[str, list[list[Hit]]] = {}
    if search.direction != "t2i":
        hits["i2t"] = _search(index.feats, feats, max(search.topk, near))
    if search.direction != "i2t":
        hits["t2i"] = _search(feats, index.feats, max(search.topk, near))
    logits = _match_logits(model, index, cache, hits, near, batch_size)
    out: dict[str, list[list[dict[str, Any]]]] = {}
    for way, rows in hits.items():
        key, names = ("text", texts) if way == "i2t" else ("image", index.names)
        out[way] = []
        for query, row in enumerate(rows):
            ranked = _rerank(row[:near], [logits[_pair(way, query, hit.index)] for hit in row[:near]], itc_weight)
            best = [*ranked, *row[near:]][: search.topk]
            out[way].append([_entry(hit, key, names[hit.index], with_match=near > 0) for hit in best])
    return out


def _entry(hit: Hit, key: str, name: str, *, with_match: bool) -> dict[str, Any]:
    """Return a hit as users get it."""
    entry = {"index": hit.index, key: name, "score": hit.cosine}
    return entry | {"match": hit.match} if with_match else entry


def _match_logits(
    model: Any, index: ImageIndex, texts: TextCache, hits: dict[str, list[list[Hit]]], near: int, batch_size: int
) -> dict[tuple[int, int], float]:
    """Return the match logit of each query with its ``near`` best candidates, by (image, text), each pair once."""
    pairs = {
        _pair(way, query, hit.index)
        for way, rows in hits.items()
        for query, row in enumerate(rows)
        for hit in row[:near]
    }
    # Sorted, so that the pairs of one image are neighbours and share its transfer to the device.
    ordered = sorted(pairs)
    return dict(zip(ordered, score_pairs(model, index.prefixes, texts, ordered, batch_size).tolist(), strict=True))


def _pair(way: str, query: int, candidate: int) -> tuple[int, int]:
    """Return a query and a candidate as (image, text)."""
    return (query, candidate) if way == "i2t" else (candidate, query)


def _text_features(model: Any, texts: TextCache, count: int, batch_size: int) -> Tensor:
    """Return the features float32 (T, E) of the first ``count`` texts, on the CPU."""
    head = need_head(model.heads, ITCHead, "retrieval")
    starts = range(0, count, batch_size)
    return torch.cat([head.text_feats(texts.take(range(s, min(s + batch_size, count)))).cpu() for s in starts])


def _search(queries: Tensor, candidates: Tensor, count: int) -> list[list[Hit]]:
    """Return the ``count`` most similar candidates of each query, best first, with their cosine."""
    hits: list[list[Hit]] = []
    for _, similarity in similarity_chunks(queries, candidates):
        best = similarity.topk(min(count, similarity.shape[1]), dim=1)
        rows = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        hits += [list(map(Hit, indices, cosines)) for indices, cosines in rows]
    return hits


def _rerank(hits: list[Hit], logits: list[float], itc_weight: float) -> list[Hit]:
    """Return hits with their match probability, in the order of match logit plus weighted cosine."""
    scored = sorted(zip(hits, logits, strict=True), key=lambda pair: -(pair[1] + itc_weight * pair[0].cosine))
    return [hit._replace(match=_probability(logit)) for hit, logit in scored]


def _probability(logit: float) -> float:
    """Return the sigmoid: the softmax of the two classes of an ITM head."""
    return torch.sigmoid(torch.tensor(logit, dtype=torch.float64)).item()
