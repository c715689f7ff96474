"""Where parts are found by name: one registry for each part kind, and MMEngine's for what its Runner builds.

The part registries have no parent and know no scopes: MMEngine allows one child per scope and registry, and its ``get``
imports any dotted path that a config contains. Here only registered names are ever looked up.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import mmengine.registry as host
from mmengine.registry import Registry

from bus_toolkit.errors import ComponentError
from bus_toolkit.signatures import Signature, check_arguments, did_you_mean, signature_of

SCOPE = "bus_toolkit"
MMPRETRAIN = "mmpretrain."
_T = TypeVar("_T", bound=Callable[..., Any])
_registrant: ContextVar[str] = ContextVar("registrant", default="this program")


@dataclass(frozen=True)
class Registered:
    """A registered class (or function), who registered it from where, and what it takes."""

    name: str
    cls: Callable[..., Any]
    origin: str
    signature: Signature


class PartRegistry:
    """The parts of one kind.

    Args:
        kind: What a part is called in messages.
        slot: The key under ``model`` where its YAML node goes.
        contract: What a part of this kind must do, in one sentence.
        provided: Arguments that the builder fills in where the YAML does not give them.
        host: Returns the classes of a host package by their prefixed names.
        prepare: Called before a look-up; fills the registry.
    """

    def __init__(
        self,
        kind: str,
        slot: str,
        contract: str,
        provided: frozenset[str] = frozenset(),
        *,
        host: Callable[[], Mapping[str, Callable[..., Any]]] | None = None,
        prepare: Callable[[], object] | None = None,
    ) -> None:
        self.kind, self.slot, self.contract, self.provided = kind, slot, contract, provided
        self._host, self._prepare = host, prepare
        self.entries: dict[str, Registered] = {}

    def register(self, cls: _T | None = None, *, name: str | None = None) -> Any:  # noqa: ANN401 (also a decorator)
        """Register ``cls`` under ``name`` (its own by default); without ``cls``, return a decorator.

        Raises:
            ComponentError: The name is taken, or is not a plain name.
        """
        if cls is None:
            return lambda target: self.register(target, name=name)
        key, origin = name or cls.__name__, f"{_registrant.get()}, {_source(cls)}"
        if not key.isidentifier():
            raise ComponentError(f"{self.kind} registry: a name is a plain word, got {key!r} from {origin}. Rename it.")
        if key in self.entries:
            raise ComponentError(
                f"{self.kind} registry: the name {key!r} is taken by {self.entries[key].origin}, "
                f"got another from {origin}. Register it under another name."
            )
        self.entries[key] = Registered(key, cls, origin, signature_of(cls))
        return cls

    def get(self, name: str, path: str = "") -> Registered:
        """Return the part registered under ``name``; ``path`` is the YAML path for the message.

        Raises:
            ComponentError: There is none; the message suggests the nearest name.
        """
        self._fill()
        if isinstance(name, str) and name in self.entries:
            return self.entries[name]
        foreign = self._host() if self._host is not None else {}
        if isinstance(name, str) and name in foreign:
            return Registered(name, foreign[name], _source(foreign[name]), signature_of(foreign[name]))
        hint = did_you_mean(str(name), [*self.entries, *foreign])
        if f"{MMPRETRAIN}{name}" in foreign:
            hint = f" Did you mean '{MMPRETRAIN}{name}'?"
        where = f"{path}.type" if path else f"{self.kind} registry"
        known = [*sorted(self.entries), *([f"any {MMPRETRAIN}<Name>"] if foreign else [])]
        raise ComponentError(f"{where}: no {self.kind} named {name!r}.{hint} Registered: {', '.join(known) or 'none'}.")

    def clear(self) -> None:
        """Forget all parts."""
        self.entries.clear()

    def names(self) -> list[str]:
        """Return the registered names, sorted."""
        self._fill()
        return sorted(self.entries)

    def check(self, cfg: Mapping[str, Any], path: str) -> list[str]:
        """Return every mistake in the YAML node of a part, without building it."""
        if not isinstance(cfg, Mapping) or "type" not in cfg:
            return [f"{path}: must be a mapping with a 'type', got {cfg!r}. Name a {self.kind}."]
        try:
            entry = self.get(cfg["type"], path)
        except ComponentError as error:
            return [str(error)]
        values = {key: value for key, value in cfg.items() if key != "type"}
        return check_arguments(entry.name, entry.signature, values, path, provided=self.provided)

    def build(self, cfg: Mapping[str, Any], *, path: str, **provided: Any) -> Any:  # noqa: ANN401 (any part)
        """Build the part that ``cfg`` describes.

        Args:
            cfg: Its YAML node, with ``type``.
            path: The YAML path of the node, for messages.
            **provided: Values for arguments that the part takes and ``cfg`` does not give.

        Raises:
            ComponentError: An unknown type, wrong arguments, or values that the part refuses.
        """
        problems = self.check(cfg, path)
        if problems:
            raise ComponentError("\n".join(problems))
        entry = self.get(cfg["type"], path)
        values = {key: plain(value) for key, value in cfg.items() if key != "type"}
        for name in provided.keys() & entry.signature.arguments.keys() - values.keys():
            values[name] = provided[name]
        try:
            return entry.cls(**values)
        except (ValueError, TypeError, AssertionError, KeyError, ImportError) as error:
            raise ComponentError(f"{path}: {entry.name} refuses its arguments: {error}") from error

    def _fill(self) -> None:
        if self._prepare is not None:
            self._prepare()


def plain(value: Any) -> Any:  # noqa: ANN401
    """Copy a config value into plain dicts and lists that share nothing."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


