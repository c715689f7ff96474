"""DynamicViT's distillation: what drops patches follows a teacher that sees them all."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bus_toolkit.errors import ConfigError
from bus_toolkit.heads import HeadOutput, Step, VLPHead
from bus_toolkit.ops import at_least_float32, compose, gather_rows, mean_over_ranks, scatter_back
from bus_toolkit.structures import Condition, VisualTokens


class TeacherDistillHead(VLPHead):
    """Hold tokens and predictions close to those of a teacher that sees every patch. Goes into ``model.heads``.

    arXiv 2106.02034, section 3.4; raoyongming/DynamicViT:losses.py. Tokens: the mean squared difference after the
    final norm, over the patches that are kept (no gradient goes through that choice) and the width. Predictions: the
    Kullback-Leibler divergence of the student from the teacher, averaged over images. 0.5 each, as there.

    Ours: the teacher is the momentum branch. There it is a second model, trained before; a moving average is already at
    hand here, costs no other training, and becomes better with the student. A prediction there is a class; here it is
    which of the batch's captions (of all ranks) an image shows, so one caption alone teaches nothing. Captions and
    projections are the teacher's on both sides, so that the images alone make the difference, and only they learn. The
    images are those of the contrast. A merged token is compared at the patch that founded it, a fused one not at all.
    After a decoder with queries no token is a patch any more: then the tokens that it reads are compared, which are
    those after the backbone's final norm, as there.

    Args:
        token_weight: Factor of the tokens' part, 0 or more; 0 leaves it out.
        prediction_weight: Factor of the predictions' part, 0 or more; 0 leaves it out.
        temperature: Divides the cosine similarities of image and captions, above 0.
        weight: Factor of the loss in the sum.
        start_epoch: The loss joins in at this epoch.

    Raises:
        ValueError: A negative factor, both 0, or a temperature that is not above 0.
    """

    sees: ClassVar[Condition] = Condition.FREE
    needs_momentum: ClassVar[bool] = True

    def __init__(
        self,
        *,
        token_weight: float = 0.5,
        prediction_weight: float = 0.5,
        temperature: float = 0.07,
        weight: float = 1.0,
        start_epoch: float = 0.0,
    ) -> None:
        super().__init__(weight=weight, start_epoch=start_epoch)
        if min(token_weight, prediction_weight) < 0 or max(token_weight, prediction_weight) == 0:
            raise ValueError(
                "token_weight and prediction_weight: must be 0 or more and not both 0, got "
                f"{token_weight} and {prediction_weight}. Leave the head out for no distillation."
            )
        if temperature <= 0:
            raise ValueError(f"temperature: must be above 0, got {temperature}. ITC starts at 0.07.")
        self.token_weight = token_weight
        self.prediction_weight = prediction_weight
        self.temperature = temperature

    def loss(self, step: Step) -> HeadOutput:
        """Return ``loss_distill``, and its parts before their factors.

        Raises:
            ConfigError: A momentum branch that drops patches itself.
        """
        momentum = step.momentum
        assert momentum is not None, "build_model refuses this head without a momentum branch"
        teacher = momentum.visual
        if teacher.selections:
            raise ConfigError(
                "TeacherDistillHead: the teacher must see every patch, but model.momentum.selection is 'same'. "
                "Write selection: none."
            )
        student = step.visual()
        parts: dict[str, Tensor] = {}
        if self.token_weight:
            parts["distill_tokens"] = token_distance(student, teacher)
        if self.prediction_weight:
            projections = momentum.projections
            image, image_m = (_feats(projections, "image", visual.cls) for visual in (student, teacher))
            captions_m = gather_rows(_feats(projections, "text", momentum.text.pooled))
            parts["distill_predictions"] = prediction_divergence(image, image_m, captions_m, self.temperature)
        factors = {"distill_tokens": self.token_weight, "distill_predictions": self.prediction_weight}
        loss = torch.stack([factors[name] * part for name, part in parts.items()]).sum()
        return HeadOutput({"distill": loss}, {name: part.detach() for name, part in parts.items()})


def prediction_divergence(image: Tensor, image_m: Tensor, captions_m: Tensor, temperature: float) -> Tensor:
    """Return KL(teacher || student) of which caption each image shows, averaged over the images.

    Args:
        image: The student's features (B, E), normalised.
        image_m: The teacher's, (B, E).
        captions_m: Of all captions to choose from, (G, E).
        temperature: Divides the similarities.
    """
    # Half precision would round a similarity of 14 by 0.06.
    with torch.autocast(image.device.type, enabled=False):
        student, teacher = ((feats @ captions_m.T / temperature).log_softmax(dim=1) for feats in (image, image_m))
    return F.kl_div(student, teacher, reduction="batchmean", log_target=True)


def token_distance(student: VisualTokens, teacher: VisualTokens) -> Tensor:
    """Return the mean squared difference of the kept patches' tokens; 0 where none is kept.

    Args:
        student: Any selection of the patches, embeds (B, P + S, D); or queries of a decoder, with what it read.
        teacher: All of them in their order, (B, P + N, D); or queries, likewise.
    """
    if student.origin is None and student.undecoded is not None and teacher.undecoded is not None:
        student, teacher = student.undecoded, teacher.undecoded
    assert student.origin is not None, "tokens of a backbone have an origin"
    tokens, tokens_m = (at_least_float32(v.embeds[:, v.num_prefix :]) for v in (student, teacher))
    gaps = (scatter_back(tokens, student.origin) - tokens_m).square().mean(dim=2)
    return mean_over_ranks(gaps, patches_let_through(student).to(gaps.dtype))


def patches_let_through(visual: VisualTokens) -> Tensor:
    """Return which original patches are left as tokens that count as keys, bool (B, N).

    If masks replace dropping (DynamicViT in training), every patch is left, and the masks say which count.
    """
    kept = visual.kept_patches()
    for selection in visual.selections:
        weights = selection.decision.plan.key_weights
        if weights is not None:
            slots = compose(selection.slots_before, selection.decision.plan)
            # A patch that is gone has no slot, and is not kept whatever the first one holds.
            kept = kept & (weights.gather(1, slots.clamp(min=0)) > 0.5)
    return kept


def _feats(projections: nn.Module, kind: str, token: Tensor) -> Tensor:
    """Return normalised features (B, E) in the teacher's common space of a global token (B, D)."""
    return F.normalize(at_least_float32(projections[kind](token)), dim=1)  # type: ignore[index]
