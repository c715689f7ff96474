"""Load a whole model from weights under its own names: for a start, an evaluation, or to go on with a training.

One rule for ``load_from``, ``pretrained``, the evaluation, the Inferencer and ``--resume``: nothing of the model stays
as it was initialised, and nothing of a part that it has is left out, unless the setting names it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from bus_toolkit.errors import CheckpointError
from bus_toolkit.ops.position_table import change
from bus_toolkit.signatures import did_you_mean
from bus_toolkit.weights.finite import refuse_nan
from bus_toolkit.weights.fitting import Fitting, Misfit, index_names, tables_of
from bus_toolkit.weights.layouts import Target
from bus_toolkit.weights.load_rule import LoadRule, groups, is_below, paths_of
from bus_toolkit.weights.reading import Source
from bus_toolkit.weights.refusal import misfit, missing_parts
from bus_toolkit.weights.report import LoadReport
from bus_toolkit.weights.table_files import IDENTITY
from bus_toolkit.weights.tower_names import in_names_of
from bus_toolkit.weights.words import check_loaded_words

_STARTS = 6
_UNCOUNTED = ".num_batches_tracked"  # of batch norms; weights from elsewhere often do without
_NO_NAMES = Target("a whole model")


@dataclass
class _Fitted:
    """Tensors in the shapes of the model, what was changed in them, and what cannot be."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    resized: list[str] = field(default_factory=list)
    misfits: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def load_whole(model: nn.Module, source: Source, rule: LoadRule, location: str = "") -> LoadReport:
    """Load weights under the model's own names; if they do not fit, the model stays as it was.

    Hooks of torch's ``load_state_dict`` (old names of a part, momentum copies that start from their originals) count:
    what they add is not missing, and what they take is not unused. A resumed run needs every tensor in the file.

    Args:
        model: The model.
        source: The weights.
        rule: What may differ.
        location: The setting that names the file, for messages.

    Raises:
        CheckpointError: Something does not fit; the message names the parts, and what to write if it shall be so.
    """
    place = f"{location}: {source.path}" if location else source.path
    own = model.state_dict()
    source = replace(source, tensors=in_names_of(source.tensors, own))
    _check_new_parts(own, rule, place)
    check_loaded_words(place, own, source.words, rule)
    given = {name: tensor for name, tensor in source.tensors.items() if not rule.is_new(name)}
    unused = [name for name in given if rule.is_unused(name)]
    for name in unused:
        del given[name]
    if own and given.keys().isdisjoint(own):
        begins = ", ".join(sorted({name.split(".")[0] for name in source.tensors})[:_STARTS])
        raise CheckpointError(
            f"{place}: none of its {len(source.tensors)} tensors fits this model; their names begin with {begins}. "
            "Give weights of the same model."
        )
    refuse_nan(place, given)
    fitted = _fit(model, given, own, source, rule)
    missing = [n for n in own if n not in given and not n.endswith(_UNCOUNTED) and not rule.is_new(n)]
    wrong = rule.wrong((name for name in given if name not in own), own)
    if not fitted.misfits and (missing or wrong):
        missed, untaken = _try(model, own, fitted.tensors, source, place)
        missing = [name for name in missing if name in missed or rule.purpose == "resume"]
        wrong = [name for name in wrong if name in untaken]
    if fitted.misfits or missing or wrong:
        lost, extra = missing_parts(missing, source.tensors, rule), groups(wrong, own)
        raise misfit(place, source.path, rule, misfits=fitted.misfits, lost=lost, extra=extra)
    _, untaken = _load(model, fitted.tensors, source, place)
    return LoadReport(
        source.path,
        location or rule.purpose,
        IDENTITY,
        loaded=[name for name in own if name in fitted.tensors],
        resized=fitted.resized,
        missing=[name for name in own if rule.is_new(name)],
        unexpected=[*(name for name in given if name in untaken), *unused],
        notes=[*source.notes(), *dict.fromkeys(fitted.notes)],
    )


def _fit(
    model: nn.Module, given: Mapping[str, Tensor], own: Mapping[str, Tensor], source: Source, rule: LoadRule
) -> _Fitted:
    tables, out = tables_of(model), _Fitted()
    fitting, indices = Fitting(model, _NO_NAMES, tables=tables), index_names(tables)
    for name, tensor in given.items():
        if name not in own:
            out.tensors[name] = tensor  # for hooks, which may know it
            continue
        if name in indices:  # which the model makes for its own grid
            out.tensors[name] = own[name].clone()
            continue
        grid = source.grid_of(name)
        if grid is None and rule.purpose != "start" and tensor.shape == own[name].shape and name in tables:
            grid = tables[name].grid  # of a file of an earlier version, which fits in all else
        try:
            out.tensors[name] = fitted = fitting.fit(name, tensor, own[name], grid)
        except Misfit as error:
            out.misfits.append(str(error))
            continue
        if fitted is tensor:
            continue
        out.resized.append(change(name, tensor, fitted))
        out.notes += fitting.notes(name, tensor, own[name])
        if rule.purpose == "resume":
            shapes = f"{tuple(tensor.shape)}, the model {tuple(own[name].shape)}"
            out.misfits.append(f"{name} has the shape {shapes}, and positions of another image size")
    return out


def _try(
    model: nn.Module, own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], source: Source, place: str
) -> tuple[Container[str], Container[str]]:
    """Load only to learn what the model's hooks make of the names, and put back what was there."""
    before = {name: tensor.clone() for name, tensor in own.items()}
    try:
        return _load(model, tensors, source, place)
    finally:
        with torch.no_grad():
            for name, tensor in before.items():
                own[name].copy_(tensor)


def _load(
    model: nn.Module, tensors: Mapping[str, Tensor], source: Source, place: str
) -> tuple[Container[str], Container[str]]:
    """Load by torch's own way, and return what it missed and what it had no place for."""
    state: Any = OrderedDict(tensors)
    state._metadata = OrderedDict(source.metadata)
    try:
        keys = model.load_state_dict(state, strict=False)
    except RuntimeError as error:  # a hook changed what had been compared
        raise CheckpointError(
            f"{place}: does not fit this model: {' '.join(str(error).split())[:400]}. Give weights of the same model."
        ) from error
    return set(keys.missing_keys), set(keys.unexpected_keys)


def _check_new_parts(own: Mapping[str, Tensor], rule: LoadRule, place: str) -> None:
    for part in rule.new_parts:
        if not any(is_below(name, part) for name in own):
            raise CheckpointError(
                f"{place}: new_parts names {part!r}, which the model does not have."
                f"{did_you_mean(part, sorted(paths_of(own)))} Name paths of the model, such as heads.vqa."
            )
