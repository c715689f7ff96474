"""Text that selectors may read.

Shapes: B batch, W places of the whole sequence, L words.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Words:
    """The words of each row.

    Attributes:
        places: int64 (B, L), their places in a sequence; padding repeats others.
        mask: bool (B, L), False for padding.
    """

    places: Tensor
    mask: Tensor

    @classmethod
    def of(cls, question: Tensor) -> Words | None:
        """Return the words at the places of a mask (B, W); ``None`` if no row has any."""
        longest = int(question.sum(dim=1).max())
        if longest == 0:
            return None
        # False sorts before True and the sort is stable: words first, in their order.
        order = question.logical_not().byte().argsort(dim=1, stable=True)[:, :longest]
        return cls(order, question.gather(1, order))

    @property
    def last(self) -> Tensor:
        """Places of the last words, int64 (B,); any place for a row without words."""
        return self.places.gather(1, self.mask.sum(dim=1, keepdim=True).sub(1).clamp(min=0)).squeeze(1)
