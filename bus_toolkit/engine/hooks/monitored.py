"""Figures of a validation that hooks look at: which direction is better, and names that no metric gives."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from numbers import Real

from mmengine.runner import Runner

from bus_toolkit.errors import ConfigError, Problem
from bus_toolkit.signatures import did_you_mean

_log = logging.getLogger(__name__)
# Parts of names by which the better direction is known where a config gives no ``rule``; without regard to case.
GREATER_KEYS = "acc auc top precision recall R@ mAP IoU BLEU ROUGE METEOR CIDEr SPICE".split()
LESS_KEYS = ["loss", "nll", "perplexity"]


def has_known_rule(name: str) -> bool:
    """Return whether the better direction of a figure is known by its name."""
    return any(key.lower() in name.lower() for key in [*GREATER_KEYS, *LESS_KEYS])


def is_score(metrics: Mapping[str, object], name: str) -> bool:
    """Return whether a figure is among the metrics and a number."""
    value = metrics.get(name)
    return isinstance(value, Real) and not math.isnan(value)


class MissingScores:
    """Warn, once a name, of figures that a validation does not give.

    Args:
        path: The setting that names them.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._warned: set[str] = set()

    def warn(self, name: str, metrics: Mapping[str, object], consequence: str) -> None:
        """Say what the validation gave instead, and what follows."""
        if name in metrics:
            reason = f"{name!r} is {metrics[name]}"
        else:
            reason = f"{name!r} was not measured, got {', '.join(metrics) or 'no figure'}"
        self.warn_of(name, f"{reason}. {consequence}")

    def warn_of(self, name: str, text: str) -> None:
        """Say something about a figure."""
        if name not in self._warned:
            self._warned.add(name)
            _log.warning("%s: %s", self._path, text)


def check_names(runner: Runner, path: str, names: Sequence[str]) -> None:
    """Refuse names of figures that no metric of the validation can give; warn in a training without validation.

    A metric gives names with its prefix, the validation losses of a model have ``loss`` in theirs.

    Args:
        runner: Its validation is built already.
        path: The setting that names them.
        names: The figures.

    Raises:
        ConfigError: All such names.
    """
    if names and runner.val_loop is None:
        _log.warning("%s: %s is never measured: this training has no validation.", path, ", ".join(names))
        return
    metrics = runner.val_loop.evaluator.metrics if names else []
    prefixes = [str(metric.prefix) for metric in metrics]
    if not all(metric.prefix for metric in metrics):  # one without a prefix may give any name
        return
    unknown = [name for name in names if name.split("/")[0] not in prefixes and "loss" not in name]
    problems = [
        Problem(
            path,
            f"no metric of val_evaluator gives {name!r}; their names start with "
            f"{', '.join(f'{prefix}/' for prefix in dict.fromkeys(prefixes))}."
            f"{did_you_mean(name.split('/')[0], prefixes)} Name a figure of the report of a validation.",
        )
        for name in unknown
    ]
    if problems:
        raise ConfigError(problems)
