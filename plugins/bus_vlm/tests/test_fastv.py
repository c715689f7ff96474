"""FastV and PyramidDrop, and how text is read inside a vision backbone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from bus_vlm.fastv import FastVSelector
from bus_vlm.pyramid_drop import PyramidDropSelector
from bus_vlm.sparsevlm import SparseVLMSelector

from bus_toolkit.backbones import TokenReducingBackbone
from bus_toolkit.selectors import BlockView, PatchSelector
from bus_toolkit.structures import TextTokens
from bus_toolkit.testing import tiny

B, N = 3, 40
READERS = [FastVSelector, PyramidDropSelector, SparseVLMSelector]


def best(scores: list[float], count: int) -> list[int]:
    return sorted(sorted(range(len(scores)), key=lambda i: -scores[i])[:count])


def some_text() -> TextTokens:
    embeds = tiny.numbers(B, 5, 8, seed=3)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]], dtype=torch.bool)
    return TextTokens(embeds, embeds[:, 0], mask)


def test_fastv_keeps_what_the_last_word_attends_to(hundred: Any, view_of: Any) -> None:
    for draws in hundred:
        attention = draws.attention(B, N)
        view = view_of(torch.zeros(B, N, 8), some_text(), text_attention=attention)
        plan, scores, *_ = FastVSelector(blocks=[1])(view)
        assert torch.equal(scores, attention)
        assert plan.keep_indices.tolist() == [best(row, 20) for row in attention.tolist()]


def test_fastv_rounds_the_number_kept_to_the_nearest(view_of: Any) -> None:
    view = view_of(torch.zeros(B, N, 8))
    assert [FastVSelector(blocks=[1], keep_ratio=ratio).num_kept(view) for ratio in (0.44, 0.43, 0.001)] == [18, 17, 1]


def slow_mass(scores: list[float], share: float) -> list[int]:
    found: list[int] = []
    for i in sorted(range(len(scores)), key=lambda i: -scores[i]):
        if sum(scores[j] for j in found) >= share * sum(scores) - 1e-9:
            break
        found.append(i)
    return sorted(found)


@pytest.mark.parametrize(("mass", "room"), [(0.8, 1.0), (0.8, 0.5), (1.0, 1.0)])
def test_fastv_by_mass_keeps_the_fewest_that_hold_it(mass: float, room: float, hundred: Any, view_of: Any) -> None:
    counts = set()
    for draws in hundred:
        attention = draws.attention(B, N).square()
        view = view_of(torch.zeros(B, N, 8), some_text(), text_attention=attention)
        plan = FastVSelector(blocks=[1], keep_ratio=room, mass=mass)(view).plan
        assert plan.may_hide and plan.key_weights is not None and plan.num_slots == int(N * room)
        for row, scores in enumerate(attention.tolist()):
            wanted = slow_mass(scores, mass)
            wanted = [i for i in wanted if i in best(scores, int(N * room))]
            assert plan.keep_indices[row, plan.key_weights[row] > 0].tolist() == wanted
            counts.add(len(wanted))
    assert room < 1.0 or mass == 1.0 or len(counts) > 2, "samples keep different numbers"


def test_pyramid_drop_counts_from_the_tokens_of_the_input(hundred: Any, view_of: Any) -> None:
    """Of 10 at 0.7: int(7), int(4.9), int(3.43)."""
    selector = PyramidDropSelector(blocks=[8, 16, 24], keep_ratio=0.7)
    view, left = view_of(torch.zeros(B, 10, 8)), []
    for block in (8, 16, 24):
        left.append(selector.num_kept(replace(view, block=block)))
        view = replace(view, patches=view.patches[:, : left[-1]])
    assert left == [7, 4, 3]
    for draws in hundred:
        attention = draws.attention(B, N)
        plan = PyramidDropSelector(blocks=[1])(
            view_of(torch.zeros(B, N, 8), some_text(), text_attention=attention)
        ).plan
        assert plan.keep_indices.tolist() == [best(row, 20) for row in attention.tolist()]


class Watching(FastVSelector):
    """Remembers what it was shown."""

    def score(self, view: BlockView) -> torch.Tensor:
        self.view = view
        return super().score(view)


def test_in_a_vision_backbone_the_blocks_query_weights_read_the_last_token_that_is_no_padding() -> None:
    inputs = {"images": tiny.numbers(tiny.BATCH, 3, tiny.SIDE, tiny.SIDE), **tiny.text_inputs()}
    text, part = tiny.text_tokens(inputs), Watching(blocks=[2])
    visual = TokenReducingBackbone(tiny.vision_transformer(), [part])(inputs["images"], text)
    keys = part.view.inside.keys()
    for row in range(tiny.BATCH):
        last = int(text.attention_mask[row].nonzero().max())
        query = part.view.inside.project_query(text.embeds[row, last]).unflatten(0, keys.shape[2:])  # (H, E)
        heads = [(keys[row, :, h] @ query[h] / keys.shape[3] ** 0.5).softmax(dim=0) for h in range(keys.shape[2])]
        torch.testing.assert_close(visual.selections[0].decision.scores[row], torch.stack(heads).mean(dim=0))


def test_what_was_hidden_stays_hidden_from_the_text() -> None:
    inputs = {"images": tiny.numbers(tiny.BATCH, 3, tiny.SIDE, tiny.SIDE), **tiny.text_inputs()}
    stages: list[PatchSelector] = [FastVSelector(blocks=[1], keep_ratio=1.0, mass=0.5), Watching(blocks=[3])]
    visual = TokenReducingBackbone(tiny.vision_transformer(), stages)(inputs["images"], tiny.text_tokens(inputs))
    weights = visual.selections[0].decision.plan.key_weights
    assert weights is not None and (weights == 0).any()
    assert visual.selections[1].decision.scores[weights == 0].max() < 1e-4


@pytest.mark.parametrize("selector", READERS)
def test_a_text_of_padding_alone_is_read_at_its_first_token(selector: type[PatchSelector]) -> None:
    inputs = {"images": tiny.numbers(tiny.BATCH, 3, tiny.SIDE, tiny.SIDE), **tiny.text_inputs()}
    text = tiny.text_tokens(inputs)
    nothing = replace(text, attention_mask=torch.zeros_like(text.attention_mask))
    first = replace(text, attention_mask=nothing.attention_mask.index_fill(1, torch.tensor([0]), True))
    scores = [
        TokenReducingBackbone(tiny.vision_transformer(), [selector(blocks=[1])])(inputs["images"], one)
        .selections[0]
        .decision.scores
        for one in (nothing, first)
    ]
    torch.testing.assert_close(*scores)


@pytest.mark.parametrize("selector", READERS)
def test_padding_does_not_matter_and_the_text_does(selector: type[PatchSelector]) -> None:
    inputs = {"images": tiny.numbers(tiny.BATCH, 3, tiny.SIDE, tiny.SIDE), **tiny.text_inputs()}
    text, vit = tiny.text_tokens(inputs), TokenReducingBackbone(tiny.vision_transformer(), [selector(blocks=[1])])
    noisy = replace(text, embeds=torch.where(text.attention_mask.unsqueeze(2), text.embeds, text.embeds + 50.0))
    longer = TextTokens(
        torch.cat([text.embeds, torch.ones_like(text.embeds[:, :2])], dim=1),
        text.pooled,
        torch.cat([text.attention_mask, torch.zeros_like(text.attention_mask[:, :2])], dim=1),
    )
    plain = vit(inputs["images"], text).selections[0].decision
    for other in (noisy, longer):
        found = vit(inputs["images"], other).selections[0].decision
        torch.testing.assert_close(found.scores, plain.scores)
        assert torch.equal(found.plan.slots, plain.plan.slots)
    other = vit(inputs["images"], replace(text, embeds=-text.embeds)).selections[0].decision
    assert not torch.allclose(other.scores, plain.scores)


@pytest.mark.parametrize("selector", READERS)
def test_without_a_text_the_cls_attention_picks(selector: type[PatchSelector], view_of: Any) -> None:
    attention = tiny.numbers(B, N, seed=1).softmax(dim=1)
    decision = selector(blocks=[1])(view_of(torch.zeros(B, N, 8), cls_attention=attention))
    assert torch.equal(decision.scores, attention) and decision.plan.num_slots == 20


def test_a_mass_that_is_no_share_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"mass: must be a share in \(0, 1\], or None for equally many tokens, got 1.5"
    ):
        FastVSelector(blocks=[1], mass=1.5)
