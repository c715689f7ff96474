"""Find every mistake in a merged config before anything is built."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from bus_toolkit.config.nodes import SCOPE_KEY, Node, node_at
from bus_toolkit.config.ranges import range_problems
from bus_toolkit.config.slots import SCOPES, is_registered_anywhere, is_vlp_model, slot_at
from bus_toolkit.config.source_rows import row_problems
from bus_toolkit.errors import BusError, ComponentError, Problem
from bus_toolkit.signatures import MOST_HINTS, at, check_arguments, did_you_mean, of_right_kind

_LIBRARIES = ("mmengine", "mmcv", "mmpretrain", "torch")
DEFAULT_SCOPE = "mmengine"
_NO_CODE = "A config names registered classes only; it imports no code."


def check_config(root: Mapping[str, Any]) -> list[Problem]:
    """Return all that is wrong, with YAML paths and nearest names.

    Types, arguments and kinds of values are checked at every place. If the model has no such mistake, the combination
    of its parts is checked too, and whether a head reads each row of the training data.
    """
    problems = list(dict.fromkeys(_walk(root, "", root, in_library=True)))
    if root.get("default_scope", DEFAULT_SCOPE) != DEFAULT_SCOPE:
        text = f"must be {DEFAULT_SCOPE}, got {root['default_scope']!r}. Remove it."
        problems.append(Problem("default_scope", text))
    if not any(problem.is_within("model") for problem in problems) and is_vlp_model(root):
        problems += _combination(root["model"])
        if not any(problem.is_within("train_dataloader") for problem in problems):
            problems += row_problems(root)
    return problems


def _walk(node: Any, path: str, root: Mapping[str, Any], *, in_library: bool) -> Iterator[Problem]:
    if isinstance(node, Mapping):
        spec = None
        try:
            spec = node_at(path, node, root)
        except ComponentError as error:
            yield from error.problems
            in_library = False
        else:
            yield from _check_free(node, path, in_library) if spec is None else _check_node(node, spec, path)
        if spec is not None and spec.target is not None:
            in_library = getattr(spec.target, "__module__", "").split(".")[0] in _LIBRARIES
        yield from _check_names(node, path)
        for key, value in node.items():
            yield from _walk(value, at(path, key), root, in_library=in_library)
    elif node is not None and re.fullmatch(r"(train|val|test)_dataloader", path):
        yield Problem(path, f"must be a mapping with a dataset, got {node!r}. Write its settings, or null for none.")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _walk(value, at(path, index), root, in_library=in_library)
    elif node is not None and slot_at(path, root) is not None:
        advice = f" Write {{type: {node}}}." if isinstance(node, str) else ""
        yield Problem(path, f"must be a mapping with a 'type', got {node!r}.{advice}")


def _check_node(node: Mapping[str, Any], spec: Node, path: str) -> Iterator[Problem]:
    typed = spec.target is not None
    values = {key: value for key, value in node.items() if key not in spec.extra and not (typed and key == "type")}
    if path == "":
        for count, key in enumerate([key for key in values if key not in spec.signature.arguments]):
            del values[key]
            hint = did_you_mean(key, spec.names) if count < MOST_HINTS else ""
            yield Problem(key, f"no such key at the top of a config.{hint} Allowed: {', '.join(spec.names)}.")
    wrong = check_arguments(spec.owner, spec.signature, values, path, provided=spec.provided, partial=spec.partial)
    yield from wrong
    if path.endswith("_dataloader") and "sampler" not in node:
        text = "MMEngine needs this key. Add e.g. {type: DefaultSampler, shuffle: true}."
        yield Problem(f"{path}.sampler", text)
    yield from range_problems(node, path)
    yield from _check_workers(node, path)
    if spec.check_values is not None:
        yield from spec.check_values(of_right_kind(values, spec.signature, wrong, path), path)


def _check_workers(node: Mapping[str, Any], path: str) -> Iterator[Problem]:
    if path.endswith("_dataloader") and node.get("persistent_workers") is True and node.get("num_workers", 0) == 0:
        text = "true needs num_workers of at least 1, got 0. Set it to false."
        yield Problem(f"{path}.persistent_workers", text)


def _check_free(node: Mapping[str, Any], path: str, in_library: bool) -> Iterator[Problem]:
    """Refuse a ``type`` that is not registered in a mapping of unknown keys: a library would import that name."""
    name = node.get("type")
    if not isinstance(name, str) or path.endswith("clip_grad"):
        return
    if (in_library or "." in name) and not is_registered_anywhere(name):
        yield Problem(f"{path}.type", f"nothing is registered as {name!r}. {_NO_CODE}")


def _check_names(node: Mapping[str, Any], path: str) -> Iterator[Problem]:
    """Refuse the other keys whose values MMEngine would import."""
    if node.get(SCOPE_KEY, SCOPES[0]) not in SCOPES:
        text = f"must be one of {', '.join(SCOPES)}, got {node[SCOPE_KEY]!r}. Remove it."
        yield Problem(f"{path}._scope_", text)
    for key, value in node.items():
        if isinstance(value, str) and (key == "constructor" or (key.endswith("_type") and "." in value)):
            if not is_registered_anywhere(value):
                yield Problem(at(path, key), f"nothing is registered as {value!r}. {_NO_CODE}")


def _combination(model: Mapping[str, Any]) -> list[Problem]:
    from bus_toolkit.models.check_parts import build_conditioning, check_combination

    try:
        rule = build_conditioning(model.get("conditioning"))
    except BusError as error:
        return error.problems
    return check_combination(
        model["heads"], model.get("fusion"), model.get("text_decoder"), rule, model.get("momentum")
    )
