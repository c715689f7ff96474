"""Image-text contrastive loss with soft targets, and the choice of hard negatives."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bus_toolkit.ops.precision import at_least_float32


def positive_targets(ids_B: Tensor, ids_G: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return target distributions (B, G): equal shares for all candidates that show the same image.

    Args:
        ids_B: Image ids of the rows.
        ids_G: Image ids of the candidates, numbered as ``step.image_ids`` says.
        dtype: Of the shares: that of the logits which they are compared with.
    """
    # (B, 1) == (1, G) -> (B, G)
    same_BG = (ids_B.unsqueeze(1) == ids_G.unsqueeze(0)).to(dtype)
    return same_BG / same_BG.sum(dim=1, keepdim=True).clamp(min=1.0)


def soft_cross_entropy(logits_BG: Tensor, targets_BG: Tensor, present_G: Tensor | None = None) -> Tensor:
    """Return the cross-entropy of each row, (B,), against a target distribution, in float32 or float64.

    Args:
        logits_BG: Similarities divided by the temperature.
        targets_BG: Rows that sum to 1.
        present_G: bool, False for empty candidates, which count neither as positives nor as negatives.
    """
    logits_BG = at_least_float32(logits_BG)
    if present_G is not None:
        # The smallest number, not minus infinity: times a target of 0 that would be NaN.
        logits_BG = logits_BG.masked_fill(~present_G, torch.finfo(logits_BG.dtype).min)
        targets_BG = targets_BG.masked_fill(~present_G, 0.0)
    log_probs_BG = F.log_softmax(logits_BG, dim=1)
    return -(targets_BG * log_probs_BG).sum(dim=1)


def sigmoid_contrast(logits_BG: Tensor, positive_BG: Tensor) -> Tensor:
    """Return SigLIP's loss of each row, (B,): the sum of the cross-entropies of its pairs (arXiv 2303.15343, eq. 2).

    Args:
        logits_BG: Similarities divided by the temperature, with the bias added.
        positive_BG: bool, True for pairs that belong together.
    """
    signs_BG = positive_BG.to(logits_BG.dtype) * 2.0 - 1.0
    return -F.logsigmoid(signs_BG * at_least_float32(logits_BG)).sum(dim=1)


def sample_hard_negatives(logits_BG: Tensor, allowed_BG: Tensor, noise_BG: Tensor, *, floor: float = 0.0) -> Tensor:
    """Draw one candidate a row, (B,), with probability ``softmax(logits) + floor``, scaled, among the allowed ones.

    ALBEF draws by ``multinomial`` over the in-batch softmax with the diagonal zeroed
    (salesforce/ALBEF:models/model_pretrain.py). The same distribution comes from the largest of logits + Gumbel noise,
    without a device synchronisation and from given noise.

    Args:
        logits_BG: Similarities divided by the temperature.
        allowed_BG: bool, False for the row's own image. A row with none allowed gets an arbitrary candidate.
        noise_BG: Uniform in [0, 1).
        floor: Added to every weight; BLIP adds 1e-4 (salesforce/BLIP:models/blip_pretrain.py).
    """
    # Neither end: log(0) is infinite, and so is the noise of a 1.
    noise_BG = noise_BG.clamp(1e-9, 1.0 - 1e-7)
    gumbel_BG = -torch.log(-torch.log(noise_BG))
    log_weights_BG = F.log_softmax(at_least_float32(logits_BG), dim=1)
    if floor:
        log_weights_BG = (log_weights_BG.exp() + floor).log()
    scores_BG = log_weights_BG + gumbel_BG
    return scores_BG.masked_fill(~allowed_BG, torch.finfo(scores_BG.dtype).min).argmax(dim=1)
