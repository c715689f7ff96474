"""Which pass through the backbone: its condition, and whose text it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from bus_toolkit.structures import Condition, Selection, TokenBatch, VisualTokens


class Hidden(Protocol):
    """Captions of which a part is hidden; ``tokens`` is what may be seen of them."""

    @property
    def tokens(self) -> TokenBatch:
        """Ids (B, L) and their mask."""


class PassKey(NamedTuple):
    """A pass, which is run once a batch.

    Attributes:
        condition: The text under which the images are encoded.
        provider: Name of the head that gives the text, where several heads provide one for this condition.
    """

    condition: Condition
    provider: str = ""

    def __str__(self) -> str:
        """Return its name in logs, such as ``free`` or ``masked``."""
        return f"{self.condition.value}_{self.provider}" if self.provider else self.condition.value


@dataclass
class PassCount:
    """What a kind of pass cost: images encoded, and visual tokens of each after every stage.

    Attributes:
        rows: Images, each as often as it was encoded: once for all of its texts where the backbone reads none.
        tokens: By stage the tokens left, prefix tokens included: ``block <number>`` of each selector (``backbone``
            where there is none), then ``decoder``.
        texts: For so many texts a row the decoder ran: above 1 where it alone reads the text of an image with several.
    """

    rows: int
    tokens: dict[str, int]
    texts: int = 1

    @classmethod
    def of(cls, visual: VisualTokens) -> PassCount:
        """Return that of a whole pass."""
        backbone = visual if visual.undecoded is None else visual.undecoded
        tokens = _by_block(backbone.selections, backbone.num_prefix) or {"backbone": backbone.embeds.shape[1]}
        rows = backbone.of_images.embeds.shape[0]
        return cls(rows, {**tokens, "decoder": visual.embeds.shape[1]}, visual.embeds.shape[0] // rows)

    @classmethod
    def of_selections(cls, selections: Iterable[Selection], rows: int, num_prefix: int) -> PassCount:
        """Return that of a pass which ends at the last selector."""
        return cls(rows, _by_block(selections, num_prefix))


def _by_block(selections: Iterable[Selection], num_prefix: int) -> dict[str, int]:
    return {f"block {s.block}": s.decision.plan.num_slots + num_prefix for s in selections}


def total_counts(parts: Iterable[Mapping[str, PassCount]]) -> dict[str, PassCount]:
    """Return the counts of several groups of rows together: rows add up, stages are those of each kind of pass."""
    totals: dict[str, PassCount] = {}
    for counts in parts:
        for name, count in counts.items():
            before = totals.get(name, PassCount(0, {}))
            totals[name] = PassCount(before.rows + count.rows, {**before.tokens, **count.tokens}, count.texts)
    return totals
