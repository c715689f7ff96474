"""Parts that cannot work together are refused, all at once, before anything is built."""

from __future__ import annotations

from typing import Any

import pytest

from bus_toolkit.models.check_parts import check_combination
from bus_toolkit.models.conditioning import Conditioning

FUSION = {"type": "CrossAttentionFusion"}
WRITER = {"type": "BertTextDecoder"}


def problems(heads: dict[str, dict[str, Any]], conditioning: Conditioning | None = None, **parts: Any) -> str:
    problems = check_combination(
        heads,
        parts.get("fusion", FUSION),
        parts.get("text_decoder", WRITER),
        conditioning or Conditioning(),
        parts.get("momentum"),
    )
    return "\n".join(map(str, problems))


def test_parts_that_fit_raise_nothing() -> None:
    heads = {"itc": {"type": "ITCHead"}, "mlm": {"type": "MLMHead"}, "ptm": {"type": "PatchTextHead"}}
    assert problems(heads, Conditioning("masked")) == ""


@pytest.mark.parametrize(
    ("heads", "arguments", "message"),
    [
        ({"itm": {"type": "ITMHead"}}, {"fusion": None}, "model.heads.itm: ITMHead reads fused tokens"),
        ({"prefix_lm": {"type": "PrefixLMHead"}}, {"text_decoder": None}, "PrefixLMHead writes text"),
        ({"itc": {"type": "ITCHead", "queue_size": 8}}, {}, "model.heads.itc.queue_size: a queue holds features"),
        ({"ptm": {"type": "PatchTextHead", "object_weight": 0.3}}, {}, "only with conditioning.without_text: prompt"),
        (
            {"itc": {"type": "ITCHead"}},
            {"conditioning": Conditioning("masked")},
            "masked shows images the caption with words hidden by one head, got none",
        ),
        (
            {"itm": {"type": "ITMHead"}},
            {"momentum": {}},
            "model.momentum: it follows the projections of",
        ),
        ({"itc": {"type": "ITCHead"}, "distill": {"type": "TeacherDistillHead"}}, {}, "follows the momentum branch"),
        (
            {"itc": {"type": "ITCHead"}},
            {"momentum": {"selection": "same"}, "conditioning": Conditioning("strict")},
            "model.momentum.selection: with 'same' the caption selects",
        ),
    ],
)
def test_a_combination_that_cannot_work_is_reported(
    heads: dict[str, dict[str, Any]], arguments: dict[str, Any], message: str
) -> None:
    assert message in problems(heads, **arguments)


def test_all_mistakes_are_reported_at_once() -> None:
    heads = {"itm": {"type": "ITMHead"}, "prefix_lm": {"type": "PrefixLMHead"}}
    assert len(problems(heads, fusion=None, text_decoder=None).splitlines()) == 3
