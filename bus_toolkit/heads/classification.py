"""Classification of an image-text pair, such as "is this statement true of the image"."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bus_toolkit.heads.base import Step, VLPHead


class ClassificationHead(VLPHead):
    """Classify the fused global token; the class is the data sample's ``gt_label``.

    Args:
        text_dim: Width of the fused tokens; filled in from the text encoder.
        num_classes: Number of classes, 2 or more.
        weight: Factor of the loss in the sum.
        start_epoch: The loss joins in at this epoch.
    """

    needs_fusion = True

    def __init__(self, *, text_dim: int, num_classes: int = 2, weight: float = 1.0, start_epoch: float = 0.0) -> None:
        super().__init__(weight=weight, start_epoch=start_epoch)
        self.classifier = nn.Sequential(nn.Linear(text_dim, text_dim), nn.GELU(), nn.Linear(text_dim, num_classes))

    def loss(self, step: Step) -> dict[str, Tensor]:
        """Return ``loss_cls`` and the training accuracy.

        Raises:
            ValueError: The batch has no labels.
        """
        if step.labels is None:
            raise ValueError("ClassificationHead: the data samples have no gt_label. Use a data set with labels.")
        logits = self.classifier(step.fuse(step.text, step.visual("cls")).cls).float()
        accuracy = (logits.detach().argmax(dim=1) == step.labels).float().mean()
        return {"loss_cls": F.cross_entropy(logits, step.labels), "cls_accuracy": accuracy}

    def predict(self, step: Step) -> dict[str, Any]:
        """Return the most probable class and its probability."""
        probs = self.classifier(step.fuse(step.text, step.visual("caption")).cls).float().softmax(dim=1)
        best: tuple[Tensor, Tensor] = torch.max(probs, dim=1)
        return {"pred_label": best[1].tolist(), "pred_score": best[0].tolist()}
