"""Attention masks in the form that the BERT layers of the installed transformers take as it is.

With two dimensions transformers asks in each pass whether all is attended, and the device waits for the answer. What it
takes as it is differs: 4.x (``get_extended_attention_mask``) a mask of three dimensions, 1 = may be attended, which it
turns into the sum below; 5.x (``masking_utils``) only one of four dimensions, which must be that sum already.
"""

from __future__ import annotations

import torch
import transformers
from torch import Tensor

_TAKES_SUMS = int(transformers.__version__.partition(".")[0]) >= 5


def square_mask(attention_mask: Tensor) -> Tensor:
    """Return a mask (B, L) for each of the L tokens that ask: bool (B, L, L)."""
    return attention_mask.unsqueeze(1).expand(-1, attention_mask.shape[1], -1)


def mask_for_layers(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a mask as an argument of a BERT of transformers.

    Args:
        mask: bool (B, L, S), True where token l may attend to token s.
        dtype: The type of the model's weights.

    Returns:
        For transformers 4 integers (B, L, S). For 5 what is added to the logits, (B, 1, L, S) of ``dtype``: 0, or the
        least number where l may not attend to s. The numbers in the layers are the same.
    """
    if not _TAKES_SUMS:
        return mask.long()
    return ((1.0 - mask.to(dtype)) * torch.finfo(dtype).min).unsqueeze(1)
