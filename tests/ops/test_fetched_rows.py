"""Rows of two ranks: fetched and gathered, against a slow obvious version that has all rows at one place."""

from __future__ import annotations

import torch

from bus_toolkit.ops.fetched_rows import plan_fetches
from bus_toolkit.ops.gathered_rows import gather_together
from tests.conftest import TwoRanks
from tests.ledger import counted_collectives

ROWS = 3  # of a rank
# What each rank asks for, by global number: own rows, the same one twice, rows of the other, none of the other.
WANTED = (torch.tensor([0, 5, 5, 1, 2]), torch.tensor([4, 1, 3, 5, 4]))
NOT_ASKED_FOR = (torch.tensor([0, 2, 4, 0, 0]), torch.tensor([1, 1, 1, 3, 5]))


def all_rows(dtype: torch.dtype = torch.float64) -> dict[str, torch.Tensor]:
    """Return the tables of both ranks in global order."""
    numbers = torch.arange(2.0 * ROWS, dtype=dtype)
    tokens = (numbers[:, None, None] * 10 + torch.arange(4.0, dtype=dtype).view(2, 2)).requires_grad_()
    marks = (torch.arange(2 * ROWS)[:, None] + torch.arange(3)) % 2 > 0
    return {"tokens": tokens, "marks": marks, "scores": numbers.sin()[:, None].float().requires_grad_()}


def weighted(rows: torch.Tensor, rank: int) -> torch.Tensor:
    """Return a loss of which each element has a gradient of its own."""
    return (rows * torch.arange(1.0 + rank, 1.0 + rank + rows.numel(), dtype=rows.dtype).view_as(rows)).sum()


def fetched_on(rank: int) -> list[torch.Tensor]:
    tables = {name: table.detach()[rank::2].requires_grad_(table.requires_grad) for name, table in all_rows().items()}
    with counted_collectives() as ledger:
        (plan, idle), (longest,) = plan_fetches([WANTED[rank], NOT_ASKED_FOR[rank]], [ROWS, ROWS], [7 + rank])
        tokens, marks, nothing, scores = plan.fetch(tables["tokens"], tables["marks"], None, tables["scores"])
        assert nothing is None and longest == 8
        assert torch.equal(idle.fetch(tables["tokens"])[0], tables["tokens"][NOT_ASKED_FOR[rank] // 2])
        (weighted(tokens, rank) + weighted(scores, rank)).backward()
    # One for the numbers, one a dtype of the first plan and of the second, and back for those with gradient.
    assert [name for name, _ in ledger] == ["all_gather", *["all_to_all"] * 5]
    return [tokens.detach(), marks, scores.detach(), tables["tokens"].grad, tables["scores"].grad]


def test_fetched_rows_and_their_gradients_are_those_of_a_table_of_all_rows(two_ranks: TwoRanks) -> None:
    tables = all_rows()
    sum(
        weighted(tables[name][wanted], rank) for rank, wanted in enumerate(WANTED) for name in ("tokens", "scores")
    ).backward()
    for rank, (tokens, marks, scores, *gradients) in enumerate(two_ranks(fetched_on)):
        assert torch.equal(tokens, tables["tokens"][WANTED[rank]])
        assert marks.dtype is torch.bool and torch.equal(marks, tables["marks"][WANTED[rank]])
        assert torch.equal(scores, tables["scores"][WANTED[rank]])
        for name, gradient in zip(("tokens", "scores"), gradients, strict=True):
            assert torch.equal(gradient, tables[name].grad[rank::2])


def gathered_on(rank: int) -> list[torch.Tensor]:
    own = {name: table.detach()[rank::2].requires_grad_(table.requires_grad) for name, table in all_rows().items()}
    own["ids"] = torch.tensor([2**62 + rank, -3, 2**40 + rank])
    with counted_collectives() as ledger:
        rows = gather_together(list(own.values()))
        (weighted(rows[0], rank) + weighted(rows[2], rank)).backward()
    assert [name for name, _ in ledger] == ["all_gather", "reduce_scatter"]
    return [*(part.detach() for part in rows), own["tokens"].grad, own["scores"].grad]


def test_gathered_rows_of_any_dtype_take_one_collective_and_their_gradients_one(two_ranks: TwoRanks) -> None:
    tables = all_rows()
    sum(weighted(tables[name], rank) for rank in range(2) for name in ("tokens", "scores")).backward()
    for rank, (tokens, marks, scores, ids, *gradients) in enumerate(two_ranks(gathered_on)):
        assert torch.equal(tokens, tables["tokens"]) and torch.equal(marks, tables["marks"])
        assert torch.equal(scores, tables["scores"])
        assert ids.tolist() == [2**62, 2**62 + 1, -3, -3, 2**40, 2**40 + 1]
        for name, gradient in zip(("tokens", "scores"), gradients, strict=True):
            torch.testing.assert_close(gradient, tables[name].grad[rank::2])
