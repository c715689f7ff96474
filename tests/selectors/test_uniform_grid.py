"""The even pattern, and the pooling of its cells."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from bus_toolkit.errors import ConfigError
from bus_toolkit.losses.patch_text import labels_of_candidates
from bus_toolkit.ops.apply_plans import apply_plan
from bus_toolkit.selectors import BlockView, GridPoolSelector, RandomSelector, UniformGridSelector
from bus_toolkit.selectors.base import PatchSelector
from tests.tiny import WIDTH, block_view, images, numbers, tiny_backbone


def view() -> BlockView:
    return replace(block_view(numbers(2, 16, WIDTH)), grid=(4, 4))


def test_a_quarter_of_the_patches_is_every_second_row_and_column() -> None:
    visual = tiny_backbone(UniformGridSelector(blocks=[2], keep_ratio=0.25))(images())
    pattern = [[True, False, True, False], [False] * 4] * 2
    assert visual.kept_patches().unflatten(1, (4, 4)).tolist() == [pattern] * 3


@pytest.mark.parametrize("kept", [1, 5, 8, 13])
def test_any_share_is_kept_exactly_with_one_more_token_for_the_rest(kept: int) -> None:
    plan = UniformGridSelector(blocks=[1], keep_ratio=kept / 16, fuse="normalized")(view()).plan
    assert plan.keep_indices.shape == (2, kept) and plan.num_slots == kept + 1
    assert torch.equal(plan.keep_indices[0], plan.keep_indices[1])
    assert GridPoolSelector(blocks=[1], keep_ratio=kept / 16)(view()).plan.num_slots == kept


def test_a_quarter_pools_two_by_two_patches_and_each_is_followed_to_its_token() -> None:
    seen = view()
    plan = GridPoolSelector(blocks=[1])(seen).plan
    pooled = F.avg_pool2d(seen.patches.transpose(1, 2).unflatten(2, (4, 4)), 2).flatten(2).transpose(1, 2)
    torch.testing.assert_close(apply_plan(seen.patches, plan), pooled)
    labels = torch.zeros(2, 16, dtype=torch.bool)
    labels[:, 6] = True  # row 1, column 2: the upper right cell
    assert labels_of_candidates(labels, plan.slots, 4).tolist() == [[False, True, False, False]] * 2


def test_a_pooled_token_is_the_mean_of_its_cell_and_has_the_place_of_its_centre() -> None:
    backbone = tiny_backbone(GridPoolSelector(blocks=[2], keep_ratio=5 / 16))
    visual = backbone(images())
    assert visual.embeds.shape[1] == 1 + 5 and visual.origin is not None
    assert torch.equal(visual.origin.gather(1, visual.kept.indices[0].expand(3, -1)), torch.arange(5).expand(3, -1))


@pytest.mark.parametrize("kind", [UniformGridSelector, GridPoolSelector])
def test_it_has_one_block_and_comes_first(kind: type[PatchSelector]) -> None:
    with pytest.raises(
        ValueError, match=rf"blocks: must be one block, got \[1, 3\]. {kind.__name__} works on the grid"
    ):
        kind(blocks=[1, 3])
    parts = [kind(blocks=[3]), RandomSelector(blocks=[2])]
    with pytest.raises(
        ConfigError, match=r"model.selectors.0.blocks: .* grid of all patches, got model.selectors.1 before"
    ):
        tiny_backbone(*parts)
    tiny_backbone(kind(blocks=[2]), RandomSelector(blocks=[3]))
