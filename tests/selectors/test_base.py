"""What every selector inherits."""

from __future__ import annotations

import pytest
import torch

from bus_toolkit.selectors.random import RandomSelector
from bus_toolkit.selectors.view import BlockView
from tests.tiny import WIDTH, block_view


def view(batch: int = 3) -> BlockView:
    patches = torch.randn(batch, 10, WIDTH)
    return block_view(patches)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"blocks": []}, "different block numbers from 1 on"),
        ({"blocks": [0]}, "different block numbers from 1 on"),
        ({"blocks": [2, 2]}, "different block numbers from 1 on"),
        ({"blocks": [1], "fuse": "mean"}, "fuse: must be one of none, normalized, raw"),
        ({"blocks": [1], "keep_ratio": 1.2}, r"must be in \(0, 1\]"),
    ],
)
def test_bad_arguments_are_refused(kwargs: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RandomSelector(**kwargs)  # type: ignore[arg-type]


def test_the_ratio_follows_its_schedule_and_ends_where_evaluation_is() -> None:
    selector = RandomSelector(blocks=[1], keep_ratio={"start": 1.0, "end": 0.5, "epochs": 2, "shape": "linear"})
    assert selector.keep_ratio == 0.5
    selector.set_progress(1.0)
    assert selector.num_kept(view()) == 7
    selector.set_progress(5.0)
    assert selector.num_kept(view()) == 5


def test_random_draws_again_in_training_and_repeats_in_eval_mode() -> None:
    selector = RandomSelector(blocks=[1])
    assert not torch.equal(selector(view())[1], selector(view())[1])
    selector.eval()
    one, three = selector(view(1))[0], selector(view(3))[0]
    assert torch.equal(one.slots.expand(3, -1), three.slots)


def test_another_ratio_holds_as_long_as_it_is_asked_for() -> None:
    selector = RandomSelector(blocks=[1], keep_ratio=0.5)
    with pytest.raises(KeyError), selector.at_keep_ratio(0.2):
        assert selector.num_kept(view()) == 2
        raise KeyError
    assert selector.num_kept(view()) == 5
