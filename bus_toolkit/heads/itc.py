"""Image-text contrast."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bus_toolkit.heads.base import Feed, HeadOutput, VLPHead
from bus_toolkit.heads.itc_candidates import Candidates, FeatureRows, soften
from bus_toolkit.losses.contrastive import positive_targets, sigmoid_contrast, soft_cross_entropy
from bus_toolkit.ops.gathered_rows import gather_together
from bus_toolkit.ops.precision import at_least_float32
from bus_toolkit.step.image_ids import EMPTY, lasting_ids
from bus_toolkit.step.step import Step
from bus_toolkit.structures import Condition, Similarity, TextTokens, VisualTokens

COLDEST, WARMEST = 0.001, 0.5
SIGMOID_BIAS = -10.0
"""At first nearly every pair is one that does not belong together: the bias says so, and no large gradient has to."""


class ITCHead(VLPHead):
    """Pull matching images and captions together, against all others of the batch, of all ranks and of a queue.

    The form is ALBEF's (salesforce/ALBEF:models/model_pretrain.py): normalised projections of the two global tokens, a
    learned temperature, momentum features as candidates and soft targets ``alpha softmax(s_m) + (1 - alpha) y``. Ours:
    captions of one image share the target instead of being negatives of each other, and empty places in the queue count
    as nothing. Images are compared by ``image_id``, and by their rows in the data where they have none.

    Args:
        embed_dim: Width of the visual tokens; filled in from the backbone.
        text_dim: Width of the text tokens; filled in from the text encoder.
        feature_dim: Width E of the common space.
        form: ``softmax``: each row against all candidates, in both directions. ``sigmoid``: each pair of an image and a
            text on its own, as in SigLIP (arXiv 2303.15343, section 3), with a learned bias that starts at -10; the
            paper's temperature starts at 0.1. It reads no momentum features, and so takes no queue.
        temperature: Initial temperature in [0.001, 0.5]; learned, and put back into that range after each step.
        queue_size: Past momentum features kept as candidates (0: none). Needs ``model.momentum``.
        alpha: Share of the momentum model's soft targets, which ``model.momentum.alpha_ramp_epochs`` lets grow. Needs
            ``model.momentum`` to have an effect.
        weight: Factor of the loss in the sum.
        start_epoch: The loss joins in at this epoch.

    Raises:
        ValueError: ``alpha`` outside [0, 1], a negative queue, a temperature outside its range; an unknown ``form``, or
            a queue for one that reads none.
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
        form: Literal["softmax", "sigmoid"] = "softmax",
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
        if form not in ("softmax", "sigmoid"):
            raise ValueError(f"form: must be softmax or sigmoid, got {form!r}.")
        if form == "sigmoid" and queue_size:
            raise ValueError(
                f"queue_size: must be 0 with form: sigmoid, which compares the pairs of a step, got {queue_size}. Set "
                "queue_size: 0, or form: softmax."
            )
        super().__init__(weight=weight, start_epoch=start_epoch, alpha=alpha)
        self.form = form
        self.queue_size = queue_size
        self.projections = nn.ModuleDict(
            {"image": nn.Linear(embed_dim, feature_dim), "text": nn.Linear(text_dim, feature_dim)}
        )
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1.0 / temperature)))
        self.logit_bias = nn.Parameter(torch.tensor(SIGMOID_BIAS)) if form == "sigmoid" else None
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
        own = FeatureRows(self.image_feats(step.image_alone()), self.text_feats(step.text_alone), step.batch.image_ids)
        momentum = None if self.form == "sigmoid" else step.momentum
        # Half precision would round a similarity of 14 by 0.06.
        with torch.autocast(own.images.device.type, enabled=False):
            if momentum is None:
                return self._against_batch(own, step.batch.all_image_ids)
            projections = momentum.projections
            images_m = self.image_feats(momentum.visual, projections)
            texts_m = self.text_feats(momentum.text, projections)
            rows = FeatureRows(images_m, texts_m, own.ids)
            return self._against_momentum(own, rows, step.batch.all_image_ids, self.alpha * momentum.trust)

    def _against_batch(self, own: FeatureRows, all_ids: Tensor) -> HeadOutput:
        """Compare this rank's rows with those of all ranks, which get gradient, too."""
        images, texts = gather_together([own.images, own.texts])  # (B, E) -> (G, E)
        scale = self.scale()
        i2t, t2i = scale * own.images @ texts.T, scale * own.texts @ images.T  # (B, G): never all rows with all rows
        if self.logit_bias is None:
            targets = positive_targets(own.ids, all_ids, i2t.dtype)
            loss = (soft_cross_entropy(i2t, targets).mean() + soft_cross_entropy(t2i, targets).mean()) / 2
        else:
            loss = sigmoid_contrast(i2t + self.logit_bias, own.ids.unsqueeze(1) == all_ids).mean()
        return self._output(loss, Similarity(i2t.detach(), t2i.detach()))

    def _against_momentum(self, own: FeatureRows, own_m: FeatureRows, all_ids: Tensor, alpha: float) -> HeadOutput:
        """Compare this rank's rows with the momentum features of all ranks and of the queue, with soft targets."""
        parts = [own.images.detach(), own.texts.detach(), own_m.images, own_m.texts]
        images, texts, images_m, texts_m = gather_together(parts)
        rows = FeatureRows(images_m, texts_m, all_ids)
        queue = FeatureRows(self.image_queue, self.text_queue, self.queue_ids)
        against = Candidates.of(rows, queue)
        scale = self.scale()
        targets = positive_targets(own.ids, against.ids, images.dtype)
        i2t = soft_cross_entropy(
            against.logits(scale * own.images, "texts"),
            soften(targets, against.logits(scale.detach() * own_m.images, "texts"), against.present, alpha),
            against.present,
        )
        t2i = soft_cross_entropy(
            against.logits(scale * own.texts, "images"),
            soften(targets, against.logits(scale.detach() * own_m.texts, "images"), against.present, alpha),
            against.present,
        )
        with torch.no_grad():
            similarity = Similarity(scale * own.images @ texts.T, scale * own.texts @ images.T)
        return self._output((i2t.mean() + t2i.mean()) / 2, similarity, rows)

    def _output(self, loss: Tensor, similarity: Similarity, rows: FeatureRows | None = None) -> HeadOutput:
        return HeadOutput({"itc": loss}, {"temperature": 1.0 / self.scale().detach()}, similarity, carry=rows)

    @torch.no_grad()
    def after_step(self, carried: Sequence[FeatureRows]) -> None:
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
        self.queue_ids[places] = lasting_ids(ids).where(whole, EMPTY)
        self.queue_next.add_(images.shape[0]).remainder_(self.queue_size)

    def predict(self, step: Step) -> dict[str, Any]:
        """Return features: text-free images (first-stage retrieval), images under their own caption, captions."""
        feats = {
            "image_feats": lambda: self.image_feats(step.reduced(Condition.FREE)),
            "paired_image_feats": lambda: self.image_feats(step.image_alone()),
            "text_feats": lambda: self.text_feats(step.text_alone),
        }
        return {name: compute() for name, compute in feats.items() if step.wants(name)}
