"""The prior from a scorer of its own, which reads the text and what the fusion reads."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from bus_toolkit.priors.base import FusionPrior
from bus_toolkit.selectors.text_scorer import add_text_scorer, score_by_text
from bus_toolkit.structures import TextTokens, VisualTokens


class TextScorePrior(FusionPrior):
    """Let the fusion attend more to tokens that a learned network finds in the text. Goes into ``model.prior``.

    The network is that of ``TSPS`` with ``interaction: product``; it selects nothing. So an unpruned model, or one
    whose selector does not read the text, can have what a text-aware selector brings beside its choice:
    ``PatchTextHead`` trains these scores like those of a selector, and what the boxes teach can be distinguished from
    what the selection does. It reads the tokens that the fusion reads, after the last block and the decoder, and the
    text that the fusion reads: words that a head hides are hidden from it too. All of this is our own.

    Scores of a decoder's queries have no place in the image, so that no boxes can train them: with such a decoder they
    learn from the task alone.

    Args:
        embed_dim: Width of the visual tokens; filled in from the backbone.
        text_dim: Width of the text's [CLS]; filled in from the text encoder.
        initial_scale: The factor at the start of a training.
    """

    supervised: ClassVar[bool] = True

    def __init__(self, *, embed_dim: int, text_dim: int, initial_scale: float = 0.5) -> None:
        super().__init__(initial_scale=initial_scale)
        add_text_scorer(self, embed_dim, text_dim, "product")

    def token_scores(self, text: TextTokens, visual: VisualTokens) -> Tensor:
        """Return logits (B, S) of "this token belongs to what the text says"."""
        # What no text changes is computed once an image, if its texts are in a row; in pairs of any order once a pair.
        images = visual.of_images if visual.rows is None else visual
        return score_by_text(self, images.embeds[:, visual.num_prefix :], text.pooled)
