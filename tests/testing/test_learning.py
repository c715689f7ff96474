"""A selector that no loss of a training reaches is noticed; one that a head trains, or that weighs tokens, passes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from bus_toolkit.heads import HeadOutput, VLPHead
from bus_toolkit.registry import REGISTRIES
from bus_toolkit.selectors import BlockView, PatchSelector
from bus_toolkit.structures import Condition
from bus_toolkit.testing import ConformanceError, check_selector
from bus_toolkit.testing.learning import check_learns
from bus_toolkit.testing.selector_case import SelectorCase


class TextCosine(PatchSelector):
    """Keeps the patches that are most like a learned projection of the text."""

    needs_text = True

    def __init__(self, *, embed_dim: int, text_dim: int, **settings: object) -> None:
        super().__init__(**settings)  # type: ignore[arg-type]
        self.text_proj = nn.Linear(text_dim, embed_dim)

    def score(self, view: BlockView) -> Tensor:
        return nn.functional.cosine_similarity(view.patches, self.text_proj(view.text.pooled).unsqueeze(1), dim=-1)


class Supervised(TextCosine):
    supervised = True


class Weighing(TextCosine):
    def fuse_weights(self, scores: Tensor) -> Tensor:
        return torch.sigmoid(scores)


class ScoreHead(VLPHead):
    """Trains the scores of all selectors."""

    sees = Condition.CAPTION

    def loss(self, step):
        selections = step.visual().selections
        return HeadOutput({"scores": sum(selection.decision.scores.square().mean() for selection in selections)})


def test_scores_alone_train_nothing() -> None:
    with pytest.raises(ConformanceError) as caught:
        check_selector(TextCosine)
    (line,) = str(caught.value).splitlines()[1:]
    assert line.startswith("- learns: text_proj.bias, text_proj.weight: only the scores have a gradient to it")
    assert "Set supervised = True" in line


@pytest.mark.parametrize(("part", "settings"), [(Supervised, {}), (Weighing, {"fuse": "normalized"})])
def test_a_loss_reaches_the_scores(part: type[PatchSelector], settings: dict[str, str]) -> None:
    check_learns(SelectorCase(part, settings))


class BlindScoreHead(ScoreHead):
    """Says that it sees no text, though it trains what reads one."""

    sees = Condition.FREE


@pytest.fixture
def score_heads() -> Iterator[None]:
    REGISTRIES.heads.names()  # registers ours first
    REGISTRIES.heads.register(ScoreHead)
    REGISTRIES.heads.register(BlindScoreHead)
    yield
    del REGISTRIES.heads.entries["ScoreHead"], REGISTRIES.heads.entries["BlindScoreHead"]


@pytest.mark.usefixtures("score_heads")
def test_a_head_of_its_own_may_train_it() -> None:
    check_learns(SelectorCase(TextCosine, {}, {"scores": {"type": "ScoreHead"}}))
    with pytest.raises(AssertionError, match="it never learns"):
        check_learns(SelectorCase(TextCosine, {}, {"itc": {"type": "ITCHead"}}))


@pytest.mark.usefixtures("score_heads")
def test_a_head_that_sees_no_text_cannot_train_what_reads_one() -> None:
    with pytest.raises(AssertionError, match="the head scores trains it under conditioning mode shared, but not under"):
        check_learns(SelectorCase(TextCosine, {}, {"scores": {"type": "BlindScoreHead"}}))
