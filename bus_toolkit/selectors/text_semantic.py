"""The text-semantics-aware patch selector of BUS."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from bus_toolkit.selectors.base import Fuse, PatchSelector
from bus_toolkit.selectors.text_scorer import Interaction, add_text_scorer, score_by_text
from bus_toolkit.selectors.view import BlockView


class TextSemanticPatchSelector(PatchSelector):
    """Score each patch against the text with a small learned network and keep the best (``TSPS``).

    BUS (arXiv 2307.08504, abstract) puts such a selector inside the ViT; that patch-text matching trains it
    is from a summary. The formulas were not readable; what follows is our reconstruction: ``a_i = sigmoid(MLP([x_i ;
    W_c t]))`` on the layer-normalised patch ``x_i`` and the text [CLS] ``t``, three linear layers of widths 2D -> D ->
    D/2 -> 1 with GELU, and one token that fuses the rest, weighted by ``a`` (weights sum to 1; ELIP does that, EViT
    uses raw ones).

    It is registered as ``TPD`` too, the text-aware patch detector of COPA (arXiv 2308.03475, abstract), by the same
    group: trained in the ViT, jointly with the other objectives, on patch labels from the boxes of 5 % of the images,
    with no detector at inference. Its formulas were not readable either, and BUS seems to differ by the decoder on top:
    that both share one implementation is our reconstruction. Train it with ``PatchTextHead``, ``box_fraction: 0.05``
    and ``batch_sampler: {type: RegionBatchSampler}``.

    Args:
        blocks: Backbone blocks after which it acts, counted from 1.
        embed_dim: Width D of the visual tokens; filled in from the backbone.
        text_dim: Width of the text [CLS]; filled in from the text encoder.
        keep_ratio: Share of the patches kept, in (0, 1], or a schedule.
        fuse: ``normalized``, ``raw`` or ``none``.
        interaction: ``concat`` reads ``[x ; c]``; ``product`` reads ``[x ; c ; x * c]``, our addition, at D^2 more MACs
            a patch.
        detach_fused: Whether the fused token's weights carry no gradient to the scorer (ELIP: detached).
        noise: Factor of Gumbel noise that is added to the scores for the choice in training, so that patches which
            score low are tried too: for a training without boxes, in which the scores learn through
            ``SelectorScorePrior`` (0.5 to begin with). The scores themselves have none. Each rank draws from torch's
            generator, as ``Random`` does. Our addition.

    Raises:
        ValueError: An unknown ``interaction``, or a negative or infinite ``noise``.
    """

    needs_text: ClassVar[bool] = True
    supervised: ClassVar[bool] = True

    def __init__(
        self,
        *,
        blocks: Sequence[int],
        embed_dim: int,
        text_dim: int,
        keep_ratio: float | Mapping[str, Any] = 0.5,
        fuse: Fuse = "normalized",
        interaction: Interaction = "concat",
        detach_fused: bool = False,
        noise: float = 0.0,
    ) -> None:
        super().__init__(blocks=blocks, keep_ratio=keep_ratio, fuse=fuse)
        self.interaction = interaction
        self.embed_dim, self.text_dim = embed_dim, text_dim
        self.detach_fused = detach_fused
        if not 0.0 <= noise < math.inf:
            raise ValueError(f"noise: must be 0 or more, and finite, got {noise}.")
        self.noise = noise
        add_text_scorer(self, embed_dim, text_dim, interaction)

    def score(self, view: BlockView) -> Tensor:
        """Return logits (B, N) of "this patch belongs to what the text says"."""
        assert view.text is not None
        return score_by_text(self, view.patches, view.text.pooled)

    @override
    def ranking(self, scores: Tensor) -> Tensor:
        if not (self.training and self.noise):
            return scores
        # The lowest uniform number would give an infinite noise.
        uniform = torch.rand_like(scores).clamp(min=torch.finfo(scores.dtype).tiny)
        return scores - self.noise * torch.log(-torch.log(uniform))

    def fuse_weights(self, scores: Tensor) -> Tensor:
        """Weigh each patch of the fused token by its probability ``a``."""
        return torch.sigmoid(scores.detach() if self.detach_fused else scores)
