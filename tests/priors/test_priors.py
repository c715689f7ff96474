"""Scores of tokens become attention logits: what each prior takes, and what it leaves at 0."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from bus_toolkit.analysis.macs import count_macs
from bus_toolkit.errors import ComponentError
from bus_toolkit.priors import FusionPrior, SelectorScorePrior, TextScorePrior
from bus_toolkit.selectors.text_semantic import TextSemanticPatchSelector
from bus_toolkit.structures import TextTokens, VisualTokens
from tests.tiny import WIDTH, block_view, text_tokens

LOWEST = torch.finfo(torch.float32).min


def visual(scores: Tensor | None = None, *, logits: bool = True, unread: Tensor | None = None) -> VisualTokens:
    """Return 2 images of one prefix token and 4 others."""
    embeds = torch.randn(2, 5, WIDTH, generator=torch.Generator().manual_seed(0))
    return VisualTokens(embeds, 1, (2, 2), scores=scores, unread=unread, scores_are_logits=logits)


def test_logits_of_a_selector_are_scaled_and_what_has_no_score_gets_nothing() -> None:
    scores = torch.tensor([[4.0, -2.0, 0.5, LOWEST], [1.0, 6.0, -8.0, LOWEST]], requires_grad=True)
    prior = SelectorScorePrior(initial_scale=0.5)
    out = prior(text_tokens(2), visual(scores))
    expected = torch.tensor([[0.0, 2.0, -1.0, 0.25, 0.0], [0.0, 0.5, 3.0, -4.0, 0.0]])
    torch.testing.assert_close(out, expected)
    out.sum().backward()
    assert scores.grad.tolist() == [[0.5, 0.5, 0.5, 0.0]] * 2  # the selector learns through it
    torch.testing.assert_close(prior.scale.grad, torch.tensor(1.5))  # 4 - 2 + 0.5 + 1 + 6 - 8


def test_other_scores_are_brought_to_one_range_over_the_tokens_that_are_read() -> None:
    shares = torch.tensor([[0.01, 0.03, 0.02, 0.9], [0.2, 0.2, 0.2, 0.2]])
    unread = torch.tensor([[False, False, False, False, True], [False] * 5])
    out = SelectorScorePrior(initial_scale=1.0)(text_tokens(2), visual(shares, logits=False, unread=unread))
    # Mean 0.02 and deviation sqrt(2 / 3) / 100 of the first three; equal scores say nothing.
    torch.testing.assert_close(
        out[0], torch.tensor([0.0, -math.sqrt(1.5), math.sqrt(1.5), 0.0, 0.0]), atol=1e-4, rtol=0
    )
    torch.testing.assert_close(out[1], torch.zeros(5), atol=1e-2, rtol=0)


def test_half_precision_scores_of_fused_tokens_do_not_become_infinite() -> None:
    scores = torch.tensor([[1.0, 2.0, 3.0, torch.finfo(torch.bfloat16).min]] * 2, dtype=torch.bfloat16)
    for logits in (True, False):
        out = SelectorScorePrior()(text_tokens(2), visual(scores, logits=logits))
        assert torch.isfinite(out).all() and out[:, 4].eq(0).all()


def test_a_pass_in_which_nothing_selected_has_no_prior() -> None:
    assert SelectorScorePrior()(text_tokens(2), visual()).tolist() == [[0.0] * 5] * 2


def test_the_scorer_of_a_prior_is_that_of_the_selector() -> None:
    torch.manual_seed(0)
    prior = TextScorePrior(embed_dim=WIDTH, text_dim=WIDTH, initial_scale=2.0)
    selector = TextSemanticPatchSelector(blocks=[1], embed_dim=WIDTH, text_dim=WIDTH, interaction="product")
    selector.load_state_dict({name: value for name, value in prior.state_dict().items() if name != "scale"})
    tokens, text = visual(), text_tokens(2)
    expected = selector.score(block_view(tokens.embeds[:, 1:], text))
    torch.testing.assert_close(prior(text, tokens), torch.cat([torch.zeros(2, 1), 2.0 * expected], dim=1))


def test_bad_settings_and_scores_are_refused() -> None:
    with pytest.raises(ValueError, match="initial_scale: must be a finite number, got inf"):
        SelectorScorePrior(initial_scale=math.inf)

    class WithPrefix(FusionPrior):
        def token_scores(self, text: TextTokens, visual: VisualTokens) -> Tensor:
            return visual.embeds[:, :, 0]

    with pytest.raises(ComponentError, match=r"model.prior: WithPrefix.token_scores must .* \(2, 4\), got \(2, 5\)"):
        WithPrefix()(text_tokens(2), visual())


@pytest.mark.parametrize("rows", [[1, 0, 0, 1], [1, 0, 1]])
def test_images_of_pairs_in_any_order_are_scored_under_the_text_of_the_pair(rows: list[int]) -> None:
    scores = torch.tensor([[4.0, -2.0, 0.5, 1.0], [1.0, 6.0, -8.0, 0.0]])
    text, tokens, order = text_tokens(len(rows)), visual(scores), torch.tensor(rows)
    for prior in (TextScorePrior(embed_dim=WIDTH, text_dim=WIDTH), SelectorScorePrior()):
        torch.testing.assert_close(prior(text, tokens.paired(order)), prior(text, tokens.index(order)))


def test_texts_of_one_image_share_what_no_text_changes() -> None:
    torch.manual_seed(0)
    prior = TextScorePrior(embed_dim=WIDTH, text_dim=WIDTH)
    tokens, text = visual(), text_tokens(6)
    alone = replace(tokens, embeds=tokens.embeds.repeat_interleave(3, dim=0))
    torch.testing.assert_close(prior(text, tokens.repeat_each(3)), prior(text, alone))
    shared, own = (count_macs(lambda seen=seen: prior(text, seen)) for seen in (tokens.repeat_each(3), alone))
    assert own - shared == 4 * 4 * WIDTH**2  # the first layer on 4 tokens of 4 images fewer
