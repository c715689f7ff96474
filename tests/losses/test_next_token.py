"""The loss of language models."""

from __future__ import annotations

import math

import pytest
import torch

from bus_toolkit.losses.next_token import checked_smoothing, next_token_loss

IDS = torch.tensor([[2, 5, 3], [2, 6, 0]])


def test_each_place_is_asked_for_the_token_after_it() -> None:
    logits = 40.0 * torch.nn.functional.one_hot(IDS.roll(-1, dims=1), 8).float()
    assert next_token_loss(logits, IDS, torch.ones(2, 2)) < 1e-6


def test_by_hand() -> None:
    # Even logits cost log 8 a token; one token of probability 1/2 costs log 2. Weights 3 and 1.
    logits = torch.zeros(2, 3, 8)
    logits[0, 0, 5] = math.log(7.0)
    weights = torch.tensor([[3.0, 1.0], [0.0, 0.0]])
    expected = (3 * math.log(2) + math.log(8)) / 4
    torch.testing.assert_close(next_token_loss(logits, IDS, weights), torch.tensor(expected))


def test_smoothing_asks_for_a_share_of_every_token() -> None:
    logits = torch.zeros(2, 3, 8)
    logits[..., 5] = math.log(7.0)
    weights = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    # 0.8 of the target is token 5 (p = 1/2), 0.2 is spread evenly over it and seven others (p = 1/14).
    expected = 0.8 * math.log(2) + 0.2 * (math.log(2) + 7 * math.log(14)) / 8
    torch.testing.assert_close(next_token_loss(logits, IDS, weights, 0.2), torch.tensor(expected))


@pytest.mark.parametrize("share", [-0.1, 1.0, 10.0, math.nan])
def test_smoothing_outside_its_range_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match=rf"label_smoothing: must be in \[0, 1\), got {share}"):
        checked_smoothing(share)
