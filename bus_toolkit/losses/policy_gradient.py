"""The gradient of an expected reward: written texts become more probable by how far they are above a baseline."""

from __future__ import annotations

from torch import Tensor

from bus_toolkit.losses.token_weights import next_token_log_probs
from bus_toolkit.ops.collective import mean_over_ranks
from bus_toolkit.ops.precision import at_least_float32


def text_log_probs(logits_RLV: Tensor, ids_RL: Tensor, mask_RL: Tensor) -> Tensor:
    """Return the log-probability (R,) of each text after its first token, with gradient."""
    return (next_token_log_probs(logits_RLV, ids_RL) * mask_RL[:, 1:]).sum(dim=1)


def policy_gradient_loss(log_probs_BK: Tensor, advantages_BK: Tensor) -> Tensor:
    """Return minus the mean over all texts of all ranks of advantage times log-probability.

    Its gradient is the estimate of REINFORCE for the expected reward (Rennie et al., arXiv 1612.00563, equation 5); its
    value says nothing.

    Args:
        log_probs_BK: Of K texts a row, with gradient.
        advantages_BK: Rewards less their baseline, without gradient.
    """
    values = -advantages_BK.detach() * at_least_float32(log_probs_BK)
    return mean_over_ranks(values, values.detach().new_ones(values.shape))
