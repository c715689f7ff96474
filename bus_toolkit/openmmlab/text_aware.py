"""What the text-aware versions of mmpretrain's models share: one text for each image, which selects its patches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from operator import attrgetter
from typing import Any, ClassVar

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from bus_toolkit.errors import ConfigError, DataError, Problem
from bus_toolkit.losses.patch_text import labels_of_candidates, patch_text_loss
from bus_toolkit.mmpretrain_shim import require_transformers_4
from bus_toolkit.openmmlab.backbone import TokenReducedViT
from bus_toolkit.openmmlab.conditioning import ConditionedPasses, Repeat, conditioned_on
from bus_toolkit.ops.patch_labels import boxes_to_patch_labels
from bus_toolkit.ops.to_device import to_device
from bus_toolkit.structures import LearnsFrom, TextTokens


def reading_texts(model: nn.Module, vit: nn.Module, selectors: Sequence[Mapping[str, Any]], text_dim: int) -> Any:
    """Return ``vit``, a transformer that mmpretrain built, with selectors between its blocks.

    Raises:
        ConfigError: It is reduced already, or no selectors are given.
    """
    name = type(model).__name__
    if isinstance(vit, TokenReducedViT):
        text = f"{name} puts the selectors in itself, got a TokenReducedViT. Give the plain transformer's config."
        raise ConfigError(Problem("model", text))
    if isinstance(selectors, Mapping) or not selectors:
        text = f"{name} needs a list of selectors, got {selectors!r}. Write selectors=[dict(type='TSPS', blocks=[6])]."
        raise ConfigError(Problem("model.selectors", text))
    return TokenReducedViT(vit, selectors, text_dim=text_dim, path="model")


class ReadsOneText(BaseModel):
    """Base of text-aware versions of mmpretrain's models in which each image has one text.

    A subclass names mmpretrain's class as its next base, says which of its modules encodes images, which words, and
    which text it is. Then ``loss`` and ``predict`` are that model's own, run while its backbone is conditioned on the
    text.

    Args:
        selectors: Configs of patch selectors, at most one a block, as in ``model.selectors`` of a ``VLPModel``.
        patch_text_weight: Factor of ``loss_ptm``, the patch-text loss that teaches supervised selectors (``TSPS``)
            which patches the text speaks of, from the boxes of data samples. 0 leaves it out: then only the weights of
            the fused token teach them.
        patch_text_boxes: The key of these boxes in data samples, (4,) or (M, 4), corners in pixels of the image that
            the model gets. Samples without it give no term.
        **model: Arguments of mmpretrain's model.

    Raises:
        ComponentError: transformers is of version 5 or later.
        ConfigError: No selectors, or a weight that does not go with them.
    """

    backbone_name: ClassVar[str] = "vision_backbone"
    text_model_name: ClassVar[str] = "multimodal_backbone"
    repeat: ClassVar[Repeat] = "each"
    boxes_key: ClassVar[str] = "gt_bboxes"

    def __init__(
        self,
        selectors: Sequence[Mapping[str, Any]] = (),
        *,
        patch_text_weight: float = 0.0,
        patch_text_boxes: str | None = None,
        **model: Any,
    ) -> None:
        require_transformers_4(f"model: {type(self).__name__}")
        super().__init__(**model)
        vit = reading_texts(self, self.image_model, selectors, self.text_dim)
        if patch_text_weight < 0:
            raise ConfigError(Problem("model.patch_text_weight", f"must be 0 or more, got {patch_text_weight}."))
        if patch_text_weight and not any(selector.supervised for selector in vit.selectors):
            text = "no selector here learns from boxes, got a weight for them. Use TSPS, or leave it out."
            raise ConfigError(Problem("model.patch_text_weight", text))
        if patch_text_weight and any(selector.learns_from is LearnsFrom.OBJECTS for selector in vit.selectors):
            text = (
                "the boxes here are those that a text names, got a selector that learns from all objects of an image. "
                "Use TSPS, or train it in a VLPModel."
            )
            raise ConfigError(Problem("model.patch_text_weight", text))
        setattr(self, self.backbone_name, vit)
        self.patch_text_weight = patch_text_weight
        self.patch_text_boxes = patch_text_boxes or self.boxes_key

    @property
    def image_model(self) -> Any:
        """The module that encodes images, as it is now."""
        return getattr(self, self.backbone_name)

    @property
    def text_model(self) -> Any:
        """The transformer of the model whose words the texts are made of."""
        return attrgetter(self.text_model_name)(self)

    @property
    def text_dim(self) -> int:
        """Width of the texts that ``encode_text`` gives."""
        return self.text_model.get_input_embeddings().embedding_dim

    def encode_text(self, data_samples: Sequence[Any] | None, *, predicting: bool) -> TextTokens:
        """Return the text of each data sample, or one text for all images, for a loss or a prediction."""
        raise NotImplementedError

    def loss(self, images: Tensor, data_samples: Any = None, **settings: Any) -> dict[str, Tensor]:
        """Return mmpretrain's losses and, with a ``patch_text_weight``, ``loss_ptm``."""
        with self._conditioned(data_samples, predicting=False) as passes:
            losses = super().loss(images, data_samples, **settings)
        if self.patch_text_weight:
            losses["loss_ptm"] = self.patch_text_weight * self._patch_text_loss(passes, images, data_samples)
        return losses

    def predict(self, images: Tensor, data_samples: Any = None, **settings: Any) -> Any:
        """Return mmpretrain's predictions."""
        with self._conditioned(data_samples, predicting=True):
            return super().predict(images, data_samples, **settings)

    def _conditioned(
        self, data_samples: Sequence[Any] | None, *, predicting: bool
    ) -> AbstractContextManager[ConditionedPasses]:
        backbone, with_scores = self.image_model, self.patch_text_weight > 0 and not predicting
        if not backbone.needs_text:
            return conditioned_on(backbone, None, with_scores=with_scores)
        text = self.encode_text(data_samples, predicting=predicting)
        return conditioned_on(backbone, text, repeat=self.repeat, with_scores=with_scores)

    def _patch_text_loss(self, passes: ConditionedPasses, images: Tensor, data_samples: Sequence[Any]) -> Tensor:
        """Return the mean loss over the supervised selections."""
        boxes, valid = self._boxes(data_samples, images.device)
        (height, width), (patch, _) = images.shape[-2:], self.image_model.adapter.patch_size
        labels_BN = boxes_to_patch_labels(boxes, (height, width), patch, 0.0, valid).any(dim=1)
        has_boxes = valid.any(dim=1)
        terms = []
        for scores, slots in passes.scores:
            seen = labels_of_candidates(labels_BN, slots, scores.shape[1])
            terms.append(patch_text_loss(scores, seen, has_boxes))
        return torch.stack(terms).mean()

    def _boxes(self, data_samples: Sequence[Any], device: torch.device) -> tuple[Tensor, Tensor]:
        """Return the boxes padded to (B, M, 4), and which of them are there, bool (B, M)."""
        rows = [sample.get(self.patch_text_boxes) for sample in data_samples]
        tensors = [torch.as_tensor([] if row is None else row, dtype=torch.float32).reshape(-1, 4) for row in rows]
        if not any(len(row) for row in tensors) and all(row is None for row in rows):
            raise DataError(
                f"data_samples: patch_text_weight needs boxes, got no {self.patch_text_boxes!r} in a whole batch. Let "
                "PackInputs pass them on, name their key as patch_text_boxes, or set patch_text_weight=0."
            )
        padded = to_device(nn.utils.rnn.pad_sequence(tensors, batch_first=True), device)  # (B, M, 4)
        counts = to_device(torch.tensor([len(row) for row in tensors]), device)
        return padded, torch.arange(padded.shape[1], device=device) < counts.unsqueeze(1)
