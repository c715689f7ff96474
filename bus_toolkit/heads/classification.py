"""Classification of a text and its images, such as "is this statement true of the image"."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bus_toolkit.heads.base import Step, VLPHead


class ClassificationHead(VLPHead):
    """Classify the fused global token; the class is the data sample's ``gt_label``.

    A statement about several images is fused with each of them, and the global tokens are classified side by side, in
    the order of the images: the "Pair" setting of UNITER for NLVR2 (arXiv 1909.11740, section 4.1), which needs no
    change of selector, decoder or fusion.

    Args:
        text_dim: Width of the fused tokens; filled in from the text encoder.
        num_classes: Number of classes, 2 or more (NLVR: 2; visual entailment: 3).
        num_images: Images a text (NLVR2: 2).
        weight: Factor of the loss in the sum.
        start_epoch: The loss joins in at this epoch.
    """

    needs_fusion = True
    several_images = True

    def __init__(
        self,
        *,
        text_dim: int,
        num_classes: int = 2,
        num_images: int = 1,
        weight: float = 1.0,
        start_epoch: float = 0.0,
    ) -> None:
        super().__init__(weight=weight, start_epoch=start_epoch)
        if num_classes < 2 or num_images < 1:
            raise ValueError(
                f"num_classes and num_images: must be at least 2 and 1, got {num_classes} and {num_images}."
            )
        self.num_images = num_images
        self.classifier = nn.Sequential(
            nn.Linear(num_images * text_dim, text_dim), nn.GELU(), nn.Linear(text_dim, num_classes)
        )

    def loss(self, step: Step) -> dict[str, Tensor]:
        """Return ``loss_cls`` and the training accuracy.

        Raises:
            ValueError: The batch has no labels, or another number of images a text.
        """
        if step.labels is None:
            raise ValueError("ClassificationHead: the data samples have no gt_label. Use a data set with labels.")
        logits = self._logits(step, "cls")
        accuracy = (logits.detach().argmax(dim=1) == step.labels).float().mean()
        return {"loss_cls": F.cross_entropy(logits, step.labels), "cls_accuracy": accuracy}

    def predict(self, step: Step) -> dict[str, Any]:
        """Return the most probable class and its probability."""
        probs = self._logits(step, "caption").softmax(dim=1)
        best: tuple[Tensor, Tensor] = torch.max(probs, dim=1)
        return {"pred_label": best[1].tolist(), "pred_score": best[0].tolist()}

    def _logits(self, step: Step, objective: str) -> Tensor:
        """Return the logits of the classes, float32 (B, C)."""
        if step.num_images != self.num_images:
            raise ValueError(
                f"ClassificationHead.num_images: must be the images a text of the data, {step.num_images}, got "
                f"{self.num_images}. Set model.heads.<name>.num_images to {step.num_images}."
            )
        fused = step.fuse(step.text.repeat_each(self.num_images), step.visual(objective))
        return self.classifier(fused.cls.unflatten(0, (-1, self.num_images)).flatten(1)).float()
