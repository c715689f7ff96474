"""Which text conditions the image for which objective."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Condition = Literal["free", "caption", "masked", "prefix"]

_OWN: dict[str, dict[str, Condition]] = {
    "shared": {},
    "masked": {},
    "free_itc": {"itc": "free"},
    "strict": {"itc": "free", "mlm": "masked", "prefix_lm": "prefix"},
}
_COMMON: dict[str, Condition] = {"shared": "caption", "masked": "masked", "free_itc": "caption", "strict": "caption"}
WITHOUT_TEXT = ("cls", "prompt", "none")


@dataclass(frozen=True)
class Conditioning:
    """The setting that decides how honest, and how costly, text-aware selection is in training.

    Args:
        mode: ``shared``: one pass, the image's own caption for all losses (what the published code does; the answer can
            leak through which patches survive). ``masked``: one pass, the masked caption. ``free_itc``: as ``shared``,
            and the contrastive features without text. ``strict``: contrast without text, matching with the caption of
            each pair, masked words with the masked caption, the language model with its prefix.
        without_text: What selects in a pass that has no text: ``cls`` attention, a fixed ``prompt``, or ``none``:
            text-aware selectors let everything through.
        prompt: The fixed prompt; empty is [CLS][SEP] alone.

    Raises:
        ValueError: An unknown mode or rule.
    """

    mode: Literal["shared", "masked", "free_itc", "strict"] = "shared"
    without_text: Literal["cls", "prompt", "none"] = "cls"
    prompt: str = ""

    def __post_init__(self) -> None:
        if self.mode not in _COMMON:
            raise ValueError(f"model.conditioning.mode: must be one of {', '.join(_COMMON)}, got {self.mode!r}.")
        if self.without_text not in WITHOUT_TEXT:
            raise ValueError(
                f"model.conditioning.without_text: must be one of {', '.join(WITHOUT_TEXT)}, got {self.without_text!r}."
            )

    @property
    def pairs_are_reencoded(self) -> bool:
        """Whether a wrong caption of a matching pair selects the patches anew."""
        return self.mode == "strict"

    def condition(self, objective: str) -> Condition:
        """Return what conditions the image for ``objective``; a condition's own name stands for itself."""
        if objective in ("free", "caption", "masked", "prefix"):
            return objective  # type: ignore[return-value]
        return _OWN[self.mode].get(objective, _COMMON[self.mode])
