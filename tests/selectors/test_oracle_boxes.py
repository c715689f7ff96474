"""The ceiling that reads the answer: what it keeps, whose boxes it reads, and where it is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from bus_toolkit.errors import ComponentError
from bus_toolkit.heads import ClassificationHead, ITMHead, VLPHead
from bus_toolkit.models.vlp import VLPModel
from bus_toolkit.selectors import OracleBoxesSelector, RandomSelector
from bus_toolkit.step.pass_key import PassKey
from bus_toolkit.structures import Condition, TextTokens
from tests.tiny import WIDTH, images, text_tokens, tiny_backbone
from tests.tiny_model import sample, tiny_model

NAMED = [0, 1, 4, 5]  # the patches of the upper left quarter, which the box of every sample covers


def oracle(blocks: tuple[int, ...] = (2,), keep_ratio: float = 0.25, **settings: str) -> OracleBoxesSelector:
    return OracleBoxesSelector(blocks=blocks, keep_ratio=keep_ratio, in_study=True, **settings)  # type: ignore[arg-type]


def naming(*patches: int) -> TextTokens:
    cover = torch.zeros(3, 16)
    cover[:, list(patches)] = 1.0
    return replace(text_tokens(), named_cover=cover)


def model(mode: str = "shared", **heads: VLPHead) -> VLPModel:
    return tiny_model(mode, selectors=[oracle()], heads=heads or {"itm": ITMHead(text_dim=WIDTH)})


def kept(chosen: VLPModel, rows: list[object], condition: Condition = Condition.CAPTION) -> Tensor:
    visual = chosen.passes(images(len(rows)), rows).visual(PassKey(condition))
    assert visual.undecoded is not None
    return visual.undecoded.kept_patches()


def test_patches_that_are_covered_most_stay_and_a_fixed_pattern_fills_up() -> None:
    text = naming(3, 9)
    assert text.named_cover is not None
    text.named_cover[:, 5] = 0.5
    backbone = tiny_backbone(oracle())
    visual = backbone(images(), text)
    assert {3, 5, 9} < set(visual.kept.indices[0].tolist())
    assert torch.equal(visual.kept_patches(), backbone(images(seed=4), text).kept_patches())
    assert visual.kept_patches().sum(dim=1).tolist() == [4] * 3


def test_after_an_earlier_selection_the_cover_follows_the_patches() -> None:
    first = RandomSelector(blocks=[1], keep_ratio=0.5)
    left = tiny_backbone(first)(images(), None).kept.indices[0].tolist()
    visual = tiny_backbone(first, oracle((3,), 0.25))(images(), naming(left[2], left[5]))
    assert {left[2], left[5]} == set(visual.kept.indices[0].tolist())


def test_each_text_of_a_batch_selects_by_its_own_boxes_and_one_without_any_by_the_pattern() -> None:
    rows = [sample("abcd", 0), sample("ef", 1), sample("gh", 2, boxed=False)]
    rows[1].named = torch.tensor([False, True])
    chosen = kept(model(), rows)
    assert chosen[0].nonzero().flatten().tolist() == NAMED
    assert chosen[1, 15] and not chosen[1, NAMED].all() and chosen.sum(dim=1).tolist() == [4] * 3
    other = kept(model(), rows, Condition.OTHER_CAPTION)
    assert other[0, 15] and other[2].nonzero().flatten().tolist() == NAMED, "the boxes are those of the other text"


def test_pairs_select_by_the_boxes_of_their_text_and_losses_are_finite() -> None:
    heads = {"itm": ITMHead(text_dim=WIDTH), "label": ClassificationHead(text_dim=WIDTH, num_classes=2)}
    chosen = model("strict", **heads)
    losses = chosen.loss(images(2), [sample("abcd", 0, gt_label=0), sample("ef", 1, gt_label=1)])
    assert all(value.isfinite() for value in losses.values())
    assert chosen.token_counts["caption"].tokens["block 2"] == 5


def test_it_is_refused_outside_of_studies_and_in_passes_without_boxes() -> None:
    with pytest.raises(
        ValueError, match="in_study: must be true, since OracleBoxes reads the boxes .* TSPS, Objectness"
    ):
        OracleBoxesSelector(blocks=[2])
    for texts in (None, ["ab"]):
        with pytest.raises(
            ComponentError, match="OracleBoxes reads the boxes that the text of each image names, got a pass"
        ):
            model().encode(images(1), texts)
