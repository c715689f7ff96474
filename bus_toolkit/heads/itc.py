"""Image-text contrast."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bus_toolkit.heads.base import Feed, HeadOutput, VLPHead
from bus_toolkit.losses.contrastive import positive_targets, soft_cross_entropy
from bus_toolkit.ops.collective import gather_rows
from bus_toolkit.ops.precision import at_least_float32
from bus_toolkit.step.image_ids import EMPTY, UNKNOWN
from bus_toolkit.step.momentum import MomentumPasses
from bus_toolkit.step.step import Step
from bus_toolkit.structures import Condition, Similarity, TextTokens, VisualTokens

COLDEST, WARMEST = 0.001, 0.5


class QueueRows(NamedTuple):
    """Momentum features of all ranks for the queue: ``images`` and ``texts`` (G, E), ``ids`` int64 (G,)."""

    images: Tensor
    texts: Tensor
    ids: Tensor


class _Candidates(NamedTuple):
    """What a row is compared with: ``images``, ``texts`` (C, E), and for either direction targets (B, C)."""

    images: Tensor
    texts: Tensor
    image_to_text: Tensor
    text_to_image: Tensor
    present: Tensor | None


class ITCHead(VLPHead):
    """Pull matching images and captions together, against all others of the batch, of all ranks and of a queue.

    The form is ALBEF's (salesforce/ALBEF:models/model_pretrain.py): normalised projections of the two global tokens, a
    learned temperature, momentum features as candidates and soft targets ``alpha softmax(s_m) + (1 - alpha) y``. Ours:
    captions of one image share the target instead of being negatives of each other, and empty places in the queue count
    as nothing. Images are compared by ``image_id``; one without it matches its own caption alone.

    Args:
        embed_dim: Width of the visual tokens; filled in from the backbone.
        text_dim: Width of the text tokens; filled in from the text encoder.
        feature_dim: Width E of the common space.
        temperature: Initial temperature in [0.001, 0.5]; learned, and put back into that range after each step.
        queue_size: Past momentum features kept as candidates (0: none). Needs ``model.momentum``.
        alpha: Share of the momentum model's soft targets, which ``model.momentum.alpha_ramp_epochs`` lets grow. Needs
            ``model.momentum`` to have an effect.
        weight: Factor of the loss in the sum.
        start_epoch: The loss joins in at this epoch.

    Raises:
        ValueError: ``alpha`` outside [0, 1], a negative queue, a temperature outside its range.
    """

    sees = Condition.FREE
    provides = (Feed.SIMILARITY, Feed.PROJECTIONS)
    image_queue: Tensor
    text_queue: Tensor
    queue_ids: Tensor
    queue_next: Tensor
    predicts = ("image_feats", "paired_image_feats", "text_feats")

    def __init__(
        self,
        *,
        embed_dim: int,
        text_dim: int,
        feature_dim: int = 256,
        temperature: float = 0.07,
        queue_size: int = 0,
        alpha: float = 0.4,
        weight: float = 1.0,
        start_epoch: float = 0.0,
    ) -> None:
        if not 0.0 <= alpha <= 1.0 or queue_size < 0 or not COLDEST <= temperature <= WARMEST:
            raise ValueError(
                f"ITCHead: alpha must be in [0, 1], queue_size 0 or more and temperature in [{COLDEST}, {WARMEST}], "
                f"got {alpha}, {queue_size} and {temperature}."
            )
        super().__init__(weight=weight, start_epoch=start_epoch, alpha=alpha)
        self.queue_size = queue_size
        self.projections = nn.ModuleDict(
            {"image": nn.Linear(embed_dim, feature_dim), "text": nn.Linear(text_dim, feature_dim)}
        )
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1.0 / temperature)))
        self.register_buffer("image_queue", torch.zeros(queue_size, feature_dim))
        self.register_buffer("text_queue", torch.zeros(queue_size, feature_dim))
        self.register_buffer("queue_ids", torch.full((queue_size,), EMPTY, dtype=torch.int64))
        self.register_buffer("queue_next", torch.zeros(1, dtype=torch.int64))

    def image_feats(self, visual: VisualTokens, projections: nn.Module | None = None) -> Tensor:
        """Return normalised image features (B, E)."""
        projections = self.projections if projections is None else projections
        return F.normalize(at_least_float32(projections["image"](visual.cls)), dim=1)  # type: ignore[index]

    def text_feats(self, text: TextTokens, projections: nn.Module | None = None) -> Tensor:
        """Return normalised text features (B, E)."""
        projections = self.projections if projections is None else projections
        return F.normalize(at_least_float32(projections["text"](text.pooled)), dim=1)  # type: ignore[index]

    def scale(self) -> Tensor:
        """Return 1 / temperature."""
        return at_least_float32(self.logit_scale).exp()

    def loss(self, step: Step) -> HeadOutput:
        """Return ``loss_itc``, the temperature, the similarities in the batch and the features for the queue."""
        image, text = self.image_feats(step.image_alone()), self.text_feats(step.text_alone)
        momentum = step.momentum
        # Half precision would round a similarity of 14 by 0.06.
        with torch.autocast(image.device.type, enabled=False):
            return self._loss(image, text, step.batch.image_ids, momentum)

    def _loss(self, image: Tensor, text: Tensor, own_ids: Tensor, momentum: MomentumPasses | None) -> HeadOutput:
        ids = gather_rows(own_ids)
        all_images, all_texts = gather_rows(image), gather_rows(text)  # (B, E) -> (G, E)
        scale = self.scale()
        similarity = Similarity((scale * image @ all_texts.T).detach(), (scale * text @ all_images.T).detach())
        if momentum is None:
            rows = None
            targets = positive_targets(own_ids, ids, image.dtype)
            against = _Candidates(all_images, all_texts, targets, targets, None)
        else:
            projections = momentum.projections
            own = self.image_feats(momentum.visual, projections), self.text_feats(momentum.text, projections)
            rows = QueueRows(gather_rows(own[0]), gather_rows(own[1]), ids)
            queue = QueueRows(self.image_queue, self.text_queue, self.queue_ids)
            against = _with_queue(rows, queue, (scale * own[0], scale * own[1]), own_ids, self.alpha * momentum.trust)
        i2t = soft_cross_entropy(scale * image @ against.texts.T, against.image_to_text, against.present)
        t2i = soft_cross_entropy(scale * text @ against.images.T, against.text_to_image, against.present)
        losses, logs = {"itc": (i2t.mean() + t2i.mean()) / 2}, {"temperature": 1.0 / scale.detach()}
        return HeadOutput(losses, logs, similarity, carry=rows)

    @torch.no_grad()
    def after_step(self, carried: Sequence[QueueRows]) -> None:
        """Keep the temperature in its range; put the momentum features into the queue, over the oldest ones."""
        self.logit_scale.clamp_(math.log(1.0 / WARMEST), math.log(1.0 / COLDEST))
        if not carried or self.queue_size == 0:
            return
        images, texts, ids = (torch.cat(rows)[-self.queue_size :] for rows in zip(*carried, strict=True))
        places = (self.queue_next + torch.arange(images.shape[0], device=images.device)) % self.queue_size
        # One row that is not finite would make the losses NaN until the queue has gone round: its place stays empty.
        whole = (images.isfinite() & texts.isfinite()).all(dim=1)
        self.image_queue[places] = images.where(whole[:, None], 0.0).to(self.image_queue.dtype)
        self.text_queue[places] = texts.where(whole[:, None], 0.0).to(self.text_queue.dtype)
        # The number of an image without id means another image in the next batch.
        self.queue_ids[places] = ids.clamp(min=UNKNOWN).where(whole, EMPTY)
        self.queue_next.add_(images.shape[0]).remainder_(self.queue_size)

    def predict(self, step: Step) -> dict[str, Any]:
        """Return features: text-free images (first-stage retrieval), images under their own caption, captions."""
        feats = {
            "image_feats": lambda: self.image_feats(step.reduced(Condition.FREE)),
            "paired_image_feats": lambda: self.image_feats(step.image_alone()),
            "text_feats": lambda: self.text_feats(step.text_alone),
        }
        return {name: compute() for name, compute in feats.items() if step.wants(name)}


def _with_queue(
    rows: QueueRows, queue: QueueRows, own_m: tuple[Tensor, Tensor], own_ids: Tensor, alpha: float
) -> _Candidates:
    """Return the batch's momentum features and the queue's as candidates, with soft targets.

    Args:
        rows: Momentum features of all ranks.
        queue: Those of earlier batches.
        own_m: This rank's momentum features of images and texts (B, E), divided by the temperature.
        own_ids: Their image ids (B,).
        alpha: Share of the momentum model's opinion in the targets.
    """
    images, texts, ids = (torch.cat(pair) for pair in zip(rows, queue, strict=True))  # (G + queue, ...)
    present = torch.cat([torch.ones_like(rows.ids, dtype=torch.bool), queue.ids != EMPTY])
    targets = positive_targets(own_ids, ids, images.dtype)
    i2t = soften(targets, own_m[0] @ texts.T, present, alpha)
    t2i = soften(targets, own_m[1] @ images.T, present, alpha)
    return _Candidates(images, texts, i2t, t2i, present)


def soften(targets_BG: Tensor, logits_m_BG: Tensor, present_G: Tensor, alpha: float) -> Tensor:
    """Mix the momentum model's opinion into the targets: ``alpha softmax(logits_m) + (1 - alpha) targets``, (B, G)."""
    logits_m_BG = logits_m_BG.detach().masked_fill(~present_G, torch.finfo(logits_m_BG.dtype).min)
    return alpha * logits_m_BG.softmax(dim=1) + (1.0 - alpha) * targets_BG
