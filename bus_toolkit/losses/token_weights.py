"""How probable a model finds the next tokens, and weights that favour those it finds hard.

B batch, L text length, T = L - 1 tokens after the first, V vocabulary.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from bus_toolkit.ops.precision import at_least_float32


def next_token_log_probs(logits_BLV: Tensor, ids_BL: Tensor) -> Tensor:
    """Return the log-probability (B, T), float32 or float64, of each token after the first.

    Args:
        logits_BLV: For each place, the logits of the token after it; those of the last place are not read, and need
            not be there.
        ids_BL: The tokens.
    """
    logits_BTV = at_least_float32(logits_BLV[:, : ids_BL.shape[1] - 1])
    losses = F.cross_entropy(logits_BTV.flatten(0, 1), ids_BL[:, 1:].flatten(), reduction="none")
    # cross_entropy takes rows alone: (B, T, V) -> (B * T, V), and its losses back to (B, T).
    return -losses.view(ids_BL.shape[0], -1)


def difficulty_weights(log_probs_BT: Tensor, gamma: float) -> Tensor:
    """Return ``(1 - p) ** gamma`` (B, T), in [0, 1] and without gradient: 0 for a token that was certain.

    PRIOR (arXiv 2505.08971) weighs tokens by how hard they are for a reference model that reads only text. Its exact
    weight was not readable to us: this power, the focal loss's (arXiv 1708.02002, equation 4), is our choice.

    Args:
        log_probs_BT: Log-probabilities that the reference gives to the tokens.
        gamma: Of 0 or more: 0 gives every token the weight 1, larger values favour hard tokens more.
    """
    # expm1 keeps apart the probabilities near 1, where 1 - exp would round to 0.
    return (-log_probs_BT.detach().expm1()).clamp(0.0, 1.0).pow(gamma)
