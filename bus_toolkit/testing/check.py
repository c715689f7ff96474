"""What a check is, and how a part is run through all of its kind."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from bus_toolkit.errors import BusError
from bus_toolkit.registry import PartRegistry

Inputs = dict[str, Tensor]
_KIT = str(Path(__file__).parent)


class ConformanceError(AssertionError):
    """A part breaks promises of its kind; the message names each broken one and says what happened."""


class Buildable(Protocol):
    """A part that can be built as often as needed.

    Attributes:
        name: What the part is called in messages.
    """

    name: str

    def build(self) -> Any:
        """Return a new part."""


class Case:
    """A part that is an ``nn.Module``, and the smallest surroundings in which it runs.

    Args:
        factory: Builds it.

    Attributes:
        name: What the part is called in messages.
        seed: Seed of the weights of the next ``build``.
    """

    def __init__(self, factory: PartFactory) -> None:
        self.factory, self.name, self.seed = factory, factory.name, 0

    def build(self, **settings: Any) -> nn.Module:
        """Return a new part in evaluation mode, with ``settings`` over its own where it takes them."""
        return self.factory.build(self.seed, settings)

    def inputs(self) -> Inputs:
        """Return the tensors that it is run on, three samples along the first axis."""
        raise NotImplementedError

    def run(self, part: nn.Module, inputs: Inputs) -> list[Tensor]:
        """Return its results, one sample a row."""
        raise NotImplementedError


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
        self.home = registry
        if not isinstance(part, str):
            registry = PartRegistry(registry.kind, registry.slot, registry.contract, registry.provided)
            registry.register(part)
            part = next(iter(registry.entries))
        self.registry, self.name = registry, part
        self.takes = registry.get(part).signature.arguments
        self.given = frozenset(settings)
        self.settings = {key: value for key, value in defaults.items() if key in self.takes} | dict(settings)
        self.provided = provided

    def build_any(self, overrides: Mapping[str, Any]) -> Any:
        """Return the part, whatever it is."""
        known = {key: value for key, value in overrides.items() if key in self.takes}
        cfg = {"type": self.name, **self.settings, **known}
        return self.registry.build(cfg, path=self.registry.slot, **self.provided)

    def build(self, seed: int, overrides: Mapping[str, Any]) -> nn.Module:
        """Return the part with weights from ``seed``.

        Raises:
            ConformanceError: It is no ``nn.Module``.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            part = self.build_any(overrides)
        if not isinstance(part, nn.Module):
            raise ConformanceError(
                f"{self.name}: must be a torch.nn.Module, got {type(part).__name__}. Derive the class from it, and "
                "call super().__init__() first."
            )
        part.eval()  # OpenMMLab's backbones return None there
        return part

    @contextmanager
    def registered(self) -> Iterator[str]:
        """Let the model builder find a part that is not registered, for as long as it builds; yield its name."""
        entries = self.home.entries
        names = self.home.names()
        before = {key: entries[key] for key in names}
        entries[self.name] = self.registry.get(self.name)
        try:
            yield self.name
        finally:
            entries.clear()
            entries.update(before)


@dataclass(frozen=True)
class Broken:
    """A broken promise: ``check`` is its name, ``cause`` what happened, ``promise`` what was to happen."""

    check: str
    cause: str
    promise: str


def run_checks(case: Buildable, checks: Iterable[Check]) -> None:
    """Run every check on the part.

    Raises:
        ConformanceError: One or more promises are broken; each cause is named once.
        BusError: The part cannot be built from these settings.
    """
    try:
        case.build()
    except (BusError, ConformanceError):
        raise
    except Exception as error:
        raise ConformanceError(f"{case.name} cannot be built: its constructor {crash_of(error)}") from error
    broken = [problem for check in checks if (problem := _broken(case, check))]
    if broken:
        raise ConformanceError("\n".join([f"{case.name} breaks promises of its kind:", *_lines(broken)]))


def _broken(case: Buildable, check: Check) -> Broken | None:
    """Return what is wrong, or nothing; a crash is a fault of the part as well."""
    promise = (inspect.getdoc(check) or "").splitlines()[0]
    name = getattr(check, "__name__", str(check)).removeprefix("check_")
    try:
        check(case)
    except AssertionError as error:
        if str(error):  # one of ours; an assertion of the part itself is a crash
            return Broken(name, _first_line(error), promise)
        return Broken(name, f"it {crash_of(error)}", promise)
    except Exception as error:
        return Broken(name, f"it {crash_of(error)}", promise)
    return None


def _lines(broken: Sequence[Broken]) -> list[str]:
    """Return one line a cause: the checks that met it, and what the first of them promised."""
    causes: dict[str, list[Broken]] = {}
    for problem in broken:
        causes.setdefault(problem.cause, []).append(problem)
    lines = []
    for cause, met in causes.items():
        others = f" (and in {', '.join(p.check for p in met[1:])})" if len(met) > 1 else ""
        lines.append(f"- {met[0].check}: {cause}{others} Promised: {met[0].promise}")
    return lines


def crash_of(error: BaseException) -> str:
    """Return what a crash was and where, e.g. ``crashed with KeyError: 'a' (my_part.py:12, in forward).``"""
    if isinstance(error, BusError):
        return f"crashed with {type(error).__name__}: {_first_line(error)}"
    frame = frame_of(error)
    place = f"{Path(frame.filename).name}:{frame.lineno}"
    if isinstance(error, NotImplementedError) and not str(error):
        return f"does not implement {frame.name} ({place})."
    text = str(error).strip().splitlines()
    message = f": {text[0].rstrip('.')}" if text else ""
    return f"crashed with {type(error).__name__}{message} ({place}, in {frame.name})."


def frame_of(error: BaseException) -> traceback.FrameSummary:
    """Return where an error was raised: the innermost line that is of no installed package and not of this kit."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "site-packages" not in f.filename and not f.filename.startswith(_KIT)]
    return (own or frames)[-1]


def _first_line(error: BaseException) -> str:
    # On the GPU that is not there tensors have another class: one fault is one cause.
    lines = str(error).replace("FakeTensor", "Tensor").strip().splitlines() or ["no message"]
    return lines[0] if lines[0].endswith((".", "!")) else f"{lines[0]}."


def rows(inputs: Inputs, chosen: Sequence[int]) -> Inputs:
    """Return the inputs of some samples."""
    return {name: tensor[list(chosen)] for name, tensor in inputs.items()}


def differ(got: Sequence[Tensor], wanted: Sequence[Tensor], tolerance: float) -> str:
    """Return how two lists of results differ by more than ``tolerance``, or nothing."""
    for number, (a, b) in enumerate(zip(got, wanted, strict=True)):
        if a.shape != b.shape:
            return f"result {number} has shape {tuple(a.shape)} instead of {tuple(b.shape)}"
        gap = (a.double() - b.double()).abs().max().item() if a.numel() else 0.0
        if not gap <= tolerance:
            return f"result {number} differs by {gap:.3g}"
    return ""
