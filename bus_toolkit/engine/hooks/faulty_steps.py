"""The steps since the last reading: whether they were left out, and of which samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bus_toolkit.engine.batches import wrappers_of
from bus_toolkit.engine.hooks.loss_faults import TOTAL
from bus_toolkit.engine.hooks.optimizer_steps import step_is_pending

_MOST = 8  # samples that are named
_IDS = ("text_id", "image_id", "img_path")


@dataclass(frozen=True)
class FaultyStep:
    """A step of the optimizer that was left out, or whose losses were not finite.

    Attributes:
        step: Its number, from 1: iterations, as in the log.
        losses: The values that are not finite, by name; the mean of all ranks where the model logs that.
        norm: Norm of the gradients; ``None`` if it is not known.
        own: Whether a loss of this rank was not finite.
        samples: Names of the samples of this rank's batch.
    """

    step: int
    losses: dict[str, float]
    norm: float | None
    own: bool
    samples: list[str]

    def __str__(self) -> str:
        """Name the losses, or the gradient if all losses are finite."""
        named = ", ".join(f"{name} {value}" for name, value in self.losses.items())
        return named or f"gradient of norm {self.norm}"


@dataclass(frozen=True)
class _Step:
    step: int
    bad: Tensor
    own: Tensor
    norm: Tensor | None
    losses: dict[str, Tensor]
    samples: Sequence[Any]


class FaultySteps:
    """Count the steps of a training that were left out; adding one does not wait for the device."""

    def __init__(self) -> None:
        self.streak = 0
        """Faulty steps in a row, up to the last one that was read."""
        self.total = 0
        """Faulty steps that were read."""
        self._unread: list[_Step] = []
        self._pending: Tensor | None = None

    def add(self, step: int, outputs: Mapping[str, Any], optim_wrapper: Any, data_batch: Any) -> None:
        """Add an iteration: what it logs, and the optimizers that it may have moved."""
        losses = {name: torch.as_tensor(v).detach() for name, v in outputs.items() if "loss" in name}
        bad = ~torch.isfinite(losses[TOTAL]) if TOTAL in losses else torch.zeros((), dtype=torch.bool)
        if self._pending is not None:
            bad = bad | self._pending.to(bad.device)
        if step_is_pending(optim_wrapper):
            self._pending = bad
            return
        self._pending = None
        wrappers = [one for one in wrappers_of(optim_wrapper) if getattr(one, "found", None) is not None]
        own = torch.zeros_like(bad)
        for wrapper in wrappers:
            bad = bad | wrapper.found.to(bad.device)
            if wrapper.loss_is_finite is not None:
                own = own | ~wrapper.loss_is_finite.to(own.device)
            wrapper.loss_is_finite = None
        norm = wrappers[0].norm if wrappers else None
        self._unread.append(_Step(step, bad, own, norm, losses, _ids(data_batch)))

    def counts(self) -> tuple[int, int]:
        """Return how many steps were left out up to now: in a row, and in all; waits for the device once."""
        return self._with(_are_bad(self._unread))

    def _with(self, are_bad: Sequence[bool]) -> tuple[int, int]:
        streak = self.streak
        for bad in are_bad:
            streak = streak + 1 if bad else 0
        return streak, self.total + sum(are_bad)

    def read(self) -> tuple[list[FaultyStep], float | None]:
        """Return the faulty steps since the last reading, and the norm of the last other one; waits for the device.

        It is that of one step, not a mean, so that a resumed training reads what it would have read.
        """
        unread, self._unread = self._unread, []
        is_bad = _are_bad(unread)
        self.streak, self.total = self._with(is_bad)
        # Without any gradient the norm is a 0 on the CPU.
        finite = [one for one, bad in zip(unread, is_bad, strict=True) if not bad]
        norms = [one.norm for one in finite if one.norm is not None]
        faulty = [_read(one) for one, bad in zip(unread, is_bad, strict=True) if bad]
        return faulty, float(norms[-1]) if norms else None


def _are_bad(steps: Sequence[_Step]) -> list[bool]:
    """Read all flags at once."""
    return torch.stack([one.bad.to(steps[-1].bad.device) for one in steps]).tolist() if steps else []


def _read(one: _Step) -> FaultyStep:
    values = {name: float(value) for name, value in one.losses.items() if not torch.isfinite(value).all()}
    terms = {name: value for name, value in values.items() if name != TOTAL}
    norm = None if one.norm is None else float(one.norm)
    return FaultyStep(one.step, terms or values, norm, bool(one.own), [_name(ids) for ids in one.samples])


def _ids(data_batch: Any) -> Sequence[Any]:
    """Return what names each sample of a batch; not the samples, whose tensors lie in memory shared with workers."""
    samples = data_batch.get("data_samples") if isinstance(data_batch, Mapping) else None
    if isinstance(samples, Tensor):
        return [(value,) for value in samples.tolist()]
    known = [sample for sample in samples or () if hasattr(sample, "get")]
    return [tuple(sample.get(key) for key in _IDS) for sample in known]


def _name(ids: tuple[Any, ...]) -> str:
    if len(ids) == 1:
        return repr(ids[0])
    return ", ".join(f"{key} {value!r}" for key, value in zip(_IDS, ids, strict=True) if value is not None) or "?"


def shown(names: Sequence[str]) -> str:
    """Return the first names in one text."""
    more = f"; and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return "; ".join(names[:_MOST]) + more
