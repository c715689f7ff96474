"""Search among images and texts as evaluation does it; results as plain objects.

Dims: I images, T texts, E width of the features, Q queries, K candidates of a query.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from bus_toolkit.errors import ConfigError
from bus_toolkit.evaluation.retrieval.pair_scoring import EncodedTexts, score_pairs
from bus_toolkit.evaluation.retrieval.pairs import Nearest, Pairs, keys_of_images, keys_of_texts, nearest
from bus_toolkit.heads.base import need_head
from bus_toolkit.heads.itc import ITCHead
from bus_toolkit.heads.itm import MatchScore, checked_match_score, match_scores
from bus_toolkit.inference.index import ImageIndex
from bus_toolkit.inference.numbers import refuse_nan

Direction = Literal["both", "i2t", "t2i"]
DIRECTIONS = ("both", "i2t", "t2i")


@dataclass(frozen=True)
class Search:
    """The settings of a search; see ``Inferencer.retrieve``, and ``VLPEvalLoop`` for the last two.

    Raises:
        ConfigError: ``topk`` or ``rerank`` below 1, or an unknown direction or match score.
    """

    topk: int
    rerank: int | None
    direction: Direction
    itc_weight: float = 0.0
    match_score: MatchScore = "margin"

    def __post_init__(self) -> None:
        for name in ("topk", "rerank"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"Inferencer.retrieve.{name}: must be 1 or more, got {value}.")
        checked_match_score(self.match_score, "VLPEvalLoop.match_score")
        if self.direction not in DIRECTIONS:
            raise ConfigError(
                f"Inferencer.retrieve.direction: must be one of {', '.join(DIRECTIONS)}, got {self.direction!r}."
            )


@torch.no_grad()
def retrieve(
    model: Any, index: ImageIndex, texts: Sequence[str], search: Search, *, batch_size: int
) -> dict[str, list[list[dict[str, Any]]]]:
    """Return the best partners of each image (``i2t``) and of each text (``t2i``); see ``Inferencer.retrieve``.

    Args:
        model: A model with an ITC head; with an ITM head for re-ranking.
        index: The encoded images.
        texts: The texts.
        search: How many partners, in which direction, and by what they are ordered.
        batch_size: Texts, and pairs, at a time.

    Raises:
        ConfigError: Re-ranking with an index that holds no tokens.
        ComponentError: Features or logits are NaN.
    """
    if search.rerank and not len(index.tokens):
        raise ConfigError(
            "Inferencer.retrieve.rerank: the index holds features only. Make it with index(images, rerank=True)."
        )
    cache = EncodedTexts(model, texts, batch_size)
    feats = _text_features(model, cache, batch_size)
    refuse_nan(index.feats, "the features of the images")
    refuse_nan(feats, "the features of the texts")
    near, most = search.rerank or 0, max(search.topk, search.rerank or 0)
    found: dict[str, Nearest] = {}
    if search.direction != "t2i":
        found["i2t"] = nearest(index.feats, feats, most)
    if search.direction != "i2t":
        found["t2i"] = nearest(feats, index.feats, most)
    matches = _match(model, index, cache, feats, _keys(found, near, len(texts)), search, batch_size)
    partners = {"i2t": ("text", list(texts)), "t2i": ("image", index.names)}
    return {way: _hits(hits, matches.get(way), search.topk, *partners[way]) for way, hits in found.items()}


class Matches(NamedTuple):
    """The re-ranked candidates of each query: their match ``margin`` (Q, K), and what ``order`` follows (Q, K)."""

    margin: Tensor
    order: Tensor


def _keys(found: dict[str, Nearest], near: int, num_texts: int) -> dict[str, Tensor]:
    """Return the keys of the pairs of each query with its ``near`` best candidates, (Q, K); empty without any."""
    if not near:
        return {}
    best = {way: hits.indices[:, :near] for way, hits in found.items()}
    return {
        way: keys_of_images(indices, num_texts) if way == "i2t" else keys_of_texts(indices)
        for way, indices in best.items()
    }


def _match(
    model: Any,
    index: ImageIndex,
    texts: EncodedTexts,
    feats: Tensor,
    keys: dict[str, Tensor],
    search: Search,
    batch_size: int,
) -> dict[str, Matches]:
    """Return the match scores of each pair, which is scored once, whichever directions ask for it."""
    if not keys:
        return {}
    pairs = Pairs.of(len(texts), *keys.values())
    wanted = list(zip(pairs.images.tolist(), pairs.texts.tolist(), strict=True))
    logits = score_pairs(model, index.tokens, texts, wanted, batch_size)
    refuse_nan(logits, "the match logits of the pairs")
    margin = match_scores(logits, "margin")
    weighted = pairs.weighted(match_scores(logits, search.match_score), index.feats, feats, search.itc_weight)
    return {way: Matches(pairs.look_up(margin, own), pairs.look_up(weighted, own)) for way, own in keys.items()}


def _text_features(model: Any, texts: EncodedTexts, batch_size: int) -> Tensor:
    """Return the features (T, E) of all texts, on the CPU."""
    head = need_head(model.heads, ITCHead, "retrieval")
    starts = range(0, len(texts), batch_size)
    taken = (texts.take(range(s, min(s + batch_size, len(texts)))) for s in starts)
    return torch.cat([head.text_feats(model.encoders.text_alone(text)).cpu() for text in taken])


def _hits(
    found: Nearest, matches: Matches | None, topk: int, key: str, names: Sequence[str]
) -> list[list[dict[str, Any]]]:
    """Return the best ``topk`` candidates of each query as users get them; re-ranked ones come first."""
    near = 0 if matches is None else matches.margin.shape[1]
    places = torch.arange(found.indices.shape[1]).expand_as(found.indices)
    probabilities = torch.zeros_like(found.cosines, dtype=torch.float64)
    if matches is not None:
        # Stable: equal candidates stay in the order of their cosines.
        places = torch.cat([matches.order.argsort(dim=1, descending=True, stable=True), places[:, near:]], dim=1)
        # The sigmoid is the softmax of the two classes of an ITM head.
        probabilities[:, :near] = matches.margin.double().sigmoid()
    columns = [values.gather(1, places)[:, :topk].tolist() for values in (*found, probabilities)]
    hits: list[list[dict[str, Any]]] = []
    for query in zip(*columns, strict=True):
        hits.append([])
        for place, (row, cosine, match) in enumerate(zip(*query, strict=True)):
            entry = {"index": row, key: names[row], "score": cosine}
            if matches is not None:
                entry["match"] = match if place < near else None
            hits[-1].append(entry)
    return hits
