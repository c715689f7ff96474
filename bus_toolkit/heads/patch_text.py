"""Patch-text matching (BUS) and patch-text alignment (COPA): what trains a text-aware selector."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from bus_toolkit.heads.base import HeadOutput, VLPHead
from bus_toolkit.heads.beginnings import drawn_lengths, encoded_beginnings, prompt_problem
from bus_toolkit.losses.patch_text import labels_of_candidates, patch_text_loss
from bus_toolkit.ops.other_rows import other_rows
from bus_toolkit.ops.patch_labels import boxes_to_patch_labels
from bus_toolkit.step.encoders import Encoders
from bus_toolkit.step.step import Step
from bus_toolkit.structures import Beginnings, Boxes, Condition, LearnsFrom, Selection


class PatchTextHead(VLPHead):
    """Teach the selectors which patches the text speaks of, from boxes.

    BUS (arXiv 2307.08504) calls the task patch-text matching, COPA (arXiv 2308.03475) patch-text alignment; COPA
    turns object signals into patch labels, and we take BUS to do the same. The formula was not readable; ours is the
    binary cross-entropy of each patch score against "the patch overlaps a box that the caption names". A selector that
    declares so (``learns_from``) learns from the boxes of all objects instead. Several selectors share the loss evenly.

    Args:
        patch_size: Side of a patch in pixels; filled in from the backbone.
        overlap: A patch is positive if the boxes cover more than this share of it, in [0, 1); 0 means any overlap.
        object_weight: Share of the loss, in [0, 1), that scores the text-free prompt against the boxes of all objects,
            so that a pass without text looks at objects. Needs ``conditioning.without_text: prompt``. Our addition.
        beginning_weight: Share of the loss that scores a beginning of the text, of random length, against the boxes
            that the whole text names, so that a caption which selects again while it is written (``reselect_every`` of
            ``CaptionHead``) looks at what comes next. Needs ``conditioning.without_text: prompt``. Our addition.
        weight: Factor of the loss in the sum.
        start_epoch: The loss joins in at this epoch.

    Raises:
        ValueError: ``overlap`` outside [0, 1), a negative share, or shares of 1 or more together.
    """

    sees = Condition.CAPTION  # the boxes are the answer, and no text says them
    needs_supervised_scores = True

    def __init__(
        self,
        *,
        patch_size: int,
        overlap: float = 0.0,
        object_weight: float = 0.0,
        beginning_weight: float = 0.0,
        weight: float = 1.0,
        start_epoch: float = 0.0,
    ) -> None:
        super().__init__(weight=weight, start_epoch=start_epoch)
        if not 0.0 <= overlap < 1.0 or not 0.0 <= object_weight < 1.0:
            raise ValueError(f"overlap and object_weight: must be in [0, 1), got {overlap} and {object_weight}.")
        if not 0.0 <= beginning_weight < 1.0 - object_weight:
            raise ValueError(
                f"beginning_weight: must be 0 or more, and below 1 together with object_weight ({object_weight}), got "
                f"{beginning_weight}."
            )
        self.patch_size = patch_size
        self.overlap = overlap
        self.object_weight = object_weight
        self.beginning_weight = beginning_weight

    @override
    def setting_problems(self, encoders: Encoders) -> Iterator[tuple[str, str]]:
        problem = prompt_problem(encoders) if self.beginning_weight else None
        if problem is not None:
            yield "beginning_weight", problem

    def labels(self, boxes: Boxes) -> tuple[Tensor, Tensor]:
        """Return which patches belong to named objects and which to any object, both bool (R, N)."""
        covered = boxes_to_patch_labels(boxes.xyxy, boxes.size, self.patch_size, self.overlap, boxes.valid)
        # A patch is positive if any box named by the text covers it: (R, boxes, N) -> (R, N).
        return (covered & boxes.named.unsqueeze(-1)).any(dim=1), covered.any(dim=1)

    def loss(self, step: Step) -> HeadOutput:
        """Return ``loss_ptm``; zero where no image of the batch has boxes, or no selector is there to learn."""
        selections, boxes = step.selections(), step.batch.all_boxes
        if not any(s.decision.supervised for s in selections):
            return HeadOutput({"ptm": step.text.pooled.sum() * 0.0})
        named, objects = self.labels(boxes)
        loss = self._loss(selections, boxes, named, objects)
        if self.object_weight or self.beginning_weight:
            loss = (1.0 - self.object_weight - self.beginning_weight) * loss
        if self.object_weight:
            free = step.selections(Condition.FREE)
            loss = loss + self.object_weight * self._loss(free, boxes, objects, objects)
        if self.beginning_weight:
            begun = self._under_beginnings(step)
            loss = loss + self.beginning_weight * self._loss(begun, boxes, named, objects)
        return HeadOutput({"ptm": loss})

    def _under_beginnings(self, step: Step) -> list[Selection]:
        """Return what the selectors decide on all rows when a beginning of each text is known."""
        tokens = step.batch.all_tokens
        noise_R = step.batch.noise("ptm_beginning", tokens.input_ids.shape[0])
        begun = Beginnings.of(tokens, drawn_lengths(tokens, noise_R, every=1))
        return step.selections_under(encoded_beginnings(step.encoders, begun), counted_as="beginning_scores")

    def _loss(self, selections: list[Selection], boxes: Boxes, named: Tensor, objects: Tensor) -> Tensor:
        has_boxes = boxes.valid.any(dim=1)
        terms = []
        for selection in selections:
            if selection.decision.supervised:
                labels = objects if selection.decision.learns_from is LearnsFrom.OBJECTS else named
                seen = labels_of_candidates(labels, selection.slots_before, selection.decision.scores.shape[1])
                terms.append(patch_text_loss(selection.decision.scores, seen, has_boxes))
        return torch.stack(terms).mean()

    def predict(self, step: Step) -> dict[str, Any]:
        """Return the first selector's scores under the own and under another caption, and the labels of the patches."""
        selections, boxes = step.selections(), step.batch.all_boxes
        if not selections or not selections[0].decision.supervised:
            return {}
        shuffled = step.selections(Condition.OTHER_CAPTION)
        named, objects = self.labels(boxes)
        kinds = torch.where(named, 1, torch.where(objects, 0, -1)).to(torch.int8)
        has_boxes = boxes.valid.any(dim=1)
        has_other = has_boxes & (other_rows(step.batch.image_ids) >= 0)
        return {
            "patch_scores": _rows_if(has_boxes, selections[0].decision.scores),
            "patch_scores_shuffled": _rows_if(has_other, shuffled[0].decision.scores),
            "patch_labels": _rows_if(has_boxes, named),
            "object_labels": _rows_if(has_boxes, kinds),
        }


def _rows_if(present: Tensor, rows: Tensor) -> list[Tensor | None]:
    return [row if there else None for row, there in zip(rows, present.tolist(), strict=True)]
