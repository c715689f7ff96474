"""The two stages of a search, for evaluation and inference alike: the nearest by features, then pairs by matching.

Dims: I images, T texts, E width of the features, Q queries, C candidates, K candidates of a query, P pairs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


class Nearest(NamedTuple):
    """The most similar candidates of each query, best first: ``indices`` int64 (Q, K), ``cosines`` (Q, K)."""

    indices: Tensor
    cosines: Tensor


def similarity_chunks(queries: Tensor, candidates: Tensor, chunk_size: int = 1024) -> Iterator[tuple[slice, Tensor]]:
    """Yield slices of the queries with their similarities (chunk, C) to all candidates, never all of (Q, C)."""
    for start in range(0, queries.shape[0], chunk_size):
        rows = slice(start, start + chunk_size)
        yield rows, queries[rows] @ candidates.T


def nearest(queries: Tensor, candidates: Tensor, count: int) -> Nearest:
    """Return the ``count`` (or all) most similar candidates (C, E) of each query (Q, E)."""
    count = min(count, candidates.shape[0])
    best = [similarity.topk(count, dim=1) for _, similarity in similarity_chunks(queries, candidates)]
    return Nearest(torch.cat([part.indices for part in best]), torch.cat([part.values for part in best]))


@dataclass(frozen=True)
class Pairs:
    """Image-text pairs, each once: those of one image are neighbours.

    Attributes:
        keys: int64 (P,), ascending: image * T + text, so that all pairs are one sorted vector, which can be searched.
        num_texts: T.
    """

    keys: Tensor
    num_texts: int

    @classmethod
    def of(cls, num_texts: int, *keys: Tensor) -> Pairs:
        """Return the pairs of several tensors of keys of any shape."""
        return cls(torch.cat([part.flatten() for part in keys]).unique(), num_texts)

    @property
    def images(self) -> Tensor:
        """The image of each pair, int64 (P,)."""
        return self.keys // self.num_texts

    @property
    def texts(self) -> Tensor:
        """The text of each pair, int64 (P,)."""
        return self.keys % self.num_texts

    def look_up(self, values: Tensor, keys: Tensor) -> Tensor:
        """Return the entries of ``values`` (P,) for keys of any shape, all of which are pairs."""
        return values[torch.searchsorted(self.keys, keys.contiguous())]

    def weighted(self, scores: Tensor, image_feats: Tensor, text_feats: Tensor, itc_weight: float) -> Tensor:
        """Return what candidates are ordered by, (P,): match scores plus ``itc_weight`` times the cosine.

        Args:
            scores: (P,).
            image_feats: (I, E).
            text_feats: (T, E).
            itc_weight: 0 leaves the scores as they are.
        """
        if not itc_weight:
            return scores
        return scores + itc_weight * (image_feats[self.images] * text_feats[self.texts]).sum(dim=1)


def keys_of_images(texts_of_image: Tensor, num_texts: int) -> Tensor:
    """Return the keys (I, K) of each image with its texts int64 (I, K)."""
    return torch.arange(texts_of_image.shape[0]).unsqueeze(1) * num_texts + texts_of_image


def keys_of_texts(images_of_text: Tensor) -> Tensor:
    """Return the keys (T, K) of each text with its images int64 (T, K)."""
    num_texts = images_of_text.shape[0]
    return images_of_text * num_texts + torch.arange(num_texts).unsqueeze(1)
