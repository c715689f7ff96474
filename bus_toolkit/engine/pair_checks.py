"""Batches that hold no wrong pair for matching to draw."""

from __future__ import annotations

from torch import nn
from torch.utils.data import DataLoader

from bus_toolkit.errors import ConfigError
from bus_toolkit.heads.itm import ITMHead


def check_wrong_pairs(loader: DataLoader, path: str, model: nn.Module) -> None:
    """Refuse batches of one image a rank for matching with ``negatives: local``: each of its pairs would be right.

    Nothing shows it: the loss falls and its accuracy is 1. With ``global`` the other ranks have other images.

    Args:
        loader: Of the training.
        path: Its YAML path, for messages.
        model: Takes its batches.

    Raises:
        ConfigError: It is so.
    """
    sampler = loader.batch_sampler
    if getattr(sampler, "batch_size", loader.batch_size) != 1:
        return
    for name, head in (getattr(model, "heads", None) or {}).items():
        if isinstance(head, ITMHead) and head.negatives == "local":
            raise ConfigError(
                f"{path}.batch_size: must be 2 or more with model.heads.{name}.negatives: local, which draws wrong "
                "pairs among the images of one process, got 1. Raise it, or set negatives: global."
            )
