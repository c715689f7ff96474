"""Cross-entropy whose targets are in part what a momentum model thinks.

N rows, V classes.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F

from bus_toolkit.ops.precision import at_least_float32


class SoftTargets(NamedTuple):
    """What the momentum model thinks of each row, and how much of the loss that is.

    Attributes:
        logits: (N, V), its logits; they get no gradient.
        alpha: Share of the soft targets, from 0 to 1.
    """

    logits: Tensor
    alpha: float


def mixed_cross_entropy(
    logits_NV: Tensor, targets_N: Tensor, soft: SoftTargets | None = None, *, label_smoothing: float = 0.0
) -> Tensor:
    """Return the loss of each row, (N,): ``(1 - alpha) CE(targets) + alpha CE(softmax(momentum logits))``.

    The loss of salesforce/ALBEF:models/xbert.py (``soft_labels``), for masked words and for language models; float32 or
    float64.

    Args:
        logits_NV: Logits.
        targets_N: The right class of each row, int64.
        soft: The momentum model's; ``None`` for right classes alone.
        label_smoothing: Share of the right class spread over all of them; the soft targets are not smoothed.
    """
    logits_NV = at_least_float32(logits_NV)
    hard_N = F.cross_entropy(logits_NV, targets_N, reduction="none", label_smoothing=label_smoothing)
    if soft is None:
        return hard_N
    wanted_NV = at_least_float32(soft.logits).detach().softmax(dim=1)
    return (1.0 - soft.alpha) * hard_N + soft.alpha * F.cross_entropy(logits_NV, wanted_NV, reduction="none")
