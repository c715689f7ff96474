"""Classification of a text and its images, such as "is this statement true of the image"."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bus_toolkit.errors import ConfigError, DataError
from bus_toolkit.heads.base import Copied, HeadOutput, VLPHead
from bus_toolkit.losses.soft_targets import SoftTargets, mixed_cross_entropy
from bus_toolkit.ops.precision import at_least_float32
from bus_toolkit.step.step import Step
from bus_toolkit.structures import Condition, FusedTokens


def label_problem(label: int, num_classes: int, head: str) -> str:
    """Return what is wrong with a label for a head of ``num_classes``, named by its YAML path; empty if nothing is."""
    if 0 <= label < num_classes:
        return ""
    remedy = f"Set num_classes to {label + 1} or more, or correct the data" if label >= 0 else "Correct the data"
    return (
        f"{head}: with num_classes {num_classes}, labels (gt_label) are 0 to {num_classes - 1}, got the label {label}. "
        f"{remedy}."
    )


class ClassificationHead(VLPHead):
    """Classify the fused global token; the class is the data sample's ``gt_label``, from 0 to ``num_classes`` - 1.

    A statement about several images is fused with each of them, and the global tokens are classified side by side, in
    the order of the images: the "Pair" setting of UNITER for NLVR2 (arXiv 1909.11740, section 4.1), which needs no
    change of selector, decoder or fusion.

    With ``alpha`` the momentum model's classes are a part of the targets, as in ALBEF's entailment and NLVR2 (0.4,
    salesforce/ALBEF:models/model_ve.py, models/model_nlvr.py).

    Args:
        text_dim: Width of the fused tokens; filled in from the text encoder.
        num_classes: Number of classes, 2 or more (NLVR: 2; visual entailment: 3).
        num_images: Images a text (NLVR2: 2).
        alpha: Share of the momentum model's soft targets, which ``model.momentum.alpha_ramp_epochs`` lets grow; above 0
            it needs ``model.momentum``, where the fusion and this head are copied.
        weight: Factor of the loss in the sum.
        start_epoch: The loss joins in at this epoch.
    """

    sees = Condition.CAPTION
    gives_answers = True
    needs_fusion = True
    several_images = True
    distils = (Copied.FUSION, Copied.HEAD)
    predicts = ("pred_label", "pred_score")

    def __init__(
        self,
        *,
        text_dim: int,
        num_classes: int = 2,
        num_images: int = 1,
        alpha: float = 0.0,
        weight: float = 1.0,
        start_epoch: float = 0.0,
    ) -> None:
        super().__init__(weight=weight, start_epoch=start_epoch, alpha=alpha)
        if num_classes < 2 or num_images < 1:
            raise ValueError(
                f"num_classes and num_images: must be at least 2 and 1, got {num_classes} and {num_images}."
            )
        self.num_classes = num_classes
        self.num_images = num_images
        self.classifier = nn.Sequential(
            nn.Linear(num_images * text_dim, text_dim), nn.GELU(), nn.Linear(text_dim, num_classes)
        )

    def loss(self, step: Step) -> HeadOutput:
        """Return ``loss_cls`` and the training accuracy.

        Raises:
            DataError: The batch has no labels, or (known on the CPU only) one that is none of the classes.
            ConfigError: The data have another number of images a text.
        """
        labels = step.batch.labels
        if labels is None:
            raise DataError(
                "ClassificationHead: the class is the data sample's gt_label, got a sample without one. Use a data set "
                "with labels, or leave the head out."
            )
        if labels.device.type == "cpu":  # on a GPU this would wait for the device; the data loader has looked already
            for label in (int(labels.min()), int(labels.max())):
                if problem := label_problem(label, self.num_classes, step.head):
                    raise DataError(problem)
        logits = self._logits(step)
        accuracy = (logits.detach().argmax(dim=1) == labels).float().mean()
        soft = self._soft_targets(step)
        loss = F.cross_entropy(logits, labels) if soft is None else mixed_cross_entropy(logits, labels, soft).mean()
        return HeadOutput({"cls": loss}, {"cls_accuracy": accuracy})

    def predict(self, step: Step) -> dict[str, Any]:
        """Return the most probable class and its probability."""
        best: tuple[Tensor, Tensor] = torch.max(self._logits(step).softmax(dim=1), dim=1)
        return {"pred_label": best[1].tolist(), "pred_score": best[0].tolist()}

    def _logits(self, step: Step) -> Tensor:
        """Return the logits of the classes (B, C), float32 or float64."""
        if step.batch.num_images != self.num_images:
            raise ConfigError(
                f"ClassificationHead.num_images: must be the images a text of the data, {step.batch.num_images}, got "
                f"{self.num_images}. Set model.heads.<name>.num_images to {step.batch.num_images}."
            )
        # Every image I of a text meets the same text: (B, L, D) -> (B * I, L, D).
        return self.class_logits(step.encoders.fuse(step.text.repeat_each(self.num_images), step.visual()))

    def class_logits(self, fused: FusedTokens) -> Tensor:
        """Return the logits of the classes (B, C) of fused texts, one an image (B * I, L, D)."""
        pairs = fused.cls.unflatten(0, (-1, self.num_images)).flatten(1)  # (B * I, D) -> (B, I * D)
        return at_least_float32(self.classifier(pairs))

    def _soft_targets(self, step: Step) -> SoftTargets | None:
        """Return the momentum model's logits (B, C)."""
        momentum = step.momentum
        if not self.alpha or momentum is None:
            return None
        fused = momentum.fuse(momentum.text.repeat_each(self.num_images))
        copied = cast(ClassificationHead, step.momentum_head)
        return SoftTargets(copied.class_logits(fused), self.alpha * momentum.trust)
