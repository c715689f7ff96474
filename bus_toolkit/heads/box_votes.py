"""One box out of what many patches propose: those that agree speak together.

Shape suffixes: B rows, N patches, K voters, 4 corners.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bus_toolkit.losses.boxes import iou
from bus_toolkit.ops.merge_tokens import gather_tokens

# The best-scored patches vote; a bound on the K x K comparisons for large images. Few objects cover more patches.
_MOST_VOTERS = 32
_LEAST_IOU = 0.7


def vote(boxes_BN4: Tensor, weights_BN: Tensor) -> tuple[Tensor, Tensor]:
    """Return one box a row, (B, 4), and the weight that agrees with it, (B,).

    Two boxes agree if their intersection over union is at least 0.7. The box that most weight agrees with is elected,
    and the mean by weight of those that agree with it is returned. A mean over all patches would put the box between
    two objects wherever the weights waver, and would listen to patches that do not see the object. Among ties the box
    of the heaviest patch is elected. Ours, chosen on generated scenes.

    Args:
        boxes_BN4: What each patch proposes.
        weights_BN: How much each patch counts, positive; with a sum of 1 the weight of a box is in (0, 1].
    """
    weights_BK, places_BK = weights_BN.topk(min(_MOST_VOTERS, weights_BN.shape[1]), dim=1)
    boxes_BK4 = gather_tokens(boxes_BN4, places_BK)
    agree_BKK = iou(boxes_BK4.unsqueeze(2), boxes_BK4.unsqueeze(1)) >= _LEAST_IOU
    # A box without area agrees with nothing, not even itself; it still has its own vote.
    agree_BKK = agree_BKK | torch.eye(boxes_BK4.shape[1], dtype=torch.bool, device=agree_BKK.device)
    votes_BKK = agree_BKK * weights_BK.unsqueeze(1)
    elected_B1 = votes_BKK.sum(dim=2).argmax(dim=1, keepdim=True)
    votes_BK = gather_tokens(votes_BKK, elected_B1).squeeze(1)
    support_B = votes_BK.sum(dim=1)
    return (votes_BK.unsqueeze(-1) * boxes_BK4).sum(dim=1) / support_B.unsqueeze(-1), support_B