@contextmanager
def registering(name: str) -> Iterator[None]:
    """Note ``name`` as the origin of what is registered meanwhile."""
    token = _registrant.set(name)
    try:
        yield
    finally:
        _registrant.reset(token)


def _source(cls: Callable[..., Any]) -> str:
    module = getattr(cls, "__module__", "?")
    try:
        return f"{module}:{inspect.getsourcelines(cls)[1]}"
    except (OSError, TypeError):
        return module


def _mmpretrain_models() -> Mapping[str, Callable[..., Any]]:
    """Return what mmpretrain registered, as ``mmpretrain.<Name>``; nothing is ever imported by a path from a config."""
    try:
        import mmpretrain.models  # noqa: F401 (fills the registry)
        from mmpretrain.registry import MODELS as MMPRETRAIN_MODELS
    except Exception as error:
        raise ComponentError(
            f"model.backbone: mmpretrain cannot be imported ({type(error).__name__}: {error}). Install the maintained "
            "builds: pip install 'onedl-mmpretrain>=1.3.6' 'transformers>=4.53,<5'"
        ) from error
    return {f"{MMPRETRAIN}{name}": cls for name, cls in MMPRETRAIN_MODELS.module_dict.items()}


def _load_plugins() -> None:
    from bus_toolkit.plugin.manager import load_plugins

    load_plugins()


@dataclass(frozen=True)
class Registries:
    """The registries of all part kinds; ``register_components`` of a plugin receives this."""

    tokenizers: PartRegistry
    text_encoders: PartRegistry
    backbones: PartRegistry
    selectors: PartRegistry
    decoders: PartRegistry
    fusions: PartRegistry
    text_decoders: PartRegistry
    heads: PartRegistry

    def all(self) -> list[PartRegistry]:
        """Return them in the order in which data passes through the parts."""
        return [getattr(self, field.name) for field in fields(self)]


def new_registries(prepare: Callable[[], object] | None = None) -> Registries:
    """Return empty registries, one a part kind."""
    ids, widths = {"vocab_size", "pad_token_id"}, {"embed_dim", "text_dim"}
    marks = {"mask_token_id", "cls_token_id", "sep_token_id", "special_ids", "skip_ids"}
    known = ids | widths | marks | {"patch_size", "max_caption_length"}

    def part(kind: str, slot: str, contract: str, *provided: set[str], **options: Any) -> PartRegistry:  # noqa: ANN401
        return PartRegistry(kind, slot, contract, frozenset().union(*provided), prepare=prepare, **options)

    return Registries(
        tokenizers=part("tokenizer", "tokenizer", "list of B texts -> TokenBatch (B, L); knows its vocabulary"),
        text_encoders=part("text encoder", "text_encoder", "TokenBatch (B, L) -> TextTokens (B, L, D)", ids),
        backbones=part(
            "backbone", "backbone", "images (B, 3, H, W) -> patch tokens, block by block", host=_mmpretrain_models
        ),
        selectors=part("patch selector", "selectors", "BlockView (B, N, D) -> plan: where each patch goes", widths),
        decoders=part("abstraction decoder", "decoder", "VisualTokens -> fewer VisualTokens", widths),
        fusions=part("fusion", "fusion", "TextTokens and VisualTokens -> FusedTokens", widths),
        text_decoders=part("text decoder", "text_decoder", "ids and states -> next-token logits", ids, widths),
        heads=part("head", "heads", "tokens -> losses in training, data samples in prediction", known),
    )


REGISTRIES = new_registries(_load_plugins)

# What MMEngine's Runner builds. Under `default_scope: mmengine` these are addressed as `bus_toolkit.<Name>`.
MODELS = Registry("model", parent=host.MODELS, scope=SCOPE)
DATASETS = Registry("dataset", parent=host.DATASETS, scope=SCOPE)
TRANSFORMS = Registry("transform", parent=host.TRANSFORMS, scope=SCOPE)
DATA_SAMPLERS = Registry("data sampler", parent=host.DATA_SAMPLERS, scope=SCOPE)
METRICS = Registry("metric", parent=host.METRICS, scope=SCOPE)
HOOKS = Registry("hook", parent=host.HOOKS, scope=SCOPE)
LOOPS = Registry("loop", parent=host.LOOPS, scope=SCOPE)
OPTIM_WRAPPERS = Registry("optim_wrapper", parent=host.OPTIM_WRAPPERS, scope=SCOPE)
VISUALIZERS = Registry("visualizer", parent=host.VISUALIZERS, scope=SCOPE)
RUNNER_REGISTRIES = (MODELS, DATASETS, TRANSFORMS, DATA_SAMPLERS, METRICS, HOOKS, LOOPS, OPTIM_WRAPPERS, VISUALIZERS)
