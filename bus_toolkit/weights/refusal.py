"""The message about weights that do not fit a model: which parts differ, what is allowed, and what to write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bus_toolkit.errors import CheckpointError
from bus_toolkit.weights.load_rule import LoadRule, groups, is_below

_SHOWN = 6
_RUN = "the config.yaml in the work dir of the run that wrote it"


def misfit(
    location: str,
    path: str,
    rule: LoadRule,
    *,
    misfits: Sequence[str] = (),
    lost: Mapping[str, int],
    extra: Mapping[str, int],
) -> CheckpointError:
    """Return the error about a file that does not fit.

    Args:
        location: Where the file is named, and its path.
        path: The file.
        rule: What may differ.
        misfits: Tensors of another shape, a clause each.
        lost: Paths in the model that the file has nothing of, with the number of tensors.
        extra: Paths in the file that have no place in the model, likewise.
    """
    reasons = [*misfits[:3], *([f"{len(misfits) - 3} more have another shape"] if len(misfits) > 3 else [])]
    reasons += [f"it has no {_listed(lost)}"] if lost else []
    reasons += [f"it has {_listed(extra)}, which the model does not have"] if extra else []
    remedy = _remedy(path, lost, extra, rule, has_shapes=bool(misfits))
    return CheckpointError(f"{location}: does not fit this model: {'; '.join(reasons)}. {remedy}")


def missing_parts(missing: Iterable[str], given: Iterable[str], rule: LoadRule) -> dict[str, int]:
    """Return the paths of what is missing; a copy is not named beside its original, whose setting counts for both."""
    lost = groups(missing, given)
    return {path: n for path, n in lost.items() if not any(_is_covered(one, lost) for one in rule.originals(path))}


def _is_covered(path: str, paths: Iterable[str]) -> bool:
    return any(is_below(path, other) for other in paths)


def _remedy(path: str, lost: Mapping[str, int], extra: Mapping[str, int], rule: LoadRule, *, has_shapes: bool) -> str:
    if rule.purpose == "resume":
        return f"A resumed run goes on as it was. Use {_RUN}, or start another model from these weights with load_from."
    if rule.purpose == "evaluate":
        return f"Trained weights need the very model. Use {_RUN}."
    if has_shapes:
        return (
            f"Give the model the sizes and the tokenizer that {_RUN} has, or name parts that shall start as they are "
            "initialised in new_parts."
        )
    wanted = [f"new_parts: [{', '.join([*rule.new_parts, *lost])}]"] if lost or rule.new_parts else []
    wanted += [f"unused_parts: [{', '.join([*rule.unused_parts, *extra])}]"] if extra or rule.unused_parts else []
    return (
        "Allowed is what the setting names: new_parts start as they are initialised, unused_parts are left out. If "
        f"that is meant, write {{checkpoint: {path}, {', '.join(wanted)}}}; if not, use {_RUN}."
    )


def _listed(paths: Mapping[str, int]) -> str:
    """Return paths with the number of their tensors, the largest first."""
    ordered = sorted(paths.items(), key=lambda item: -item[1])
    shown = [f"{path} ({count} tensors)" if count > 1 else path for path, count in ordered[:_SHOWN]]
    return ", ".join(shown) + (f" and {len(ordered) - _SHOWN} more" if len(ordered) > _SHOWN else "")
