"""Rows of a batch do not depend on each other, whatever their numbers of images."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from bus_toolkit.huggingface import Quota, reduce_tokens
from tests.huggingface.contract.check import ROUNDING, Check, Measured, difference
from tests.huggingface.parts import ByEveryone, ByPlace, ByText
from tests.huggingface.tiny import Tiny, logits

QUOTAS: tuple[Quota, ...] = ("sample", "image")


def _alone(tiny: Tiny) -> Measured:
    rows = [tiny.row(2), tiny.row(1, (7, 9, 8)), tiny.row(0)]
    selectors = [ByText(blocks=[2], keep_ratio=0.5), ByEveryone(blocks=[3], keep_ratio=0.5)]
    projected = ByPlace(blocks=[1], keep_ratio=0.5)

    def pairs(quota: Quota, left: bool) -> Iterator[tuple[Tensor, Tensor]]:
        inputs = tiny.of(rows, left=left)
        with reduce_tokens(tiny.model, selectors, projected=projected, quota=quota) as reduction:
            together = logits(tiny.model, inputs)
            counts = reduction.counts
            for row, ids in enumerate(rows):
                alone = {**tiny.of([ids]), **tiny.own_pixels(inputs, row, rows)}
                yield together[row][inputs["attention_mask"][row].bool()], logits(tiny.model, alone)[0]
        if quota == "sample":
            assert counts == (2 * tiny.tokens // 8, tiny.tokens // 8, 0), counts

    return difference(pair for quota in QUOTAS for left in (True, False) for pair in pairs(quota, left))


CHECKS = [
    Check(
        "alone",
        "rows of two, one and no images, padded left and right, ranked by sample and by image: logits against each row "
        "by itself",
        _alone,
        ROUNDING,
    ),
]
