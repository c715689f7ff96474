"""The guidance loss: values by hand, padding, gradient, and nothing to do."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from bus_cross_modal.guidance import GuidanceHead
from torch import Tensor
from torch.nn import functional as F

from bus_toolkit.structures import Guide, TextTokens
from bus_toolkit.testing import tiny_batch, tiny_model

TEXT = torch.randn(3, 5, 6, generator=torch.Generator().manual_seed(0))
ANSWERS = torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(1))


def text(embeds: Tensor = TEXT, length: int = 5) -> TextTokens:
    mask = (torch.arange(embeds.shape[1]) < length).expand(embeds.shape[:2])
    return TextTokens(embeds, embeds[:, 0], mask)


def step(*guides: Guide | None, words: TextTokens | None = None) -> Any:
    selections = [SimpleNamespace(decision=SimpleNamespace(guide=guide)) for guide in guides]
    return SimpleNamespace(text=words or text(), visual=lambda condition: SimpleNamespace(selections=selections))


def head(loss: str = "kl") -> GuidanceHead:
    torch.manual_seed(0)
    return GuidanceHead(embed_dim=4, text_dim=6, loss=loss)  # type: ignore[arg-type]


def guide() -> Guide:
    return Guide(torch.randn(2, 4, generator=torch.Generator().manual_seed(2)).requires_grad_(), ANSWERS)


def test_the_text_answers_by_the_attention_of_the_tokens() -> None:
    part, tokens = head(), guide().tokens
    states = part.text_proj(TEXT[:, :3])
    wanted = F.scaled_dot_product_attention(tokens.expand(3, -1, -1), states, states)
    torch.testing.assert_close(part.text_answers(tokens, text(length=3)), wanted)


def test_kl_is_the_divergence_of_the_mean_from_each() -> None:
    part, given = head(), guide()
    said = part.text_answers(given.tokens, text())
    total = 0.0
    for row in range(3):
        for token in range(2):
            p, q = (F.layer_norm(a[row, token], (4,)).softmax(dim=0).tolist() for a in (ANSWERS, said))
            for a, b in zip(p, q, strict=True):
                mean = (a + b) / 2
                total += mean * (math.log(mean / a) + math.log(mean / b)) / 2
    loss = part.loss(step(given)).losses["guidance"]
    assert loss.item() == pytest.approx(total / 6, rel=1e-5)


def test_cosine_is_one_minus_the_cosine() -> None:
    part, given = head("cosine"), guide()
    said = part.text_answers(given.tokens, text())
    wanted = sum(1 - F.cosine_similarity(ANSWERS[b, m], said[b, m], dim=0) for b in range(3) for m in range(2)) / 6
    torch.testing.assert_close(part.loss(step(given)).losses["guidance"], wanted)


@pytest.mark.parametrize("kind", ["kl", "cosine"])
def test_equal_answers_cost_nothing(kind: str) -> None:
    part, tokens = head(kind), guide().tokens
    same = Guide(tokens, part.text_answers(tokens, text()))
    assert part.loss(step(same)).losses["guidance"].item() == pytest.approx(0.0, abs=1e-6)


def test_guides_weigh_alike_and_others_do_not_count() -> None:
    part, one = head(), guide()
    other = Guide(one.tokens[:1], ANSWERS[:, :1] * 3)
    losses = [part.loss(step(g)).losses["guidance"] for g in (one, other)]
    torch.testing.assert_close(part.loss(step(one, None, other)).losses["guidance"], torch.stack(losses).mean())


@pytest.mark.parametrize("kind", ["kl", "cosine"])
def test_padding_is_not_asked(kind: str) -> None:
    longer = torch.cat([TEXT, 50 * torch.ones(3, 4, 6)], dim=1)
    one, two = (head(kind).loss(step(guide(), words=words)).losses["guidance"] for words in (text(), text(longer)))
    torch.testing.assert_close(one, two)


def test_a_text_of_padding_alone_does_not_count() -> None:
    part, given = head(), guide()
    words = TextTokens(TEXT, TEXT[:, 0], torch.tensor([[True] * 5, [True] * 5, [False] * 5]))
    torch.testing.assert_close(
        part.loss(step(given, words=words)).losses["guidance"], part.distance(given, text())[:2].mean()
    )


def test_without_a_guide_the_loss_is_a_zero_with_a_gradient() -> None:
    part = head()
    loss = part.loss(step(None)).losses["guidance"]
    assert loss.item() == 0.0
    loss.backward()
    assert part.text_proj.weight.grad is not None and not part.text_proj.weight.grad.any()


@pytest.mark.parametrize("selector", ["CrossGET", "MADTP"])
@pytest.mark.parametrize("kind", ["kl", "cosine"])
def test_the_loss_falls_and_trains_tokens_text_and_backbone(selector: str, kind: str) -> None:
    model = tiny_model(
        {"guidance": {"type": "GuidanceHead", "loss": kind}},
        selectors=[{"type": selector, "blocks": [2, 3], "keep_ratio": 0.6}],
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    values = []
    for _ in range(6):
        optimizer.zero_grad()
        loss = model.loss(*tiny_batch())["loss_guidance"]
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert values[-1] < 0.7 * values[0]
    tokens = next(model.backbone.selectors.parameters())
    assert (tokens.grad.abs().sum(dim=1) > 0).all()
    for part in (model.text_encoder, model.backbone.vit.layers[0]):
        assert any(p.grad is not None and p.grad.any() for p in part.parameters())


def test_an_unknown_loss_is_refused() -> None:
    with pytest.raises(ValueError, match="loss: must be one of kl, cosine, got 'l2'"):
        GuidanceHead(embed_dim=4, text_dim=6, loss="l2")  # type: ignore[arg-type]


@pytest.mark.parametrize("loss", ["kl", "cosine"])
def test_the_gradient_is_that_of_finite_differences(loss: str) -> None:
    part, words = head(loss).double(), text(TEXT.double(), length=4)

    def distance(tokens: Tensor, answers: Tensor) -> Tensor:
        return part.distance(Guide(tokens, answers), words)

    tokens = guide().tokens.detach().double().requires_grad_()
    assert torch.autograd.gradcheck(distance, (tokens, ANSWERS.double().requires_grad_()))
