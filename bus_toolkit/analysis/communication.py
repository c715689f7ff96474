"""What the ranks of a training give each other in a step: bytes of each collective, as a closed form.

The form is held against a ledger of the calls in tests/models/test_communication.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_ID, _NUMBER, _FLOAT = 8, 4, 4  # bytes of an image id, of a row's number, of a loss or a mean
_MIB = 2**20


@dataclass(frozen=True)
class StepTraffic:
    """The sizes that the traffic of a step follows from.

    Attributes:
        rows: Texts B of a rank in a step.
        feature_dim: Width E of the contrastive features; 0 without a contrastive head.
        image_bytes: What travels of an image that another rank has drawn for a wrong pair: its visual tokens.
        text_bytes: What travels of such a text: its tokens and their mask, at the longest length of all ranks.
        parameters: Trained parameters; their gradients are float32.
        means: Weighted means over the rows of all ranks: one for each of the heads for words and for boxes.
        figures: Logged losses and figures, their sum included.
        momentum: Whether a momentum branch gives the features that are compared: these have no gradient.
        matching: Whether a matching head draws among the rows of all ranks.
    """

    rows: int
    feature_dim: int
    image_bytes: int
    text_bytes: int
    parameters: int
    means: int
    figures: int
    momentum: bool = False
    matching: bool = True

    def bytes_at(self, ranks: int, drawn: tuple[float, float] | None = None) -> dict[str, float]:
        """Return the bytes of each kind of collective, as its tensor on a rank has them, for 2 ranks or more.

        Of a gather that is what a rank receives, of a sum over ranks what it gives, of an exchange what it receives.

        Args:
            ranks: Number of ranks W.
            drawn: How many images and texts of other ranks this one receives, and in the backward pass sends back the
                gradients of; ``None`` for as many as are expected where all rows are drawn evenly.
        """
        share = (ranks - 1) / ranks
        images, texts = (self.rows * share,) * 2 if drawn is None else drawn
        # Images and texts, of the trained model and of the momentum model.
        features = ranks * self.rows * self.feature_dim * _FLOAT * (4 if self.momentum else 2)
        exchanged = images * self.image_bytes + texts * self.text_bytes
        numbers = ranks * (2 * 3 * self.rows + 1) * _NUMBER  # a pair is right, has a wrong text or a wrong image
        return {
            "features": features,
            "gradients of features": 0 if self.momentum else features,
            "image ids": ranks * self.rows * _ID if self.feature_dim or self.matching else 0,
            "numbers of drawn rows": numbers if self.matching else 0,
            "drawn rows": exchanged if self.matching else 0,
            "gradients of drawn rows": exchanged if self.matching else 0,
            "means": self.means * _FLOAT,
            "figures": self.figures * _FLOAT,
            "gradients of weights": self.parameters * _FLOAT,
        }


def traffic_table(traffic: StepTraffic, ranks: Sequence[int]) -> str:
    """Return a Markdown table: a row for each kind of collective, a column for each number of ranks, in MiB."""
    columns = [traffic.bytes_at(count) for count in ranks]
    lines = [
        f"| MiB a rank and step at so many ranks | {' | '.join(f'{count:,}' for count in ranks)} |",
        f"| --- |{' --- |' * len(ranks)}",
    ]
    lines += [f"| {kind} | {' | '.join(_mib(column[kind]) for column in columns)} |" for kind in columns[0]]
    return "\n".join(lines)


def _mib(count: float) -> str:
    value = count / _MIB
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 0.05 else "0" if not count else "< 0.1"
