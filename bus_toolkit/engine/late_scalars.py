"""MMEngine's log history, whose figures stay on the device until somebody reads them."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from typing import Any

import torch
from mmengine.logging import HistoryBuffer, MessageHub
from torch import Tensor


class LateMessageHub(MessageHub):
    """A message hub that does not wait for a GPU when it is given a figure, but when it is asked for one.

    MMEngine's hooks hand over each loss at each step, and its hub reads the number at once: as many waits a step as
    there are figures. Here all that has come since the last reading is read together; what is read is the same.
    """

    _late: list[tuple[str, Tensor, int]]
    _late_keys: set[str]

    def update_scalar(self, key: str, value: Any, count: int = 1, resumed: bool = True) -> None:
        """Add a figure to the history of ``key``."""
        if isinstance(value, Tensor) and value.device.type != "cpu" and value.numel() == 1:
            self._set_resumed_keys(key, resumed)
            self._late.append((key, value.detach(), count))
            self._late_keys.add(key)
            return
        if key in self._late_keys:
            self._read_late()
        super().update_scalar(key, value, count, resumed)

    @property
    def log_scalars(self) -> OrderedDict[str, HistoryBuffer]:
        """All histories; waits for the device if there is something new."""
        self._read_late()
        return super().log_scalars

    def get_scalar(self, key: str) -> HistoryBuffer:
        """Return the history of ``key``; waits for the device if there is something new of it."""
        if key in self._late_keys or key not in self._log_scalars:
            return super().get_scalar(key)
        return self._log_scalars[key]

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint holds."""
        self._read_late()
        return super().state_dict()

    def _read_late(self) -> None:
        """Read all figures that are on the device, those of one type at once, and enter them in their order."""
        late, self._late, self._late_keys = self._late, [], set()
        by_kind: defaultdict[Any, list[Tensor]] = defaultdict(list)
        for _, value, _ in late:
            by_kind[value.device, value.dtype].append(value.reshape(()))
        numbers = {kind: iter(torch.stack(values).tolist()) for kind, values in by_kind.items()}
        for key, value, count in late:
            super().update_scalar(key, next(numbers[value.device, value.dtype]), count, self._resumed_keys[key])


def read_late(hub: MessageHub) -> MessageHub:
    """Make a hub one of this kind, with all that it holds, and return it."""
    if not isinstance(hub, LateMessageHub):
        hub.__class__ = LateMessageHub
        hub._late, hub._late_keys = [], set()
    return hub
