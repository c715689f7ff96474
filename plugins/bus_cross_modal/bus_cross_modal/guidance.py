"""The loss that lets tokens learned in the image be about the text."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bus_toolkit.heads import HeadOutput, Step, VLPHead
from bus_toolkit.ops import at_least_float32, mean_over_ranks
from bus_toolkit.structures import Condition, Guide, TextTokens

Loss = Literal["kl", "cosine"]


class GuidanceHead(VLPHead):
    """Align what an image and its caption say to the learned tokens of a guide (CrossGET, MADTP).

    The tokens are put to the text by softmax attention over its projected tokens, as MADTP does on both sides
    (double125/MADTP:models/utils.py); padding is left out. All guides of a pass weigh alike. Goes into ``model.heads``;
    without a selector that guides the loss is 0. Weights there: 0.5 beside 0.5 for the task (CrossGET's train script).

    - ``kl`` (sdc17/CrossGET:CLIP/clip/model.py): both answers are distributions over the D channels, p and q, with mean
      m; the loss is ``(KL(m || p) + KL(m || q)) / 2``. The mean is not detached. Ours: there both modalities have cross
      tokens of their own, which alone are trained by it, after detached norms and projections into the contrastive
      space; here the text answers the image's tokens, a layer norm without weights comes before the softmax, and
      text encoder and backbone are trained too.
    - ``cosine`` (MADTP's L_sim, double125/MADTP:models/blip_retrieval.py): 1 minus the cosine of both answers. Ours:
      there the answers of all layers are summed first.

    Args:
        embed_dim: Width D of the visual tokens; filled in from the backbone.
        text_dim: Width of the text tokens; filled in from the text encoder.
        loss: ``kl`` or ``cosine``.
        weight: Factor of the loss in the sum.
        start_epoch: The loss joins in at this epoch.

    Raises:
        ValueError: An unknown ``loss``.
    """

    # The text is compared with what the selectors let the learned tokens say, whatever the mode shows other heads.
    sees = Condition.CAPTION
    needs_towers = True

    def __init__(
        self, *, embed_dim: int, text_dim: int, loss: Loss = "kl", weight: float = 1.0, start_epoch: float = 0.0
    ) -> None:
        super().__init__(weight=weight, start_epoch=start_epoch)
        if loss not in ("kl", "cosine"):
            raise ValueError(f"loss: must be one of kl, cosine, got {loss!r}.")
        self.kind = loss
        self.text_proj = nn.Linear(text_dim, embed_dim)

    def text_answers(self, tokens: Tensor, text: TextTokens) -> Tensor:
        """Return what each text says to ``tokens`` (M, D), (B, M, D)."""
        states = self.text_proj(text.embeds)
        # (M, D) @ (B, D, L) -> (B, M, L)
        logits = tokens.to(states.dtype) @ states.transpose(1, 2) / states.shape[-1] ** 0.5
        # The lowest number and not -inf: a text of padding alone gives no NaN, and its row does not count.
        logits = at_least_float32(logits)
        logits = logits.masked_fill(~text.attention_mask.unsqueeze(1), torch.finfo(logits.dtype).min)
        # (B, M, L) @ (B, L, D) -> (B, M, D)
        return logits.softmax(dim=-1).to(states.dtype) @ states

    def distance(self, guide: Guide, text: TextTokens) -> Tensor:
        """Return how far each image is from its text, (B,), mean of the tokens."""
        image, answers = at_least_float32(guide.answers), at_least_float32(self.text_answers(guide.tokens, text))
        if self.kind == "cosine":
            return (1.0 - F.cosine_similarity(image, answers, dim=-1)).mean(dim=1)
        # Both distributions over the channels, as logarithms: (2, B, M, D).
        logs = torch.stack([F.layer_norm(a, a.shape[-1:]).log_softmax(dim=-1) for a in (image, answers)])
        mean = logs.exp().mean(dim=0)
        # Sum over the channels; mean over the two distributions and the M tokens: (2, B, M, D) -> (B,).
        return F.kl_div(logs, mean.expand_as(logs), reduction="none").sum(dim=-1).mean(dim=(0, 2))

    def loss(self, step: Step) -> HeadOutput:
        """Return ``loss_guidance``."""
        guides = [s.decision.guide for s in step.visual(Condition.CAPTION).selections if s.decision.guide is not None]
        text = step.text
        if not guides:
            # Zero, but with a path to the projection: DDP expects a gradient for every parameter.
            return HeadOutput({"guidance": self.text_proj(text.pooled).sum() * 0.0})
        rows = torch.stack([self.distance(guide, text) for guide in guides]).mean(dim=0)
        return HeadOutput({"guidance": mean_over_ranks(rows, text.attention_mask.any(dim=1).to(rows.dtype))})
