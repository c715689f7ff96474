"""A registry of the parts of one kind: registered names, checks of YAML nodes, and building.

It has no parent and knows no scopes: MMEngine allows one child per scope and registry, and its ``get`` imports any
dotted path that a config contains. Here only registered names are ever looked up.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from torch import nn

from bus_toolkit.errors import BusError, ComponentError, Problem, ProblemKind
from bus_toolkit.signatures import Signature, check_arguments, did_you_mean, of_right_kind, signature_of

_UNKNOWN = ProblemKind.UNKNOWN_TYPE
_T = TypeVar("_T", bound=Callable[..., Any])
_registrant: ContextVar[str] = ContextVar("registrant", default="this program")


@dataclass(frozen=True)
class Registered:
    """A registered class (or function), who registered it, from which module, and its arguments.

    Attributes:
        name: The ``type`` of a YAML node.
        cls: The class or function.
        origin: Plugin, module and line.
        signature: Its arguments.
        refusals: Exceptions by which its constructor refuses values. All others are mistakes in its code.
    """

    name: str
    cls: Callable[..., Any]
    origin: str
    signature: Signature
    refusals: tuple[type[Exception], ...] = (ValueError,)


# Other projects refuse values with whatever their code runs into.
_FOREIGN_REFUSALS = (ValueError, TypeError, AssertionError, KeyError, ImportError)


@dataclass(frozen=True)
class Foreign:
    """Classes of another project that a registry takes as well.

    Attributes:
        shown: How they are written, for messages.
        classes: Returns them by name.
        nearest: Returns `` Did you mean 'x'?`` for a name that is unknown, given the registered ones.
    """

    shown: str
    classes: Callable[[], Mapping[str, Callable[..., Any]]]
    nearest: Callable[[str, Mapping[str, Any]], str]


class PartRegistry:
    """The parts of one kind.

    Args:
        kind: What a part is called in messages.
        slot: The key under ``model`` where its YAML node goes.
        contract: What a part of this kind must do, in one sentence.
        provided: Arguments that the builder fills in if the YAML does not give them.
        prepare: Called before a look-up; fills the registry.

    Attributes:
        foreign: Classes of another project that a YAML node may name too.
        check_values: Returns the mistakes in arguments of the right kind, given them and the node's YAML path.
    """

    def __init__(
        self,
        kind: str,
        slot: str,
        contract: str,
        provided: frozenset[str] = frozenset(),
        *,
        prepare: Callable[[], object] = lambda: None,
    ) -> None:
        self.kind, self.slot, self.contract, self.provided = kind, slot, contract, provided
        self._prepare = prepare
        self.foreign: Foreign | None = None
        self.check_values: Callable[[Mapping[str, Any], str], Iterable[Problem]] = _accept
        self.entries: dict[str, Registered] = {}

    def register(self, cls: _T | None = None, *, name: str | None = None) -> Any:
        """Register ``cls`` under ``name`` (its own by default); without ``cls``, return a decorator.

        Raises:
            ComponentError: The name is taken, or is not a plain name.
        """
        if cls is None:
            return lambda target: self.register(target, name=name)
        key, origin = name or cls.__name__, f"{_registrant.get()}, {_source(cls)}"
        taken = self.entries.get(key)
        if not key.isidentifier():
            raise ComponentError(f"{self.kind} registry: a name is a plain word, got {key!r} from {origin}. Rename it.")
        if taken is not None:
            text = f"the name {key!r} is taken by {taken.origin}, got another from {origin}. Register it under another."
            raise ComponentError(f"{self.kind} registry: {text}")
        self.entries[key] = Registered(key, cls, origin, signature_of(cls))
        return cls

    def get(self, name: str, path: str = "") -> Registered:
        """Return the part registered under ``name``; ``path`` is the YAML path for the message.

        Raises:
            ComponentError: There is none; the message suggests the nearest name.
        """
        self._prepare()
        if isinstance(name, str) and name in self.entries:
            return self.entries[name]
        foreign = self.foreign.classes() if self.foreign is not None else {}
        if isinstance(name, str) and name in foreign:
            cls = foreign[name]
            return Registered(name, cls, _source(cls), signature_of(cls), _FOREIGN_REFUSALS)
        setting = f"{path}.type" if path else f"{self.kind} registry"
        raise ComponentError(Problem(setting, self._unknown(name), _UNKNOWN))

    def names(self) -> list[str]:
        """Return the registered names, sorted."""
        self._prepare()
        return sorted(self.entries)

    def check(self, cfg: Mapping[str, Any], path: str, *, provided: Iterable[str] | None = None) -> list[Problem]:
        """Return every mistake in the YAML node of a part, without building it.

        Args:
            cfg: The node, with ``type``.
            path: Its YAML path.
            provided: Arguments that the builder has; by default all that parts of this kind may get.
        """
        if not isinstance(cfg, Mapping) or "type" not in cfg:
            return [Problem(path, f"must be a mapping with a 'type', got {cfg!r}. Name a {self.kind}.")]
        try:
            entry = self.get(cfg["type"], path)
        except ComponentError as error:
            return error.problems
        values = {key: value for key, value in cfg.items() if key != "type"}
        provided = self.provided if provided is None else provided
        problems = check_arguments(entry.name, entry.signature, values, path, provided=provided)
        return [*problems, *self.check_values(of_right_kind(values, entry.signature, problems, path), path)]

    def build(self, cfg: Mapping[str, Any], *, path: str, **known: Any) -> Any:
        """Build the part that ``cfg`` describes.

        An exception is a refusal of values only if it is a ``ValueError``, or an assertion of a library that the part
        uses. Errors of this toolkit pass as they are; any other is a mistake in the part's code and passes with its
        traceback. Classes of OpenMMLab refuse values by more kinds of exceptions, which count for them.

        Args:
            cfg: Its YAML node, with ``type``.
            path: The YAML path of the node, for messages.
            **known: Values that a builder fills in, by the name of the argument. The part gets those that are provided
                to its kind, that it takes and that ``cfg`` does not give.

        Raises:
            ComponentError: An unknown type, wrong arguments, or values that the part refuses.
        """
        provided = {name: value for name, value in known.items() if name in self.provided}
        problems = self.check(cfg, path, provided=provided)
        if problems:
            raise ComponentError(problems)
        entry = self.get(cfg["type"], path)
        values = {key: plain(value) for key, value in cfg.items() if key != "type"}
        free = entry.signature.arguments.keys() - values.keys()
        filled_in = {name: value for name, value in provided.items() if name in free}
        return _construct(entry, values, filled_in, path)

    def _unknown(self, name: object) -> str:
        nearest = did_you_mean if self.foreign is None else self.foreign.nearest
        hint = nearest(name, self.entries) if isinstance(name, str) else ""
        known = ", ".join([*sorted(self.entries), *([] if self.foreign is None else [f"any {self.foreign.shown}"])])
        return f"no {self.kind} named {name!r}.{hint} Registered: {known or 'none'}."


def _accept(values: Mapping[str, Any], path: str) -> list[Problem]:
    return []


def _construct(entry: Registered, values: Mapping[str, Any], filled_in: Mapping[str, Any], path: str) -> Any:
    part = _call(entry, values, filled_in, path)
    if isinstance(part, nn.Module) and "_parameters" not in vars(part):
        text = f"{entry.name}.__init__ does not call super().__init__(), so it is no working module. Call it first."
        raise ComponentError(Problem(path, f"{text} ({entry.origin})"))
    empty = _empty_parameter(part) if isinstance(part, nn.Module) else None
    if empty is not None:
        text = f"{entry.name} has a parameter without a number, {empty}: a size is 0. Set it to 1 or more."
        raise ComponentError(Problem(path, text))
    return part


def _empty_parameter(part: nn.Module) -> str | None:
    """Return name and shape of a parameter of no element: torch builds it with a warning, and it never learns."""
    for name, parameter in part.named_parameters():
        if not isinstance(parameter, nn.parameter.UninitializedParameter) and parameter.numel() == 0:
            return f"{name} {tuple(parameter.shape)}"
    return None


def _call(entry: Registered, values: Mapping[str, Any], filled_in: Mapping[str, Any], path: str) -> Any:
    try:
        return entry.cls(**values, **filled_in)
    except ModuleNotFoundError as error:
        text = f"{entry.name} needs a package that is not installed: {error}. Install it."
        raise ComponentError(Problem(path, text)) from error
    except BusError:  # its message already names the path and the mistake
        raise
    except Exception as error:
        by_library = _is_check_of_library(error, entry)
        if isinstance(error, entry.refusals) or _is_wrong_call(error) or by_library:
            text = f"{entry.name} refuses its arguments: {error}{_shown(filled_in) if by_library else ''}"
            raise ComponentError(Problem(path, text)) from error
        _note(error, f"{path}: this happened while {entry.name} was built ({entry.origin})")
        raise


def _shown(filled_in: Mapping[str, Any]) -> str:
    """Return which numbers were filled in: a library's assertion may be about one that the user never wrote."""
    numbers = [f"{name}={value}" for name, value in sorted(filled_in.items()) if isinstance(value, int | float)]
    return f" (filled in from other parts: {', '.join(numbers)})" if numbers else ""


