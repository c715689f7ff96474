"""Contrast and matching on two ranks under every conditioning mode, against one process that has all rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
import torch.distributed as dist

from bus_toolkit.heads import ITCHead, ITMHead, MLMHead, PrefixLMHead, VLPHead
from bus_toolkit.models import VLPModel
from tests.conftest import TwoRanks
from tests.ledger import counted_collectives
from tests.tiny import WIDTH, images
from tests.tiny_model import LETTERS, sample, tiny_model

TEXTS = ("abcd", "ef", "ghijklmno", "lmn", "opqrst", "u", "vw", "x")


@dataclass
class Case:
    """A model, and what of it is exchanged."""

    mode: str = "shared"
    unpruned: bool = False
    itc: dict[str, Any] = field(default_factory=dict)
    itm: dict[str, Any] = field(default_factory=dict)
    texts: int = 1

    def model(self) -> VLPModel:
        heads: dict[str, VLPHead] = {
            "itc": ITCHead(embed_dim=WIDTH, text_dim=WIDTH, feature_dim=16, **self.itc),
            "itm": ITMHead(text_dim=WIDTH, **self.itm),
        }
        if self.mode == "masked":
            heads["mlm"] = MLMHead(text_dim=WIDTH, vocabulary=LETTERS)
        if self.mode == "own_prefix":
            heads["prefix_lm"] = PrefixLMHead()
        momentum = {"decay": 0.9} if self.itc.get("queue_size") else None
        model = tiny_model(self.mode, heads=heads, selectors=[] if self.unpruned else None, momentum=momentum)
        return model.double()

    def batch(self, ranks: slice) -> tuple[torch.Tensor, list]:
        rows = [sample(text, row // self.texts) for row, text in enumerate(TEXTS)]
        by_image = [rows[start : start + self.texts] for start in range(0, len(rows), self.texts)]
        return images(len(by_image)).double()[ranks], [row for own in by_image[ranks] for row in own]


CASES = {
    "ALBEF-like": Case(unpruned=True, itc={"queue_size": 6}),
    "ALBEF-like, several texts": Case(unpruned=True, texts=2),
    "masked": Case("masked"),
    "own_prefix": Case("own_prefix"),
    "free_itc": Case("free_itc", texts=2),
    "strict": Case("strict"),
    "sigmoid": Case("shared", itc={"form": "sigmoid"}),
}
LOCAL = Case("strict", itm={"negatives": "local"})


def losses_and_gradient(case: Case, ranks: slice) -> tuple[dict[str, float], torch.Tensor]:
    torch.manual_seed(0)
    model = case.model()
    total, logged = model.parse_losses(model.loss(*case.batch(ranks)))
    total.backward()
    gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    return {name: value.item() for name, value in logged.items()}, gradient


def results_of_rank(rank: int) -> list[tuple[dict[str, float], torch.Tensor]]:
    results = []
    for case in CASES.values():
        logged, gradient = losses_and_gradient(case, slice(rank, None, 2))
        dist.all_reduce(gradient)  # what DDP does
        results.append((logged, gradient / 2))
    return results


def test_two_ranks_equal_one_process(two_ranks: TwoRanks) -> None:
    for name, (logged, gradient) in zip(CASES, two_ranks(results_of_rank)[0], strict=True):
        expected, expected_gradient = losses_and_gradient(CASES[name], slice(None))
        assert logged == pytest.approx(expected, abs=1e-6), name  # the noise of words is float32
        torch.testing.assert_close(gradient, expected_gradient, atol=1e-8, rtol=1e-6, msg=name)


def local_losses(rank: int) -> tuple[float, list[str]]:
    torch.manual_seed(0)
    model = LOCAL.model()
    with counted_collectives() as ledger:
        loss = model.loss(*LOCAL.batch(slice(rank, None, 2)))["loss_itm"]
        loss.backward()
    return loss.item(), [name for name, _ in ledger]


def test_local_negatives_are_a_ranks_own_rows_and_nothing_of_them_travels(two_ranks: TwoRanks) -> None:
    for loss, collectives in two_ranks(local_losses):
        assert "all_to_all" not in collectives and loss > 0
    with pytest.raises(ValueError, match="negatives: must be global or local, got 'all'"):
        ITMHead(text_dim=WIDTH, negatives="all")
