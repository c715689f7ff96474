"""Arguments of ``reduce_tokens`` from a YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bus_toolkit.config.files import plugins_of, read_chain
from bus_toolkit.config.merge import merge_chain
from bus_toolkit.errors import ConfigError, Problem
from bus_toolkit.huggingface.reduction import reduce_tokens
from bus_toolkit.plugin.manager import load_plugins
from bus_toolkit.signatures import Signature, check_arguments, signature_of

_GIVEN_IN_PYTHON = ("model", "around_selection")


def read_reduction(source: str | Path | Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of ``reduce_tokens``, and load the plugins that their file names.

    Args:
        source: A YAML file with ``selectors``, ``projected``, ``vision``, ``quota``, ``turns`` and ``plugins`` (a list
            of names), each where it is needed; or what such a file holds.

    Raises:
        ConfigError: The file cannot be read, or has other keys.
        PluginError: A plugin that it names cannot be used.
    """
    chain = [dict(source)] if isinstance(source, Mapping) else list(read_chain(source))
    load_plugins(plugins_of(chain, "" if isinstance(source, Mapping) else source))
    arguments = merge_chain(chain)
    arguments.pop("plugins", None)
    problems = reduction_problems(arguments, "" if isinstance(source, Mapping) else str(source))
    if problems:
        raise ConfigError(problems)
    return arguments


def reduction_problems(arguments: Mapping[str, Any], path: str) -> list[Problem]:
    """Return every mistake in arguments of ``reduce_tokens`` that YAML gives at ``path``."""
    taken = {name: one for name, one in signature_of(reduce_tokens).arguments.items() if name not in _GIVEN_IN_PYTHON}
    return check_arguments("reduce_tokens", Signature(taken, is_open=False), arguments, path)
