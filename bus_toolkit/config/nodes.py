"""The keys that a mapping at a place of a config may contain."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bus_toolkit.config.openmmlab_nodes import corrected_signature, openmmlab_section
from bus_toolkit.config.slots import find, import_openmmlab, is_causal_vlm, is_vlp_model, slot_at
from bus_toolkit.errors import ComponentError, Problem
from bus_toolkit.registry import PartRegistry
from bus_toolkit.signatures import Argument, Signature, signature_of

# Top-level keys beside the arguments of MMEngine's Runner: it reads them from the whole config, or this toolkit does.
_TOP_LEVEL = {
    "plugins": list[str],
    "trusted_checkpoints": bool,
    "max_unknown_words": float,
    "max_cut_texts": float,
    "model_wrapper_cfg": dict | None,
    "find_unused_parameters": bool,
    "sync_bn": str | None,
    "compile": bool | dict,
    "activation_checkpointing": list[str] | str | None,
    "efficient_conv_bn_eval": list[str] | str | None,
}
_ENVIRONMENT = {"cudnn_benchmark": bool, "mp_cfg": dict, "dist_cfg": dict, "resource_limit": int}
_GROUP = {"backend": str, "timeout": float, "init_backend": str, "port": int, "init_method": str}
_SCALE = {"enable": bool, "base_batch_size": int}
SCOPE_KEY = "_scope_"
PRETRAINED = r"model(\.(backbone|text_encoder|text_decoder))?\.pretrained"
# Mappings in which the user chooses the names.
NAMED_BY_USER = r"model\.heads|model\.tasks|default_hooks|optim_wrapper\.paramwise_cfg\.custom_keys"
# Those in which null takes an entry of a base out; what a missing default hook means is MMEngine's and the Runner's.
REMOVED_BY_NULL = r"model\.heads|model\.tasks|optim_wrapper\.paramwise_cfg\.custom_keys"


@dataclass(frozen=True)
class Node:
    """The arguments that a mapping may hold.

    Attributes:
        owner: Who takes them, for messages.
        signature: The arguments.
        provided: Those that the builder fills in.
        extra: Further keys that the builder reads itself.
        partial: Nothing is missing, the rest comes later.
        target: The class or function, if a ``type`` names one.
        check_values: Returns what is wrong with values of the right kind, given the node and its path.
    """

    owner: str
    signature: Signature
    provided: frozenset[str] = frozenset()
    extra: frozenset[str] = frozenset()
    partial: bool = False
    target: Any = None
    check_values: Callable[[Mapping[str, Any], str], Iterable[Problem]] | None = None

    @property
    def names(self) -> list[str]:
        """The keys that a user may write there."""
        typed = ["type"] if self.target is not None else []
        own = [name for name in self.signature.arguments if name not in self.provided]
        return [*typed, *own, *sorted(name for name in self.extra if name != SCOPE_KEY)]

    def takes(self, key: str) -> bool:
        """Return whether ``key`` is allowed there."""
        typed = key == "type" and self.target is not None
        return typed or self.signature.is_open or key in self.signature.arguments or key in self.extra


def node_at(path: str, node: Mapping[str, Any], root: Mapping[str, Any]) -> Node | None:
    """Return the keys that ``node`` at ``path`` of the config ``root`` may contain; None if they are not known.

    Raises:
        ComponentError: It names no type, or one that is not registered.
    """
    slot = slot_at(path, root)
    if slot is None:
        return _section(path, node, root)
    name = node.get("type", slot.default)
    if name is None:
        kind = getattr(slot.registry, "kind", None) or getattr(slot.registry, "name", "class")
        raise ComponentError(Problem(f"{path}.type", f"is missing. Name a registered {kind}."))
    entry = find(slot, name, path)
    provided = slot.provided.union(getattr(entry.cls, "nested_parts", ()))
    signature = corrected_signature(entry.cls, entry.signature, node)
    further = {key: Argument(key, kind, None) for key, kind in slot.further.items()}
    signature = Signature({**further, **signature.arguments}, signature.is_open)
    check = slot.registry.check_values if isinstance(slot.registry, PartRegistry) else None
    return Node(entry.name, signature, provided, slot.extra | {SCOPE_KEY}, slot.partial, entry.cls, check)


def _section(path: str, node: Mapping[str, Any], root: Mapping[str, Any]) -> Node | None:
    """Return the keys that a mapping without a type may contain."""
    if path == "":
        return _top_level()
    if re.fullmatch(r"(train|val|test)_dataloader", path):
        from torch.utils.data import DataLoader

        return Node("a data loader", signature_of(DataLoader), extra=frozenset({"num_batch_per_epoch"}))
    if path == "randomness":
        import_openmmlab()
        from mmengine.runner import set_random_seed

        return Node("randomness", signature_of(set_random_seed), frozenset({"seed"}))
    if path == "model.conditioning" and is_vlp_model(root):
        from bus_toolkit.models.conditioning import Conditioning, mode_problems

        return Node("conditioning", signature_of(Conditioning), check_values=mode_problems)
    if is_causal_vlm(root) and (own := _section_of_causal_vlm(path, node)) is not None:
        return own
    if re.fullmatch(PRETRAINED, path) and (is_vlp_model(root) or is_causal_vlm(root)):
        from bus_toolkit.weights.settings import Pretrained, setting_problems

        return Node("pretrained", signature_of(Pretrained), check_values=setting_problems)
    if path == "load_from":
        from bus_toolkit.weights.settings import Pretrained, setting_problems

        return Node("load_from", signature_of(Pretrained), check_values=setting_problems)
    if path == "model.momentum" and is_vlp_model(root):
        from bus_toolkit.models.momentum import MomentumBranch

        return Node("momentum", signature_of(MomentumBranch), frozenset({"model", "copied"}))
    section = openmmlab_section(path, node, root)
    if section is not None:
        return Node(*section)
    if path == "env_cfg.dist_cfg":
        return Node(path, _optional(_GROUP), check_values=_group_problems)
    fixed = {"env_cfg": _ENVIRONMENT, "auto_scale_lr": _SCALE}.get(path)
    return None if fixed is None else Node(path, _optional(fixed))


def _group_problems(node: Mapping[str, Any], path: str) -> Iterable[Problem]:
    seconds = node.get("timeout")
    if isinstance(seconds, int | float) and seconds <= 0:
        text = f"must be above 0, got {seconds!r}. It is how many seconds the ranks of a run wait for each other."
        yield Problem(f"{path}.timeout", text)


def _section_of_causal_vlm(path: str, node: Mapping[str, Any]) -> Node | None:
    from bus_toolkit.models.causal.build import SECTIONS, task_class

    if re.fullmatch(r"model\.tasks\.[^.]+", path):
        kind: Any = task_class(node, path)
        return Node(kind.__name__, signature_of(kind), extra=frozenset({"kind"}))
    if path in SECTIONS:
        target, filled_in = SECTIONS[path]
        return Node(target.__name__, signature_of(target), frozenset(filled_in))
    return None


def _top_level() -> Node:
    import_openmmlab()
    from mmengine.runner import Runner

    arguments = dict(signature_of(Runner).arguments)
    del arguments["cfg"]
    arguments["load_from"] = Argument("load_from", str | dict | None, None)
    signature = Signature({**arguments, **_optional(_TOP_LEVEL).arguments}, is_open=False)
    return Node("a config", signature, frozenset({"work_dir"}))


def _optional(kinds: Mapping[str, Any]) -> Signature:
    return Signature({name: Argument(name, kind, None) for name, kind in kinds.items()}, is_open=False)
