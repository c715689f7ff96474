"""The lines of a samples file for the queries of a retrieval."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from torch import Tensor

from bus_toolkit.evaluation.metrics.sample_ids import in_order
from bus_toolkit.evaluation.retrieval.ranking import RetrievalSet

Way = Literal["i2t", "t2i"]


def query_lines(
    data: RetrievalSet,
    way: Way,
    ranks: Tensor,
    best: Tensor,
    *,
    metric: str | None,
    stage: str = "",
) -> Iterator[dict[str, Any]]:
    """Yield a line for each query, in the order of ids; ``kind`` is the way, since an image and a text may share an id.

    ``prediction`` is the id of the first candidate, ``answer`` that of the image of a text, or those of the texts of an
    image; ``rank`` that of the best right one, 1 for the first.

    Args:
        data: The retrieval set.
        way: The queries are images (``i2t``) or texts (``t2i``).
        ranks: Wrong candidates before the best right one of each query, int64 (Q,).
        best: The first candidate of each query, int64 (Q,).
        metric: The start of the metric's keys.
        stage: What comes before the way in ``kind``.
    """
    by_image = way == "i2t"
    queries, candidates = (data.image_ids, data.text_ids) if by_image else (data.text_ids, data.image_ids)
    image_of_text, rank_of, best_of = data.image_of_text.tolist(), ranks.tolist(), best.tolist()
    texts_of: list[list[Any]] = [[] for _ in data.image_ids]
    for text_id, image in zip(data.text_ids, image_of_text, strict=True):
        texts_of[image].append(text_id)
    for query in in_order(queries):
        image = query if by_image else image_of_text[query]
        yield {
            "id": queries[query],
            "image": data.image_ids[image],
            "kind": f"{stage}{way}",
            "metric": metric,
            "prediction": candidates[best_of[query]],
            "answer": texts_of[image] if by_image else data.image_ids[image],
            "correct": int(rank_of[query] == 0),
            "rank": rank_of[query] + 1,
        }
