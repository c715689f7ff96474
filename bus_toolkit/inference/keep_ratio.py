"""The keep ratios of a trained model's selectors: read, and set for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from torch import nn

from bus_toolkit.errors import ConfigError
from bus_toolkit.selectors.base import PatchSelector


def keep_ratios(model: nn.Module) -> list[float]:
    """Return the share that each selector keeps, in order; of one with a share for each block the last."""
    return [part.keep_ratio for part in _selectors(model)]


@contextmanager
def at_keep_ratio(model: nn.Module, keep_ratio: float) -> Iterator[None]:
    """Let every selector keep this share as long as the ``with`` lasts.

    Args:
        model: With any number of selectors.
        keep_ratio: In (0, 1].

    Raises:
        ConfigError: It is no such share.
    """
    if isinstance(keep_ratio, bool) or not isinstance(keep_ratio, int | float) or not 0.0 < keep_ratio <= 1.0:
        raise ConfigError(f"Inferencer.at_keep_ratio: must be a share in (0, 1], got {keep_ratio!r}.")
    with ExitStack() as stack:
        for part in _selectors(model):
            stack.enter_context(part.at_keep_ratio(float(keep_ratio)))
        yield


def _selectors(model: nn.Module) -> list[PatchSelector]:
    return [part for part in model.modules() if isinstance(part, PatchSelector)]
