"""What a check is, and how a part is run through all of its kind."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from bus_toolkit.registry import PartRegistry

Inputs = dict[str, Tensor]


class ConformanceError(AssertionError):
    """A part breaks promises of its kind; the message names each broken one and says what happened."""


class Buildable(Protocol):
    """A part that can be built anew.

    Attributes:
        name: What the part is called in messages.
        seed: Seed of the weights of the next ``build``.
    """

    name: str
    seed: int

    def build(self, **settings: Any) -> nn.Module:  # noqa: ANN401
        """Return a new part in evaluation mode, with ``settings`` over its own where it takes them."""


class Case(Buildable, Protocol):
    """A part and the smallest surroundings in which it runs."""

    def inputs(self) -> Inputs:
        """Return the tensors that it is run on, three samples along the first axis."""

    def run(self, part: nn.Module, inputs: Inputs) -> list[Tensor]:
        """Return its results, one sample a row."""


Check = Callable[[Any], None]
"""Takes a ``Buildable`` of its kind; its docstring is the promise; raises ``AssertionError`` with what happened."""


class PartFactory:
    """Build a part by its registered name, or a class that is not registered, with tiny settings.

    Args:
        registry: Of its kind.
        part: Name or class.
        settings: What the caller sets; unknown ones are refused.
        defaults: Tiny settings, used where the part takes them.
        provided: What the model builder fills in.
    """

    def __init__(
        self,
        registry: PartRegistry,
        part: str | Callable[..., nn.Module],
        settings: Mapping[str, Any],
        defaults: Mapping[str, Any],
        provided: Mapping[str, Any],
    ) -> None:
        if not isinstance(part, str):
            registry = PartRegistry(registry.kind, registry.slot, registry.contract, registry.provided)
            registry.register(part)
            part = next(iter(registry.entries))
        self.registry, self.name = registry, part
        self.takes = registry.get(part).signature.arguments
        self.settings = {key: value for key, value in defaults.items() if key in self.takes} | dict(settings)
        self.provided = provided

    def build(self, seed: int, overrides: Mapping[str, Any]) -> nn.Module:
        """Return the part with weights from ``seed``."""
        known = {key: value for key, value in overrides.items() if key in self.takes}
        cfg = {"type": self.name, **self.settings, **known}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            part: nn.Module = self.registry.build(cfg, path=self.registry.slot, **self.provided)
        part.eval()  # OpenMMLab's backbones return None there
        return part


def run_checks(case: Buildable, checks: Iterable[Check]) -> None:
    """Run every check on the part.

    Raises:
        ConformanceError: One or more promises are broken; all are told.
        ComponentError: It cannot be built.
    """
    case.build()
    broken = [problem for check in checks if (problem := _broken(case, check))]
    if broken:
        raise ConformanceError(
            f"{case.name} breaks {len(broken)} promise(s) of its kind:\n" + "\n".join(f"- {text}" for text in broken)
        )


def _broken(case: Buildable, check: Check) -> str:
    """Return what is wrong, or nothing; a crash is a fault of the part as well."""
    promise = (inspect.getdoc(check) or "").splitlines()[0]
    name = getattr(check, "__name__", str(check)).removeprefix("check_")
    try:
        check(case)
    except AssertionError as error:
        return f"{name}: {_first_line(error)} Promised: {promise}"
    except Exception as error:
        return f"{name}: it crashed with {type(error).__name__}: {_first_line(error)} Promised: {promise}"
    return ""


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or ["no message"]
    return lines[0] if lines[0].endswith((".", "!")) else f"{lines[0]}."


def rows(inputs: Inputs, chosen: Sequence[int]) -> Inputs:
    """Return the inputs of some samples."""
    return {name: tensor[list(chosen)] for name, tensor in inputs.items()}


def differ(got: Sequence[Tensor], wanted: Sequence[Tensor], tolerance: float) -> str:
    """Return how two lists of results differ by more than ``tolerance``, or nothing."""
    for place, (a, b) in enumerate(zip(got, wanted, strict=True)):
        if a.shape != b.shape:
            return f"result {place} has shape {tuple(a.shape)} instead of {tuple(b.shape)}"
        gap = (a.double() - b.double()).abs().max().item() if a.numel() else 0.0
        if not gap <= tolerance:
            return f"result {place} differs by {gap:.3g}"
    return ""
