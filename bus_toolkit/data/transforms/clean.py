"""Captions and questions without punctuation, as ALBEF and BLIP read them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, get_args

from mmcv.transforms import BaseTransform

from bus_toolkit.blank_texts import is_blank
from bus_toolkit.errors import ConfigError
from bus_toolkit.registry import TRANSFORMS

CleaningRule = Literal["albef", "blip", "none"]


class _Marks(NamedTuple):
    removed: re.Pattern[str]
    to_spaces: re.Pattern[str]


_NO_MARK = re.compile(r"(?!)")
_RULES: Mapping[str, _Marks] = {
    "albef": _Marks(re.compile(r"""[,.'!?"()*#:;~]"""), re.compile(r"[-/]")),
    "blip": _Marks(_NO_MARK, re.compile(r"""[.!"()*#:;~]""")),
}


@TRANSFORMS.register_module()
class CleanText(BaseTransform):
    """Lower-case the text of a sample and take its punctuation out.

    A text of which nothing would be left stays as it is. Written captions and answers are not touched. Slot:
    ``pipeline`` of a data set, for training and evaluation alike.

    Args:
        rule: ``albef``: commas, points, apostrophes, quotation marks, brackets and the like vanish, hyphens and slashes
            become spaces, ``<person>`` is ``person`` (salesforce/ALBEF: ``dataset/utils.py``; X-PLUG/mPLUG the same in
            pre-training and retrieval). ``blip``: points, brackets and the like become spaces; commas, apostrophes,
            hyphens and question marks stay (salesforce/BLIP: ``data/utils.py``). ``none``: texts stay as they are, as
            in METER and in mPLUG's answering and captioning.
        max_words: Further words are left out; 30 in both.

    Raises:
        ConfigError: An unknown rule, or a number of words below 1.
    """

    def __init__(self, rule: CleaningRule = "albef", *, max_words: int = 30) -> None:
        if rule not in get_args(CleaningRule):
            raise ConfigError(f"CleanText.rule: must be one of {', '.join(get_args(CleaningRule))}, got {rule!r}.")
        if isinstance(max_words, bool) or not isinstance(max_words, int) or max_words < 1:
            raise ConfigError(f"CleanText.max_words: must be a whole number above 0, got {max_words}.")
        self.rule, self.max_words = rule, max_words

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Clean the sample's text."""
        if self.rule != "none":
            cleaned = clean_text(results["text"], self.rule, self.max_words)
            if not is_blank(cleaned):
                results["text"] = cleaned
        return results


def clean_text(text: str, rule: str, max_words: int) -> str:
    """Return a text in lower case without the punctuation that a rule takes out; it may be empty."""
    marks = _RULES[rule]
    plain = marks.to_spaces.sub(" ", marks.removed.sub("", text.lower()))
    if rule == "albef":
        plain = plain.replace("<person>", "person")
    return " ".join(plain.split()[:max_words])
