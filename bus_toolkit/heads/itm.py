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
from bus_toolkit.ops.collective import own_rows, world_size
from bus_toolkit.ops.other_rows import other_rows
from bus_toolkit.ops.precision import at_least_float32
from bus_toolkit.step.step import Step
from bus_toolkit.structures import Condition, FusedTokens

MatchScore = Literal["margin", "logit"]
"""By what pairs are ranked: the logit of "match" minus that of "no match", or the logit of "match" alone."""


class ITMHead(VLPHead):
    """Predict from the fused global token whether an image and a caption belong together.

    B matching pairs, B with a hard wrong caption, B with a hard wrong image
    (salesforce/ALBEF:models/model_pretrain.py); the wrong ones are drawn by contrastive similarity, never from the same
    image. Without a head that provides similarities, and before it starts, they are drawn evenly.

    Args:
        text_dim: Width of the fused tokens; filled in from the text encoder.
        negative_floor: Added to the probability of each candidate before a wrong one is drawn, so that easy ones come
            up too (1e-4 in salesforce/BLIP:models/blip_pretrain.py, 0 in ALBEF).
        negatives: Where wrong ones are drawn from. ``global``: the rows of all ranks, of which those that were drawn
            travel to the rank that needs them; losses do not depend on the number of ranks. ``local``: a rank's own
            rows, as in ALBEF's and BLIP's pre-training; nothing travels, and small batches a rank have easy ones.
        weight: Factor of the loss in the sum.
        start_epoch: The loss joins in at this epoch.

    Raises:
        ValueError: A negative or infinite ``negative_floor``, or unknown ``negatives``.
    """

    sees = Condition.CAPTION
    uses = (Feed.SIMILARITY,)
    needs_fusion = True
    predicts = ("itm_positive", "itm_negative")

    def __init__(
        self,
        *,
        text_dim: int,
        negative_floor: float = 0.0,
        negatives: Literal["global", "local"] = "global",
        weight: float = 1.0,
        start_epoch: float = 0.0,
    ) -> None:
        super().__init__(weight=weight, start_epoch=start_epoch)
        if not 0.0 <= negative_floor < math.inf:
            raise ValueError(f"negative_floor: must be 0 or more, and finite, got {negative_floor}. BLIP has 1e-4.")
        if negatives not in ("global", "local"):
            raise ValueError(f"negatives: must be global or local, got {negatives!r}.")
        self.negative_floor = negative_floor
        self.negatives = negatives
        self.classifier = nn.Linear(text_dim, 2)

    def class_logits(self, fused: FusedTokens) -> Tensor:
        """Return the logits of "no match" and "match", (B, 2)."""
        return at_least_float32(self.classifier(fused.cls))

    def match_logits(self, fused: FusedTokens) -> Tensor:
        """Return the logit of "match" minus that of "no match", (B,)."""
        return match_scores(self.class_logits(fused), "margin")

    def loss(self, step: Step) -> HeadOutput:
        """Return ``loss_itm`` and the training accuracy."""
        batch, is_local = step.batch, self.negatives == "local"
        own = own_rows(batch.num_captions, batch.image_ids.device)
        candidates = own if is_local else torch.arange(batch.num_captions * world_size(), device=own.device)  # (C,)
        ids = batch.image_ids if is_local else batch.all_image_ids
        wrong_text, wrong_image = self._wrong_rows(step, candidates, ids)
        visual, text = step.pairs(
            torch.cat([own, own, candidates[wrong_image]]),  # (3 B,)
            torch.cat([own, candidates[wrong_text], own]),
            local=is_local,
        )
        logits = self.class_logits(step.encoders.fuse(text, visual, first_only=True))
        # In a batch that shows one image only, a drawn "negative" is a positive: its label follows the ids.
        of_images = torch.cat([batch.image_ids, batch.image_ids, ids[wrong_image]])
        of_texts = torch.cat([batch.image_ids, ids[wrong_text], batch.image_ids])
        targets = (of_images == of_texts).long()
        accuracy = (logits.detach().argmax(dim=1) == targets).float().mean()
        return HeadOutput({"itm": F.cross_entropy(logits, targets)}, {"itm_accuracy": accuracy})

    def _wrong_rows(self, step: Step, candidates: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Draw a wrong text for each image and a wrong image for each text, by their places among the candidates, (B,).

        Args:
            step: The batch.
            candidates: int64 (C,), the rows to draw from, numbered as they are gathered.
            ids: Their image ids (C,).
        """
        allowed = step.batch.image_ids.unsqueeze(1) != ids.unsqueeze(0)  # (B, C)
        if step.similarity is None:
            i2t = t2i = torch.zeros(allowed.shape, device=allowed.device)
        elif self.negatives == "local":
            i2t, t2i = (part[:, candidates] for part in step.similarity)
        else:
            i2t, t2i = step.similarity
        noise, floor = step.batch.noise_of_pairs, self.negative_floor
        wrong_text = sample_hard_negatives(i2t, allowed, noise("itm_text", candidates), floor=floor)
        return wrong_text, sample_hard_negatives(t2i, allowed, noise("itm_image", candidates), floor=floor)

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
    return step.encoders.fuse(text, step.images_under(image_rows, text), first_only=True)
