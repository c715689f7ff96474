"""The prior from what the last selector thought of the tokens that it left."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from bus_toolkit.ops.precision import at_least_float32
from bus_toolkit.priors.base import FusionPrior
from bus_toolkit.structures import TextTokens, VisualTokens


class SelectorScorePrior(FusionPrior):
    """Let the fusion attend more to what the last selector scored high. Goes into ``model.prior``.

    It works with every selector whose scores are an order of importance, and costs no product of matrices. Scores that
    are logits (of a selector that a patch-text head may train: ``TSPS``, ``TPD``) are taken as they are, so that they
    grow as sure as training makes them. All others (shares of attention, norms) have a range of their own, of which one
    initial scale could not know; they are shifted and scaled to mean 0 and variance 1 over the tokens of each image.
    Both are our choice. ``Random`` gives noise, which training can only learn to ignore.

    The fused token of a selector has no score and gets 0, as prefix tokens do: neutral, since a logit of 0 is a
    probability of one half, and 0 is the mean of the others. A pass in which no selector acted has no prior.

    A decoder between the backbone and the fusion must hand scores on: ``Identity``, and ``PAD`` with queries from the
    best tokens. With another one it is refused; use ``TextScorePrior`` there.
    """

    needs_scores: ClassVar[bool] = True

    def token_scores(self, text: TextTokens, visual: VisualTokens) -> Tensor:
        """Return the scores (B, S) of ``visual``; ``text`` is not read here: the selector has read its own."""
        if visual.scores is None:
            return visual.embeds.new_zeros(visual.embeds.shape[0], visual.embeds.shape[1] - visual.num_prefix)
        # Before the scores are made more precise: the mark of a fused token is the lowest number of its own dtype.
        is_scored_BS = visual.scores > torch.finfo(visual.scores.dtype).min
        if visual.unread is not None:
            is_scored_BS = is_scored_BS & ~visual.unread[:, visual.num_prefix :]
        scores_BS = at_least_float32(visual.scores).masked_fill(~is_scored_BS, 0.0)
        return scores_BS if visual.scores_are_logits else _standardised(scores_BS, is_scored_BS)


def _standardised(scores_BS: Tensor, is_scored_BS: Tensor) -> Tensor:
    """Return scores of mean 0 and variance 1 over the tokens of each image that have one, 0 for the others."""
    count_B1 = is_scored_BS.sum(dim=1, keepdim=True).clamp(min=1)
    centred_BS = (scores_BS - scores_BS.sum(dim=1, keepdim=True) / count_B1).masked_fill(~is_scored_BS, 0.0)
    variance_B1 = centred_BS.square().sum(dim=1, keepdim=True) / count_B1
    # Equal scores, or a single one, say nothing; shares of attention are about 1 / N, well above the root of this.
    return centred_BS * (variance_B1 + 1e-12).rsqrt()
