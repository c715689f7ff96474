"""Which text conditions the image for which head: the modes of ``model.conditioning``."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from bus_toolkit.errors import ComponentError, ConfigError, Problem
from bus_toolkit.registry import CONDITIONING_MODES
from bus_toolkit.signatures import did_you_mean
from bus_toolkit.structures import Condition

WITHOUT_TEXT = ("cls", "prompt", "none")


@dataclass(frozen=True)
class ConditioningMode:
    """What a head sees in a training step, decided from what it declares (``VLPHead.sees``) and never from its name.

    Attributes:
        sees: By declared condition, the one under which the head gets the images.
        otherwise: For conditions that are not in ``sees`` and heads that declare none; ``None`` refuses such heads.
        pairs_are_reencoded: Whether the text of a wrong pair in matching selects the patches, in a pass of its own.
    """

    sees: Mapping[Condition, Condition] = field(default_factory=dict)
    otherwise: Condition | None = None
    pairs_are_reencoded: bool = False


_BUILT_IN: dict[str, ConditioningMode] = {
    "shared": ConditioningMode(otherwise=Condition.CAPTION),
    "masked": ConditioningMode(otherwise=Condition.MASKED),
    "own_prefix": ConditioningMode({Condition.PREFIX: Condition.PREFIX}, otherwise=Condition.CAPTION),
    "free_itc": ConditioningMode({Condition.FREE: Condition.FREE}, otherwise=Condition.CAPTION),
    "strict": ConditioningMode({condition: condition for condition in Condition}, pairs_are_reencoded=True),
}
# The first map takes what is added, so that a plugin which fails to load can be undone.
_MODES: ChainMap[str, ConditioningMode] = ChainMap(CONDITIONING_MODES, _BUILT_IN)


def register_mode(name: str, mode: ConditioningMode) -> None:
    """Make a mode known as ``model.conditioning.mode: <name>``; a plugin calls it in ``register_components``.

    Raises:
        ComponentError: The name is that of another mode.
    """
    if _MODES.setdefault(name, mode) != mode:
        raise ComponentError(f"conditioning mode: the name {name!r} is taken. Register the mode under another name.")


def mode_problems(values: Mapping[str, object], path: str) -> list[Problem]:
    """Return what is wrong with ``mode`` among the values of a ``conditioning`` mapping at ``path`` of a config."""
    mode = values.get("mode", "shared")
    if mode in _MODES or not isinstance(mode, str):
        return []
    text = f"must be one of {', '.join(_MODES)}, got {mode!r}.{did_you_mean(mode, _MODES)}"
    return [Problem(f"{path}.mode", text)]


@dataclass(frozen=True)
class Conditioning:
    """The setting that decides how honest, and how costly, text-aware selection is in training.

    Args:
        mode: ``shared``: one pass, the image's own caption for all losses (what the published code does; the answer can
            be read off which patches survive). ``masked``: one pass, the masked caption: hidden words cannot be read
            off. ``own_prefix``: as ``shared``, and the language model's images under its prefix alone, in a pass of
            their own. ``free_itc``: as ``shared``, and the contrastive features without text. ``strict``: contrast
            without text, matching with the caption of each pair, masked words with the masked caption, the language
            model with its prefix; every head sees what it declares, and one that declares nothing is refused. Or a
            plugin's mode.
        without_text: What selects in a pass that has no text: ``cls`` attention, a fixed ``prompt``, or ``none``:
            text-aware selectors let everything through.
        prompt: The fixed prompt; empty is [CLS][SEP] alone.

    Raises:
        ConfigError: An unknown mode or rule.
    """

    mode: str = "shared"
    without_text: Literal["cls", "prompt", "none"] = "cls"
    prompt: str = ""

    def __post_init__(self) -> None:
        problems = mode_problems(vars(self), "model.conditioning")
        if self.without_text not in WITHOUT_TEXT:
            text = f"must be one of {', '.join(WITHOUT_TEXT)}, got {self.without_text!r}."
            problems.append(Problem("model.conditioning.without_text", text))
        if problems:
            raise ConfigError(problems)

    @property
    def pairs_are_reencoded(self) -> bool:
        """Whether the text of a wrong pair in matching selects the patches."""
        return _MODES[self.mode].pairs_are_reencoded

    def condition(self, declared: Condition | None) -> Condition | None:
        """Return what a head that declares ``declared`` sees in training; ``None`` where the mode has no rule."""
        mode = _MODES[self.mode]
        return mode.otherwise if declared is None else mode.sees.get(declared, mode.otherwise)
