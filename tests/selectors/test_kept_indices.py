"""The count and the choice that a serving engine asks for, without a backbone."""

from __future__ import annotations

import pytest
import torch

from bus_toolkit.errors import ComponentError, DataError
from bus_toolkit.ops import num_kept, top_indices
from bus_toolkit.selectors import (
    GridPoolSelector,
    PatchSelector,
    RandomSelector,
    TextGuidedAttentionSelector,
    TextSemanticPatchSelector,
    UniformGridSelector,
    count_kept,
    kept_indices,
)
from bus_toolkit.selectors.text_scorer import score_by_text
from bus_toolkit.structures import TextTokens
from tests.tiny import WIDTH, text_tokens

GRID = (4, 5)


def features(batch: int = 3) -> torch.Tensor:
    return torch.randn(batch, 20, WIDTH, generator=torch.Generator().manual_seed(2))


def tsps(keep_ratio: float = 0.3, fuse: str = "none") -> TextSemanticPatchSelector:
    torch.manual_seed(0)
    selector = TextSemanticPatchSelector(blocks=[1], embed_dim=WIDTH, text_dim=WIDTH, keep_ratio=keep_ratio, fuse=fuse)
    return selector.eval()


def test_the_count_is_known_before_and_is_that_of_the_choice() -> None:
    for selector in (tsps(), RandomSelector(blocks=[1], keep_ratio=0.29), UniformGridSelector(blocks=[1])):
        count = count_kept(selector.eval(), GRID)
        assert count == num_kept(20, selector.keep_ratio)
        kept = kept_indices(selector, features(), GRID, text_tokens())
        assert kept.dtype == torch.int64 and kept.shape == (3, count)
        assert (kept.diff(dim=1) > 0).all()


def test_the_text_decides_and_no_image_depends_on_its_batch_mates() -> None:
    selector, text = tsps(), text_tokens()
    kept = kept_indices(selector, features(), GRID, text)
    assert kept.equal(top_indices(score_by_text(selector, features(), text.pooled), 6))
    assert kept_indices(selector, features()[1:2], GRID, text.index(slice(1, 2))).equal(kept[1:2])
    assert not kept_indices(selector, features(), GRID, TextTokens.of(-3.0 * text.embeds)).equal(kept)


class Marking(PatchSelector):
    def score(self, view):
        return view.patches.sum(dim=-1)

    def marked(self, scores):
        return scores > 0


class AsksTheBlock(PatchSelector):
    def score(self, view):
        return view.inside.cls_attention()


@pytest.mark.parametrize(
    ("selector", "message"),
    [
        (tsps(fuse="normalized"), "must keep or drop tokens and do no more.*got fuse: normalized"),
        (Marking(blocks=[1]), "got marked\\(\\), by which images keep different numbers"),
        (AsksTheBlock(blocks=[1]), "got AsksTheBlock, which reads the inside of a transformer's block"),
        (GridPoolSelector(blocks=[1], keep_ratio=0.25), "got a plan that merges, fuses"),
        (
            TextGuidedAttentionSelector(blocks=[1], embed_dim=WIDTH, text_dim=WIDTH),
            "got TextGuidedAttentionSelector, which reads the inside",
        ),
        ("TSPS", "must be a PatchSelector, got str"),
    ],
)
def test_a_selector_that_indices_cannot_describe_is_refused(selector, message: str) -> None:
    with pytest.raises(ComponentError, match=message):
        kept_indices(selector, features(), GRID, text_tokens())


def test_features_and_texts_that_do_not_fit_are_refused() -> None:
    selector = tsps()
    with pytest.raises(DataError, match=r"floats \(B, N, D\), got Tensor float32 \(20, "):
        kept_indices(selector, features()[0], GRID, text_tokens())
    with pytest.raises(DataError, match="a grid of 4 x 4 has 16 tokens, got 20"):
        kept_indices(selector, features(), (4, 4), text_tokens())
    with pytest.raises(DataError, match="reads a text for each of 3 images, got none"):
        kept_indices(selector, features(), GRID)
    with pytest.raises(DataError, match="reads a text for each of 2 images, got 3"):
        kept_indices(selector, features(2), GRID, text_tokens())
    with pytest.raises(DataError, match="reads texts of width"):
        kept_indices(selector, features(), GRID, TextTokens.of(torch.rand(3, WIDTH + 1)))
    with pytest.raises(DataError, match="reads tokens of width"):
        kept_indices(selector, features()[..., 1:], GRID, text_tokens())
    with pytest.raises(DataError, match="1 or more rows and columns, got 0 x 5"):
        count_kept(selector, (0, 5))
