"""Loss functions on plain tensors."""

from bus_toolkit.losses.boxes import box_l1, giou_loss, iou
from bus_toolkit.losses.contrastive import (
    positive_targets,
    sample_hard_negatives,
    sigmoid_contrast,
    soft_cross_entropy,
)
from bus_toolkit.losses.next_token import next_token_loss
from bus_toolkit.losses.patch_text import (
    labels_of_candidates,
    patch_text_loss,
    patch_text_softmax_loss,
)
from bus_toolkit.losses.policy_gradient import policy_gradient_loss, text_log_probs
from bus_toolkit.losses.soft_targets import SoftTargets, mixed_cross_entropy
from bus_toolkit.losses.token_weights import difficulty_weights, next_token_log_probs

__all__ = [
    "SoftTargets",
    "box_l1",
    "difficulty_weights",
    "giou_loss",
    "iou",
    "labels_of_candidates",
    "mixed_cross_entropy",
    "next_token_log_probs",
    "next_token_loss",
    "patch_text_loss",
    "patch_text_softmax_loss",
    "policy_gradient_loss",
    "positive_targets",
    "sample_hard_negatives",
    "sigmoid_contrast",
    "soft_cross_entropy",
    "text_log_probs",
]
