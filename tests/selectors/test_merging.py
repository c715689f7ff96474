"""What merging selectors share: how many tokens are left, and how merged ones count."""

import pytest
import torch

from bus_toolkit.ops import keep_plan, merge_plan
from bus_toolkit.selectors import MergingSelector


class _View:
    def __init__(self, count: int) -> None:
        self.patches = torch.zeros(2, count, 4)


@pytest.mark.parametrize(("num_merged", "present", "left"), [(0, 9, 9), (2, 9, 7), (8, 9, 5), (3, 1, 1)])
def test_a_block_merges_at_most_half_of_its_tokens(num_merged, present, left):
    assert MergingSelector(blocks=[1], num_merged=num_merged).num_kept(_View(present)) == left


def test_without_a_number_a_share_is_left():
    assert MergingSelector(blocks=[1], keep_ratio=0.7).num_kept(_View(10)) == 7
    assert MergingSelector(blocks=[1], keep_ratio=0.1).num_kept(_View(10)) == 5


def test_a_negative_number_is_refused():
    with pytest.raises(ValueError, match=r"num_merged: must be 0 or more tokens, got -1\."):
        MergingSelector(blocks=[1], num_merged=-1)


@pytest.mark.parametrize("ratio", [0.5, {"start": 1.0, "end": 0.5, "epochs": 2}])
def test_a_number_beside_a_share_is_refused(ratio):
    with pytest.raises(
        ValueError, match=r"num_merged: must be null beside keep_ratio, .* got 2 and .*Give one of them"
    ):
        MergingSelector(blocks=[1], num_merged=2, keep_ratio=ratio)


def test_merged_tokens_count_as_several_keys_only_when_proportional():
    sizes = torch.tensor([[1.0, 2.0, 3.0]])
    plan = merge_plan(torch.tensor([[0, 2]]), torch.tensor([[0, 0, 1]]), sizes)
    assert MergingSelector(blocks=[1]).weigh(plan, sizes).key_weights.tolist() == [[3.0, 3.0]]
    assert MergingSelector(blocks=[1], proportional=False).weigh(plan, sizes) is plan


def test_a_plan_that_keeps_all_is_left_alone():
    plan = keep_plan(torch.rand(1, 3), 3)
    assert MergingSelector(blocks=[1]).weigh(plan, torch.ones(1, 3)) is plan


def test_a_share_takes_the_place_of_a_number_for_a_while():
    selector = MergingSelector(blocks=[1], num_merged=1)
    with selector.at_keep_ratio(0.6):
        assert selector.num_kept(_View(10)) == 6
    assert selector.num_kept(_View(10)) == 9
