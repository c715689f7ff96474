"""Class labels of samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


def as_label(value: Any) -> int:
    """Return a class label, given as a whole number, or as an array or tensor of one (as mmpretrain makes them).

    Raises:
        ValueError: It is a fraction, no number, or several.
    """
    number = np.asarray(value.detach().cpu() if isinstance(value, torch.Tensor) else value)
    if number.size != 1 or number.dtype.kind not in "iub":
        raise ValueError(f"a class label must be one whole number, got {_shown(value)}")
    return int(number.reshape(()))


def _shown(value: Any) -> str:
    return repr(value.tolist() if isinstance(value, np.ndarray | torch.Tensor) else value)
