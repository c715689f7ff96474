"""Rows of a batch that show another image."""

from __future__ import annotations

import torch
from torch import Tensor


def other_rows(image_ids: Tensor) -> Tensor:
    """Return for each row the next one (cyclically) that shows another image, (B,), or -1 where there is none."""
    count = image_ids.shape[0]
    rows = torch.arange(count, device=image_ids.device)
    candidates = (rows.unsqueeze(1) + rows[1:].unsqueeze(0)) % count if count > 1 else rows.new_zeros(count, 0)
    if candidates.shape[1] == 0:
        return torch.full_like(rows, -1)
    differs = image_ids[candidates] != image_ids.unsqueeze(1)
    first = candidates.gather(1, differs.int().argmax(dim=1, keepdim=True)).squeeze(1)
    return torch.where(differs.any(dim=1), first, -1)
