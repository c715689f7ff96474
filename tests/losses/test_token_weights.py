"""Log-probabilities of the next tokens, and the weights of hard ones."""

from __future__ import annotations

import pytest
import torch

from bus_toolkit.losses.token_weights import difficulty_weights, next_token_log_probs


def test_each_token_is_judged_by_the_place_before_it() -> None:
    # Two entries, logits log 3 against log 1: 3/4 and 1/4. The last place predicts nothing that is there.
    logits = torch.tensor([[[3.0, 1.0], [1.0, 3.0], [9.0, 9.0]]]).log()
    log_probs = next_token_log_probs(logits, torch.tensor([[1, 0, 0]]))
    torch.testing.assert_close(log_probs.exp(), torch.tensor([[0.75, 0.25]]))


@pytest.mark.parametrize(
    ("gamma", "expected"), [(0.0, [1.0, 1.0, 1.0]), (1.0, [0.5, 0.1, 0.0]), (2.0, [0.25, 0.01, 0.0])]
)
def test_a_token_weighs_what_its_probability_leaves_to_the_power_of_gamma(gamma: float, expected: list[float]) -> None:
    log_probs = torch.tensor([[0.5, 0.9, 1.0]]).log()
    torch.testing.assert_close(difficulty_weights(log_probs, gamma), torch.tensor([expected]))


def test_probabilities_near_one_stay_apart() -> None:
    """1 - exp(-1e-9) is 0 in float32; the weights keep the ratio of 2."""
    weights = difficulty_weights(torch.tensor([-1e-9, -2e-9]), 1.0)
    torch.testing.assert_close(weights[1] / weights[0], torch.tensor(2.0))


def test_the_weights_carry_no_gradient() -> None:
    log_probs = torch.tensor([[-1.0]], requires_grad=True)
    assert not difficulty_weights(log_probs, 1.0).requires_grad
