"""Patch-text matching (BUS) and patch-text alignment (COPA): what trains a text-aware selector."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from typing_extensions import override

from bus_toolkit.heads.base import HeadOutput, VLPHead
from bus_toolkit.heads.beginnings import drawn_lengths, encoded_beginnings, prompt_problem
from bus_toolkit.losses.patch_text import patch_text_loss, patch_text_softmax_loss
from bus_toolkit.ops.other_rows import other_rows
from bus_toolkit.ops.patch_labels import carry_to_candidates, patch_cover
from bus_toolkit.step.encoders import Encoders
from bus_toolkit.step.step import Step
from bus_toolkit.structures import Beginnings, Boxes, Condition, LearnsFrom, PatchScores, Selection


class PatchTextHead(VLPHead):
    """Teach the selectors, and a prior that scores by the text, which patches the text speaks of, from boxes.

    BUS (arXiv 2307.08504) calls the task patch-text matching, COPA (arXiv 2308.03475) patch-text alignment; COPA
    turns object signals into patch labels, and we take BUS to do the same. The formula was not readable; both of ours
    are here. ``binary``: the cross-entropy of each patch score against "the patch overlaps a box that the caption
    names". ``softmax``: that of the softmax over the patches of an image against the share of each that a named box
    covers (of several boxes the one that covers most of it), divided by the sum of these shares; all images weigh the
    same, whatever their boxes cover. So a single named patch among hundreds is not outweighed by the others; but a
    number that all scores of an image have in common is free, and their sigmoid is no probability.

    A selector that declares so (``learns_from``) learns from the boxes of all objects instead. Several selectors share
    the loss evenly, and so does a prior with a scorer of its own (``TextScorePrior``), whose candidates are the tokens
    that the fusion reads. The patches that a candidate was merged from count as the one of them that is covered most; a
    dropped patch counts nowhere.

    Args:
        patch_size: Side of a patch in pixels; filled in from the backbone.
        form: ``binary`` or ``softmax``.
        overlap: A patch is positive if the boxes cover more than this share of it, in [0, 1); 0 means any overlap.
        object_weight: Share of the loss, in [0, 1), that scores the text-free prompt against the boxes of all objects,
            so that a pass without text looks at objects. Needs ``conditioning.without_text: prompt``. Our addition.
        beginning_weight: Share of the loss that scores a beginning of the text, of random length, against the boxes
            that the whole text names, so that a caption which selects again while it is written (``reselect_every`` of
            ``CaptionHead``) looks at what comes next. Needs ``conditioning.without_text: prompt``. Our addition.
        weight: Factor of the loss in the sum.
        start_epoch: The loss joins in at this epoch.

    Raises:
        ValueError: An unknown ``form``, ``overlap`` outside [0, 1), a negative share, or shares of 1 or more together.
    """

    sees = Condition.CAPTION  # the boxes are the answer, and no text says them
    needs_supervised_scores = True
    predicts = ("patch_scores", "patch_scores_shuffled", "patch_labels", "object_labels")

    def __init__(
        self,
        *,
        patch_size: int,
        form: Literal["binary", "softmax"] = "binary",
        overlap: float = 0.0,
        object_weight: float = 0.0,
        beginning_weight: float = 0.0,
        weight: float = 1.0,
        start_epoch: float = 0.0,
    ) -> None:
        super().__init__(weight=weight, start_epoch=start_epoch)
        if form not in ("binary", "softmax"):
            raise ValueError(f"form: must be binary or softmax, got {form!r}.")
        if not 0.0 <= overlap < 1.0 or not 0.0 <= object_weight < 1.0:
            raise ValueError(f"overlap and object_weight: must be in [0, 1), got {overlap} and {object_weight}.")
        if not 0.0 <= beginning_weight < 1.0 - object_weight:
            raise ValueError(
                f"beginning_weight: must be 0 or more, and below 1 together with object_weight ({object_weight}), got "
                f"{beginning_weight}."
            )
        self.patch_size = patch_size
        self.form = form
        self.overlap = overlap
        self.object_weight = object_weight
        self.beginning_weight = beginning_weight

    @override
    def setting_problems(self, encoders: Encoders) -> Iterator[tuple[str, str]]:
        problem = prompt_problem(encoders, or_scores=True) if self.beginning_weight else None
        if problem is not None:
            yield "beginning_weight", problem

    def cover(self, boxes: Boxes) -> tuple[Tensor, Tensor]:
        """Return which share of each patch a named object covers and which any object does, both float (R, N)."""
        covered = patch_cover(boxes.xyxy, boxes.size, self.patch_size)
        covered = covered.masked_fill(~((covered > self.overlap) & boxes.valid.unsqueeze(-1)), 0.0)
        # A patch is positive if any box named by the text covers it: (R, boxes, N) -> (R, N).
        return (covered * boxes.named.unsqueeze(-1)).amax(dim=1), covered.amax(dim=1)

    def labels(self, boxes: Boxes) -> tuple[Tensor, Tensor]:
        """Return which patches belong to named objects and which to any object, both bool (R, N)."""
        named, objects = self.cover(boxes)
        return named > 0, objects > 0

    def loss(self, step: Step) -> HeadOutput:
        """Return ``loss_ptm``; zero where no image of the batch has boxes, or nothing is there to learn."""
        scores, boxes = _own_scores(step), step.batch.all_boxes
        if not scores:
            return HeadOutput({"ptm": step.text.pooled.sum() * 0.0})
        named, objects = self.cover(boxes)
        loss = self.loss_of(scores, boxes, named, objects)
        if self.object_weight or self.beginning_weight:
            loss = (1.0 - self.object_weight - self.beginning_weight) * loss
        if self.object_weight:
            free = _own_scores(step, Condition.FREE)
            loss = loss + self.object_weight * self.loss_of(free, boxes, objects, objects)
        if self.beginning_weight:
            begun = self._under_beginnings(step)
            loss = loss + self.beginning_weight * self.loss_of(begun, boxes, named, objects)
        return HeadOutput({"ptm": loss})

    def _under_beginnings(self, step: Step) -> list[PatchScores]:
        """Return the scores of all rows when a beginning of each text is known."""
        tokens = step.batch.all_tokens
        noise_R = step.batch.noise("ptm_beginning", tokens.input_ids.shape[0])
        begun = Beginnings.of(tokens, drawn_lengths(tokens, noise_R, every=1))
        text = encoded_beginnings(step.encoders, begun)
        selections = step.selections_under(text, counted_as="beginning_scores") if _has_supervised(step) else []
        return _trainable(selections, step.prior_scores_under(text))

    def loss_of(self, scores: Sequence[PatchScores], boxes: Boxes, named: Tensor, objects: Tensor) -> Tensor:
        """Return the mean loss of scores against what boxes cover.

        Args:
            scores: At least one, of R images.
            boxes: Their boxes.
            named: Share of each patch that a named object covers, (R, N), as ``cover`` gives it.
            objects: That any object does.
        """
        has_boxes = boxes.valid.any(dim=1)
        terms = []
        for one in scores:
            cover = objects if one.learns_from is LearnsFrom.OBJECTS else named
            seen = carry_to_candidates(cover, one.slots, one.scores.shape[1])
            if self.form == "softmax":
                terms.append(patch_text_softmax_loss(one.scores, seen))
            else:
                terms.append(patch_text_loss(one.scores, seen > 0, has_boxes))
        return torch.stack(terms).mean()

    def predict(self, step: Step) -> dict[str, Any]:
        """Return scores under the own and under another caption, and the labels of the patches.

        They are those of the first selector, or of the prior where that selector is not supervised.
        """
        own, boxes = _scores_of_patches(step), step.batch.all_boxes
        if own is None:
            return {}
        predictions = self.fields_of(own, boxes)
        # A pass of its own.
        other = _scores_of_patches(step, Condition.OTHER_CAPTION) if step.wants("patch_scores_shuffled") else None
        if other is not None:
            has_other = boxes.valid.any(dim=1) & (other_rows(step.batch.image_ids) >= 0)
            predictions["patch_scores_shuffled"] = _rows_if(has_other, other)
        return predictions

    def fields_of(self, scores: Tensor, boxes: Boxes) -> dict[str, Any]:
        """Return scores of the patches (R, N) and what the boxes say of each, for images that have boxes."""
        named, objects = self.labels(boxes)
        kinds = torch.where(named, 1, torch.where(objects, 0, -1)).to(torch.int8)
        has_boxes = boxes.valid.any(dim=1)
        return {
            "patch_scores": _rows_if(has_boxes, scores),
            "patch_labels": _rows_if(has_boxes, named),
            "object_labels": _rows_if(has_boxes, kinds),
        }


def _has_supervised(step: Step) -> bool:
    return any(selector.supervised for selector in step.encoders.backbone.selectors)


def _selections(step: Step, condition: Condition | None) -> list[Selection]:
    """Return what the selectors decided under a condition; where none has scores to train, none is asked."""
    return step.selections(condition) if _has_supervised(step) else []


def _own_scores(step: Step, condition: Condition | None = None) -> list[PatchScores]:
    """Return all scores to train under a condition."""
    return _trainable(_selections(step, condition), step.prior_scores(condition))


def _trainable(selections: Sequence[Selection], prior: PatchScores | None) -> list[PatchScores]:
    scores = [
        PatchScores(s.decision.scores, s.slots_before, s.decision.learns_from)
        for s in selections
        if s.decision.supervised
    ]
    return scores if prior is None else [*scores, prior]


def _scores_of_patches(step: Step, condition: Condition | None = None) -> Tensor | None:
    """Return the scores (R, N) that a prediction shows; a patch that the fusion does not read is the last of all."""
    selections = _selections(step, condition)
    if selections and selections[0].decision.supervised:
        return selections[0].decision.scores
    prior = step.prior_scores(condition)
    return None if prior is None else prior.of_patches(gone=-math.inf)


def _rows_if(present: Tensor, rows: Tensor) -> list[Tensor | None]:
    return [row if there else None for row, there in zip(rows, present.tolist(), strict=True)]
