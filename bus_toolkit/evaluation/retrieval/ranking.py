"""Features of a retrieval set, and the rank of the right answer of each query.

Dims: I images, T texts, E width of the features, Q queries, C candidates.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bus_toolkit.errors import ConfigError
from bus_toolkit.evaluation.metrics.base import has, to_numpy
from bus_toolkit.evaluation.metrics.sample_ids import as_key
from bus_toolkit.evaluation.retrieval.pairs import similarity_chunks
from bus_toolkit.ops.precision import at_least_float32


@dataclass(frozen=True)
class RetrievalSet:
    """Each image and each text of a data set once, in order of appearance.

    Attributes:
        image_feats: (I, E) float32, or float64 of a model in float64; features that no caption touched.
        text_feats: (T, E).
        paired_feats: (I, E), features under the image's own first caption, or ``None``.
        image_of_text: int64 (T,), the image that each text belongs to.
        first_text: int64 (I,), the first text of each image.
        image_ids: I ids.
        text_ids: T ids, unique within an image.
        texts: T captions.
    """

    image_feats: Tensor
    text_feats: Tensor
    paired_feats: Tensor | None
    image_of_text: Tensor
    first_text: Tensor
    image_ids: list[Hashable]
    text_ids: list[Hashable]
    texts: list[str]


def retrieval_row(sample: dict) -> dict:
    """Return what one predicted sample adds to a retrieval set; empty if it has no features."""
    if not has(sample, "image_feats", "text_feats", "image_id"):
        return {}
    row: dict[str, Any] = {"image_id": as_key(sample["image_id"]), "text": str(sample.get("text", ""))}
    # With the image's id: data sets exist that number captions within an image.
    row["text_id"] = (row["image_id"], as_key(sample["text_id"]) if has(sample, "text_id") else row["text"])
    row |= {name: to_numpy(sample[name]) for name in ("image_feats", "text_feats")}
    if has(sample, "paired_image_feats"):
        row["paired"] = to_numpy(sample["paired_image_feats"])
    return row


def build_retrieval_set(rows: Sequence[dict]) -> RetrievalSet:
    """Put rows together; images and texts that come again count once."""
    images: dict[Hashable, tuple[int, dict]] = {}
    texts: dict[Hashable, dict] = {}
    first_text: list[int] = []
    image_of_text: list[int] = []
    for row in rows:
        # Samplers of several processes repeat rows to make their shares equal.
        if row["text_id"] in texts:
            continue
        if row["image_id"] not in images:
            images[row["image_id"]] = (len(images), row)
            first_text.append(len(texts))
        image_of_text.append(images[row["image_id"]][0])
        texts[row["text_id"]] = row
    firsts = [row for _, row in images.values()]
    paired = _stack(firsts, "paired") if all("paired" in row for row in firsts) else None
    return RetrievalSet(
        image_feats=_stack(firsts, "image_feats"),
        text_feats=_stack(list(texts.values()), "text_feats"),
        paired_feats=paired,
        image_of_text=torch.tensor(image_of_text),
        first_text=torch.tensor(first_text),
        image_ids=list(images),
        text_ids=[row["text_id"][1] for row in texts.values()],
        texts=[row["text"] for row in texts.values()],
    )


def best_match_ranks(
    queries: Tensor, candidates: Tensor, query_ids: Tensor, candidate_ids: Tensor, chunk_size: int = 1024
) -> Tensor:
    """Return for each query how many wrong candidates are ranked before its best right one.

    Ties count against the model, and so does a similarity that is not a number: a collapsed or diverged model finds
    nothing.

    Args:
        queries: (Q, E).
        candidates: (C, E).
        query_ids: int64 (Q,).
        candidate_ids: int64 (C,); a candidate is right if the ids are equal, several may be.
        chunk_size: Queries at a time.

    Returns:
        int64 (Q,), 0 = ranked first.
    """
    ranks = []
    for rows, similarity in similarity_chunks(queries, candidates, chunk_size):
        ranks.append(ranks_in(similarity, query_ids[rows].unsqueeze(1) == candidate_ids.unsqueeze(0)))
    return torch.cat(ranks)


def ranks_in(scores: Tensor, right: Tensor) -> Tensor:
    """Return the number of wrong candidates before the best right one; scores and right (Q, C), result int64 (Q,)."""
    # Not "scores >= best": ties and NaN must both count against the model, and no comparison with NaN is true.
    best = scores.masked_fill(~right, float("-inf")).amax(dim=1, keepdim=True)
    return (~(scores < best) & ~right).sum(dim=1)


def checked_ks(ks: Sequence[int], location: str) -> tuple[int, ...]:
    """Return the k of R@k that a setting names.

    Raises:
        ConfigError: One that is no whole number of 1 or more, or none.
    """
    if not ks or any(type(k) is not int or k < 1 for k in ks):
        raise ConfigError(f"{location}: must be whole numbers of 1 or more, got {list(ks)}. Write e.g. [1, 5, 10].")
    return tuple(ks)


def recall_at(ranks: Tensor, topk: Sequence[int], prefix: str) -> dict[str, float]:
    """Return the share of queries (Q,) whose rank is among the first k, as ``<prefix>R@<k>``."""
    return {f"{prefix}R@{k}": (ranks < k).double().mean().item() for k in topk}


def _stack(rows: list[dict], name: str) -> Tensor:
    return at_least_float32(torch.from_numpy(np.stack([row[name].reshape(-1) for row in rows])))
