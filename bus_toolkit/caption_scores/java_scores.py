"""METEOR and SPICE, which need Java: by the library pycocoevalcap, when they are asked for."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from importlib import import_module

from bus_toolkit.errors import ConfigError

_SCORERS = {"METEOR": ("pycocoevalcap.meteor.meteor", "Meteor"), "SPICE": ("pycocoevalcap.spice.spice", "Spice")}


def check_java_scores(names: Sequence[str], location: str) -> None:
    """Refuse scores now that could not be computed at the end of an evaluation.

    Raises:
        ConfigError: A score that is not one of the two, no Java, or no pycocoevalcap.
    """
    unknown = [name for name in names if name not in _SCORERS]
    if unknown:
        raise ConfigError(f"{location}: must be some of {', '.join(_SCORERS)}, got {unknown[0]!r}.")
    if not names:
        return
    if shutil.which("java") is None:
        raise ConfigError(f"{location}: {', '.join(names)} need Java, and no java is on the PATH. Install a JRE.")
    try:
        import_module("pycocoevalcap")
    except ImportError as error:
        raise ConfigError(f"{location}: {', '.join(names)} need pycocoevalcap. pip install pycocoevalcap.") from error


def java_scores(names: Sequence[str], captions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Return the scores over a data set; SPICE downloads its parser's models when it runs for the first time.

    Args:
        names: ``METEOR``, ``SPICE``.
        captions: One an image, as lower-case tokens joined by spaces.
        references: Those of each image, likewise.
    """
    wanted = {number: list(of_image) for number, of_image in enumerate(references)}
    predicted = {number: [caption] for number, caption in enumerate(captions)}
    scores = {}
    for name in names:
        module, scorer = _SCORERS[name]
        score, _ = getattr(import_module(module), scorer)().compute_score(wanted, predicted)
        scores[name] = float(score)
    return scores