def _is_wrong_call(error: Exception) -> bool:
    """Return whether the constructor was never entered: its ``**kwargs`` hid from the check that it takes fewer."""
    here = error.__traceback__
    return isinstance(error, TypeError) and here is not None and here.tb_next is None


def _is_check_of_library(error: Exception, entry: Registered) -> bool:
    """Return whether a library that the part uses refuses its values.

    torch asserts that heads divide a width, and refuses negative sizes by a ``RuntimeError``.
    """
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    raised_in = "" if frame is None else str(frame.tb_frame.f_globals.get("__name__", "")).split(".")[0]
    own = (str(entry.cls.__module__).split(".")[0], __name__.split(".")[0])
    refuses = isinstance(error, AssertionError) or (isinstance(error, RuntimeError) and raised_in == "torch")
    return refuses and raised_in not in own


def _note(error: Exception, text: str) -> None:
    """Add a line below the traceback; Python 3.10 has no place for one."""
    if hasattr(error, "add_note"):
        error.add_note(text)


def plain(value: Any) -> Any:
    """Copy a config value into plain dicts and lists that share nothing."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


@contextmanager
def registering(name: str) -> Iterator[None]:
    """Record ``name`` as the origin of everything registered in the meantime."""
    token = _registrant.set(name)
    try:
        yield
    finally:
        _registrant.reset(token)


@cache  # it reads the whole file of the class
def _source(cls: Callable[..., Any]) -> str:
    module = getattr(cls, "__module__", "?")
    try:
        return f"{module}:{inspect.getsourcelines(cls)[1]}"
    except (OSError, TypeError):
        return module
