"""Wrong pairs and scores of the matching head."""

from __future__ import annotations

import pytest
import torch

from bus_toolkit.heads.itm import ITMHead, match_scores
from bus_toolkit.structures import FusedTokens
from tests.tiny import WIDTH, images
from tests.tiny_model import samples, tiny_heads, tiny_model


def test_the_margin_is_the_log_odds_of_a_match() -> None:
    head = ITMHead(text_dim=WIDTH)
    text = torch.randn(3, 2, WIDTH)
    fused = FusedTokens(text, text, torch.ones(3, 2, dtype=torch.bool))
    probability = head.class_logits(fused).softmax(dim=1)[:, 1]
    torch.testing.assert_close(head.match_logits(fused).sigmoid(), probability)
    assert torch.equal(match_scores(head.class_logits(fused), "logit"), head.class_logits(fused)[:, 1])


def test_the_floor_reaches_the_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []
    monkeypatch.setattr(
        "bus_toolkit.heads.itm.sample_hard_negatives",
        lambda logits, allowed, noise, *, floor: (seen.append(floor), allowed.float().argmax(dim=1))[1],
    )
    heads = {"itc": tiny_heads()["itc"], "itm": ITMHead(text_dim=WIDTH, negative_floor=1e-4)}
    tiny_model(heads=heads).loss(images(4), samples())
    assert seen == [1e-4, 1e-4]


@pytest.mark.parametrize("value", [-1e-4, float("inf"), float("nan")])
def test_a_floor_outside_its_range_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="negative_floor: must be 0 or more, and finite, got"):
        ITMHead(text_dim=WIDTH, negative_floor=value)
