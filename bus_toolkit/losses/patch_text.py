"""What patch scores are trained by: the boxes of what the text names, each patch alone or all against each other.

Shape suffixes: R images, N original patches, C candidates of a selector.
"""

from __future__ import annotations

import torch
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


def patch_text_softmax_loss(logits_RC: Tensor, cover_RC: Tensor) -> Tensor:
    """Return the mean cross-entropy between the softmax over an image's patches and what the named boxes cover of them.

    The target is the cover of each patch divided by that of all; each image has the same weight. Images of which boxes
    cover nothing give no term and no gradient.

    Args:
        logits_RC: Patch scores before the softmax.
        cover_RC: Share of each patch that is covered, 0 or more.
    """
    logits_RC = at_least_float32(logits_RC)
    cover_RC = cover_RC.to(logits_RC.dtype)
    sum_R1 = cover_RC.sum(dim=1, keepdim=True)
    target_RC = cover_RC / sum_R1.clamp(min=torch.finfo(logits_RC.dtype).tiny)
    losses_R = -(target_RC * logits_RC.log_softmax(dim=1)).sum(dim=1)
    return mean_over_ranks(losses_R, (sum_R1.squeeze(1) > 0).to(losses_R.dtype))
