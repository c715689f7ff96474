"""Results that are no numbers: an error in place of a ranking that means nothing."""

from __future__ import annotations

import torch
from torch import Tensor

from bus_toolkit.errors import ComponentError


def refuse_nan(values: Tensor, what: str) -> None:
    """Refuse results of which some are NaN.

    Args:
        values: Any shape.
        what: They, for the message.

    Raises:
        ComponentError: Some are.
    """
    if bool(torch.isnan(values).any()):
        raise ComponentError(
            f"Inferencer: {what} must be numbers, got NaN, so nothing can be ranked by them. The weights hold none: "
            "look for a division by zero, a root or a logarithm in the part that computes them, and at the images."
        )
