"""Image-text matching."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bus_toolkit.errors import ConfigError
from bus_toolkit.heads.base import Feed, HeadOutput, VLPHead
from bus_toolkit.losses.contrastive import sample_hard_negatives
from bus_toolkit.ops.collective import gather_rows, own_rows
from bus_toolkit.ops.other_rows import other_rows
from bus_toolkit.ops.precision import at_least_float32
from bus_toolkit.step.step import Step
from bus_toolkit.structures import Condition, FusedTokens

MatchScore = Literal["margin", "logit"]
"""By what pairs are ranked: the logit of "match" minus that of "no match", or the logit of "match" alone."""


class ITMHead(VLPHead):
    """Predict from the fused global token whether an image and a caption belong together.

    B matching pairs, B with a hard wrong caption, B with a hard wrong image
    (salesforce/ALBEF:models/model_pretrain.py); the wrong ones are drawn by contrastive similarity among all ranks,
    never from the same image. Without a head that provides similarities, and before it starts, they are drawn evenly.

    Args:
        text_dim: Width of the fused tokens; filled in from the text encoder.
        negative_floor: Added to the probability of each candidate before a wrong one is drawn, so that easy ones come
            up too (1e-4 in salesforce/BLIP:models/blip_pretrain.py, 0 in ALBEF).
        weight: Factor of the loss in the sum.
        start_epoch: The loss joins in at this epoch.

    Raises:
        ValueError: A negative or infinite ``negative_floor``.
    """

    sees = Condition.CAPTION
    uses = (Feed.SIMILARITY,)
    needs_fusion = True
    predicts = ("itm_positive", "itm_negative")

    def __init__(
        self, *, text_dim: int, negative_floor: float = 0.0, weight: float = 1.0, start_epoch: float = 0.0
    ) -> None:
        super().__init__(weight=weight, start_epoch=start_epoch)
        if not 0.0 <= negative_floor < math.inf:
            raise ValueError(f"negative_floor: must be 0 or more, and finite, got {negative_floor}. BLIP has 1e-4.")
        self.negative_floor = negative_floor
        self.classifier = nn.Linear(text_dim, 2)

    def class_logits(self, fused: FusedTokens) -> Tensor:
        """Return the logits of "no match" and "match", (B, 2)."""
        return at_least_float32(self.classifier(fused.cls))

    def match_logits(self, fused: FusedTokens) -> Tensor:
        """Return the logit of "match" minus that of "no match", (B,)."""
        return match_scores(self.class_logits(fused), "margin")

    def loss(self, step: Step) -> HeadOutput:
        """Return ``loss_itm`` and the training accuracy."""
        batch = step.batch
        own = own_rows(batch.num_captions, batch.image_ids.device)
        all_ids = gather_rows(batch.image_ids)
        allowed = batch.image_ids.unsqueeze(1) != all_ids.unsqueeze(0)  # (B, G)
        i2t, t2i = step.similarity or (torch.zeros(allowed.shape, device=own.device),) * 2
        noise, floor = batch.noise_of_pairs, self.negative_floor
        wrong_text = sample_hard_negatives(i2t, allowed, noise("itm_text"), floor=floor)
        wrong_image = sample_hard_negatives(t2i, allowed, noise("itm_image"), floor=floor)
        image_rows = torch.cat([own, own, wrong_image])  # (3 B,)
        text_rows = torch.cat([own, wrong_text, own])
        visual, text = step.pairs(image_rows, text_rows)
        logits = self.class_logits(step.encoders.fuse(text, visual))
        # In a batch that shows one image only, a drawn "negative" is a positive: its label follows the ids.
        targets = (all_ids[image_rows] == all_ids[text_rows]).long()
        accuracy = (logits.detach().argmax(dim=1) == targets).float().mean()
        return HeadOutput({"itm": F.cross_entropy(logits, targets)}, {"itm_accuracy": accuracy})

    def predict(self, step: Step) -> dict[str, Any]:
        """Return the match logits of each image with its own caption and with the next other one."""
        other = other_rows(step.batch.image_ids)
        own = torch.arange(other.shape[0], device=other.device)
        positive = self.match_logits(_fused_pairs(step, own, own))
        negative = self.match_logits(_fused_pairs(step, own, other.clamp(min=0)))
        negative = negative.masked_fill(other < 0, float("nan"))
        return {"itm_positive": positive.tolist(), "itm_negative": negative.tolist()}


def match_scores(logits: Tensor, kind: MatchScore) -> Tensor:
    """Return what pairs are ranked by, (P,), of the logits of "no match" and "match" (P, 2).

    ``margin`` orders pairs as the probability of a match does. ``logit`` is what ALBEF, BLIP and mPLUG rank by
    (salesforce/ALBEF:Retrieval.py, salesforce/BLIP:train_retrieval.py, alibaba/AliceMind:mPLUG/retrieval_img_mplug.py).
    """
    return logits[:, 1] - logits[:, 0] if kind == "margin" else logits[:, 1]


def checked_match_score(value: str, location: str) -> MatchScore:
    """Return the setting ``match_score``.

    Raises:
        ConfigError: It is no kind of score.
    """
    for kind in get_args(MatchScore):
        if value == kind:
            return kind
    raise ConfigError(f"{location}: must be one of {', '.join(get_args(MatchScore))}, got {value!r}.")


def _fused_pairs(step: Step, image_rows: Tensor, text_rows: Tensor) -> FusedTokens:
    """Fuse this rank's images and texts at the given rows, each image selected under the text of its pair."""
    text = step.text.index(text_rows)
    return step.encoders.fuse(text, step.images_under(image_rows, text))
