"""Find mistakes in the arguments that a YAML node gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bus_toolkit.errors import Problem
from bus_toolkit.signatures.arguments import Signature
from bus_toolkit.signatures.kinds import describe_kind, fits
from bus_toolkit.signatures.nearest import MOST_HINTS, did_you_mean


def check_arguments(
    owner: str,
    signature: Signature,
    values: Mapping[str, Any],
    path: str,
    *,
    provided: Iterable[str] = (),
    partial: bool = False,
) -> list[Problem]:
    """Return every mistake in ``values``.

    Args:
        owner: Name of the type, for the messages.
        signature: The arguments it takes.
        values: The arguments in the YAML, without ``type``.
        path: YAML path of the node.
        provided: Arguments that the builder fills in.
        partial: The rest is given at the call: nothing is missing.
    """
    problems: list[Problem] = []
    for name, value in values.items():
        argument = signature.arguments.get(name)
        if argument is None:
            if not signature.is_open:
                problems.append(_unknown_argument(owner, name, signature, path, hinted=len(problems) < MOST_HINTS))
        elif not fits(argument.annotation, value) and not (value is None and argument.default is None):
            kind = describe_kind(argument.annotation)
            alone = "[...]" if isinstance(value, Mapping) else f"[{value!r}]"
            advice = f" Put it into a list: {alone}." if fits(argument.annotation, [value]) else ""
            problems.append(Problem(at(path, name), f"must be {kind}, got {value!r}.{advice}"))
    given = set(values) | set(provided)
    missing = [] if partial else [a.name for a in signature.arguments.values() if a.required and a.name not in given]
    return problems + [
        Problem(at(path, name), f"{owner} needs this argument, got nothing. Add it.") for name in missing
    ]


def of_right_kind(
    values: Mapping[str, Any], signature: Signature, problems: Iterable[Problem], path: str
) -> dict[str, Any]:
    """Return the arguments that ``check_arguments`` found no fault with: checks of values may count with their kind."""
    wrong = {problem.path for problem in problems}
    return {key: value for key, value in values.items() if key in signature.arguments and at(path, key) not in wrong}


def at(path: str, key: str | int) -> str:
    """Return the YAML path of ``key`` below ``path``."""
    return f"{path}.{key}" if path else str(key)


def _unknown_argument(owner: str, name: str, signature: Signature, path: str, *, hinted: bool) -> Problem:
    hint = did_you_mean(name, signature.arguments) if hinted else ""
    takes = ", ".join(signature.arguments) or "no arguments"
    return Problem(at(path, name), f"{owner} has no argument '{name}'.{hint} It takes {takes}.")
