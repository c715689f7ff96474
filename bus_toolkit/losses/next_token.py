"""The loss of language models: how surprised they are by the next tokens.

B batch, L text length, T = L - 1 tokens after the first, V vocabulary.
"""

from __future__ import annotations

from torch import Tensor

from bus_toolkit.losses.soft_targets import SoftTargets, mixed_cross_entropy
from bus_toolkit.ops.collective import mean_over_ranks
from bus_toolkit.ops.precision import at_least_float32


def checked_smoothing(label_smoothing: float) -> float:
    """Return the setting ``label_smoothing`` of a head.

    Raises:
        ValueError: Outside [0, 1): torch refuses it in the first step, or takes it and trains towards wrong words.
    """
    if not 0.0 <= label_smoothing < 1.0:
        raise ValueError(f"label_smoothing: must be in [0, 1), got {label_smoothing}.")
    return label_smoothing


def next_token_loss(
    logits_BLV: Tensor,
    ids_BL: Tensor,
    weights_BT: Tensor,
    label_smoothing: float = 0.0,
    soft: SoftTargets | None = None,
) -> Tensor:
    """Return the weighted mean cross-entropy of the tokens after the first, over the rows of all ranks.

    Args:
        logits_BLV: For each place, the logits of the token after it; those of the last place are not read, and need
            not be there.
        ids_BL: The tokens.
        weights_BT: How much each token counts, 0 or more; only the ratios matter.
        label_smoothing: Share of the target spread over the vocabulary.
        soft: The momentum model's logits (B, L, V) for such places, and their share; ``None`` for the tokens alone.
    """
    # The last position predicts nothing, and nothing predicts the first token; no half precision for the softmax.
    count = ids_BL.shape[1] - 1
    logits_BTV = at_least_float32(logits_BLV[:, :count])
    if soft is not None:
        soft = SoftTargets(soft.logits[:, :count].flatten(0, 1), soft.alpha)
    losses = mixed_cross_entropy(
        logits_BTV.flatten(0, 1), ids_BL[:, 1:].flatten(), soft, label_smoothing=label_smoothing
    )
    return mean_over_ranks(losses, weights_BT.flatten())
