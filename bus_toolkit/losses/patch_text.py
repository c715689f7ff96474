"""Binary cross-entropy between patch scores and patch labels."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from bus_toolkit.ops.collective import mean_over_ranks
from bus_toolkit.ops.patch_labels import carry_to_candidates
from bus_toolkit.ops.precision import at_least_float32


def labels_of_candidates(labels_RN: Tensor, slots_RN: Tensor, num_candidates: int) -> Tensor:
    """Carry labels of the original patches over to the candidates of a later selector, bool (R, num_candidates).

    A candidate that several patches were merged into is positive if one of them is; a dropped patch goes nowhere.

    Args:
        labels_RN: bool labels of the original patches.
        slots_RN: int64, the candidate that each original patch is in, or -1.
        num_candidates: Number of candidates.
    """
    return carry_to_candidates(labels_RN.float(), slots_RN, num_candidates) > 0


def patch_text_loss(logits_RN: Tensor, labels_RN: Tensor, has_boxes_R: Tensor) -> Tensor:
    """Return the mean binary cross-entropy over the patches of the images that have boxes.

    Images without boxes give no term and no gradient: an unlabelled image is not an image of nothing.

    Args:
        logits_RN: Patch scores before the sigmoid.
        labels_RN: bool, True where the patch belongs to what the text names.
        has_boxes_R: bool, False for rows to leave out.
    """
    logits_RN = at_least_float32(logits_RN)
    losses = F.binary_cross_entropy_with_logits(logits_RN, labels_RN.to(logits_RN.dtype), reduction="none")
    return mean_over_ranks(losses, has_boxes_R.unsqueeze(1).expand_as(losses).to(losses.dtype))
