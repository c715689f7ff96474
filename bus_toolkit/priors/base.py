"""The contract of a prior: a score for each visual token, which a learned factor turns into attention logits."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bus_toolkit.errors import ComponentError, describe
from bus_toolkit.structures import TextTokens, VisualTokens


class FusionPrior(nn.Module):
    """Base of all priors on what the text reads in the image; a subclass gives ``token_scores``.

    One learned factor times the score of a token is added to the logits of the cross-attention from the text to that
    token, in all heads of all layers of the fusion, with or without a selection. That a high score draws the attention
    lets a selector learn from the task as well: through a choice alone no gradient flows. The form is our own; no
    published method of those here has it.

    The fusion must take it: its ``forward`` has an argument ``prior``. Texts are written from ``FusedTokens.memory()``,
    which the text decoder reads without a prior.

    Class attributes: ``needs_scores``, whether it reads the scores of the last selector, without which it is refused;
    ``supervised``, whether its scores are logits that a patch-text head may train, as those of a selector.

    Goes into ``model.prior``.

    Args:
        initial_scale: The factor at the start of a training.

    Raises:
        ValueError: ``initial_scale`` is not finite.
    """

    needs_scores: ClassVar[bool] = False
    supervised: ClassVar[bool] = False

    def __init__(self, *, initial_scale: float = 0.5) -> None:
        super().__init__()
        if not math.isfinite(initial_scale):
            raise ValueError(f"initial_scale: must be a finite number, got {initial_scale}.")
        self.scale = nn.Parameter(torch.tensor(float(initial_scale)))

    def token_scores(self, text: TextTokens, visual: VisualTokens) -> Tensor:
        """Return the score (B, S) of each visual token after the prefix; 0 says nothing about it.

        Args:
            text: A text an image (B, L, D).
            visual: What the fusion reads (B, P + S, D_v).
        """
        raise NotImplementedError(f"{type(self).__name__} has no token_scores(text, visual).")

    def forward(self, text: TextTokens, visual: VisualTokens) -> Tensor:
        """Return what is added to the attention logits, (B, P + S) in the dtype of the tokens; 0 for prefix tokens.

        Raises:
            ComponentError: ``token_scores`` returns anything but one number for each token.
        """
        scores_BS = self.token_scores(text, visual)
        wanted = (visual.embeds.shape[0], visual.embeds.shape[1] - visual.num_prefix)
        if not isinstance(scores_BS, Tensor) or scores_BS.shape != wanted:
            got = tuple(scores_BS.shape) if isinstance(scores_BS, Tensor) else describe(scores_BS)
            raise ComponentError(
                f"model.prior: {type(self).__name__}.token_scores must return one number for each token after the "
                f"prefix, (B, S) = {wanted}, got {got}. Leave the prefix tokens out."
            )
        return F.pad(self.scale * scores_BS, (visual.num_prefix, 0)).to(visual.embeds.dtype)
