"""Search among images and texts: features first, then the best pairs by matching.

Dims: I images, T texts, E width of the features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from bus_toolkit.errors import ConfigError
from bus_toolkit.evaluation.retrieval.pair_scoring import TextCache, score_pairs
from bus_toolkit.evaluation.retrieval.ranking import similarity_chunks
from bus_toolkit.inference.index import ImageIndex

Direction = Literal["both", "i2t", "t2i"]
DIRECTIONS = ("both", "i2t", "t2i")
_Hits = list[tuple[int, float]]
_Look = tuple[int, float, float | None]  # place, cosine, match probability


def retrieve(
    model: Any,
    index: ImageIndex,
    texts: Sequence[str],
    *,
    topk: int,
    rerank: int | None,
    direction: Direction,
    itc_weight: float,
    batch_size: int,
) -> dict[str, list[list[dict[str, Any]]]]:
    """Return the best partners of each image (``i2t``) and of each text (``t2i``); see ``Inferencer.retrieve``.

    Args:
        model: A model with an ITC head; with an ITM head for re-ranking.
        index: The encoded images.
        texts: The texts.
        topk: Partners of each query in the result.
        rerank: Partners of each query that are put into order by matching; ``None`` for none.
        direction: One of the two, or both.
        itc_weight: Factor of the cosine that is added to the match logit, as in ``VLPEvalLoop``.
        batch_size: Texts, and pairs, at a time.

    Raises:
        ConfigError: Re-ranking with an index that holds no tokens.
    """
    if rerank and not index.prefixes.ids():
        raise ConfigError(
            "Inferencer.retrieve.rerank: the index holds features only. Make it with index(images, rerank=True)."
        )
    cache = TextCache(model, texts, batch_size, next(model.parameters()).device)
    feats = _text_features(model, cache, len(texts), batch_size)
    near = rerank or 0
    count = max(topk, near)
    hits: dict[str, list[_Hits]] = {}
    if direction != "t2i":
        hits["i2t"] = _search(index.feats, feats, count)
    if direction != "i2t":
        hits["t2i"] = _search(feats, index.feats, count)
    logits = _match_logits(model, index, cache, hits, near, batch_size)
    out: dict[str, list[list[dict[str, Any]]]] = {way: [] for way in hits}
    for way, rows in hits.items():
        key, names = ("text", texts) if way == "i2t" else ("image", index.names)
        for query, row in enumerate(rows):
            looked = _matched(row[:near], [logits[_pair(way, query, place)] for place, _ in row[:near]], itc_weight)
            looked += [(place, score, None) for place, score in row[near:]]
            entries = [{"index": place, key: names[place], "score": score} for place, score, _ in looked[:topk]]
            matches = [{"match": match} if near else {} for _, _, match in looked[:topk]]
            out[way].append([entry | match for entry, match in zip(entries, matches, strict=True)])
    return out


def _match_logits(
    model: Any, index: ImageIndex, texts: TextCache, hits: dict[str, list[_Hits]], near: int, batch_size: int
) -> dict[tuple[int, int], float]:
    """Return the match logit of each query with its ``near`` best candidates, by (image, text), each pair once."""
    pairs = {
        _pair(way, query, place)
        for way, rows in hits.items()
        for query, row in enumerate(rows)
        for place, _ in row[:near]
    }
    ordered = sorted(pairs)
    return dict(zip(ordered, score_pairs(model, index.prefixes, texts, ordered, batch_size).tolist(), strict=True))


def _pair(way: str, query: int, place: int) -> tuple[int, int]:
    """Return a query and a candidate as (image, text)."""
    return (query, place) if way == "i2t" else (place, query)


def _text_features(model: Any, texts: TextCache, count: int, batch_size: int) -> Tensor:
    """Return the features float32 (T, E) of the first ``count`` texts, on the CPU."""
    head = model.heads["itc"]
    starts = range(0, count, batch_size)
    return torch.cat([head.text_feats(texts.take(range(s, min(s + batch_size, count)))).cpu() for s in starts])


def _search(queries: Tensor, candidates: Tensor, count: int) -> list[_Hits]:
    """Return the ``count`` most similar candidates of each query, best first, with their cosine."""
    found: list[_Hits] = []
    for _, similarity in similarity_chunks(queries, candidates):
        best = similarity.topk(min(count, similarity.shape[1]), dim=1)
        rows = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        found += [list(zip(places, scores, strict=True)) for places, scores in rows]
    return found


def _matched(found: _Hits, logits: list[float], itc_weight: float) -> list[_Look]:
    """Return candidates with their match probability, in the order of match logit plus weighted cosine."""
    order = sorted(range(len(found)), key=lambda row: -(logits[row] + itc_weight * found[row][1]))
    return [(*found[row], _probability(logits[row])) for row in order]


def _probability(logit: float) -> float:
    """Return the sigmoid: the softmax of the two classes of an ITM head."""
    return torch.sigmoid(torch.tensor(logit, dtype=torch.float64)).item()


def check_search(topk: int, rerank: int | None, direction: str) -> None:
    """Refuse settings of a search that make no sense.

    Raises:
        ConfigError: ``topk`` or ``rerank`` below 1, or an unknown direction.
    """
    for name, value in (("topk", topk), ("rerank", rerank)):
        if value is not None and value < 1:
            raise ConfigError(f"Inferencer.retrieve.{name}: must be 1 or more, got {value}.")
    if direction not in DIRECTIONS:
        raise ConfigError(f"Inferencer.retrieve.direction: must be one of {', '.join(DIRECTIONS)}, got {direction!r}.")
