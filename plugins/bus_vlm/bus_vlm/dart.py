"""DART: what is a duplicate of a pivot goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from bus_toolkit.ops import at_least_float32, gather_tokens
from bus_toolkit.selectors import BlockView, PatchSelector, Site, check_widths
from bus_toolkit.structures import TextTokens
from bus_vlm.greedy import cosines, scores_of_order


class DARTSelector(PatchSelector):
    """Keep a few pivots and what is least like them (``DART``).

    arXiv 2502.11494; ZichenWen1/DART:llava/model/language_model/modeling_llama_self.py (read in a public copy). After
    layer 2 of the language model the visual tokens whose keys have the largest L1 norm are pivots and stay; so many
    words are pivots, too. One after the other, each pivot takes the tokens with the lowest cosine to its state among
    those not taken yet, as many as any other pivot.

    Ours: visual pivots come before words, each by falling norm (there in the order of a Python set); exactly the share
    that ``keep_ratio`` says stays, and what does not divide goes to the first pivots; words are ranked by the norm of
    their states, since selectors do not see their keys, and fewer words than pivots count again; states are compared
    without the model's last norm. Without a text there are visual pivots alone. The scores say when a token was taken.
    In ``reduce_tokens(model, selectors=...)`` it acts where it is published. Goes into ``model.selectors``.

    Args:
        blocks: Layers or blocks to sit in, counted from 1.
        keep_ratio: Share of the candidates kept, pivots included, in (0, 1], or a schedule.
        num_pivots: Visual pivots, 1 or more.
        num_word_pivots: Words that are pivots, 0 or more.

    Raises:
        ValueError: Too few pivots.
    """

    site: ClassVar[Site] = "inside_block"
    needs_text: ClassVar[bool] = True
    ranks: ClassVar[bool] = False
    reads_block: ClassVar[bool] = True

    def __init__(
        self,
        *,
        blocks: Sequence[int],
        keep_ratio: float | Mapping[str, Any] = 0.5,
        num_pivots: int = 4,
        num_word_pivots: int = 4,
    ) -> None:
        super().__init__(blocks=blocks, keep_ratio=keep_ratio)
        if num_pivots < 1 or num_word_pivots < 0:
            raise ValueError(
                f"num_pivots and num_word_pivots: must be 1 or more and 0 or more, got {num_pivots} and "
                f"{num_word_pivots}."
            )
        self.num_pivots, self.num_word_pivots = num_pivots, num_word_pivots

    @torch.no_grad()
    def score(self, view: BlockView) -> Tensor:
        """Return 1 for the first pivot, falling to 0 for tokens never taken, (B, N).

        Raises:
            ValueError: Text and patches of unequal widths.
        """
        count = self.num_kept(view)
        norms = at_least_float32(view.inside.keys()).abs().sum(dim=(2, 3))  # (B, N, H, E) -> (B, N)
        pivots = _largest(norms, min(self.num_pivots, count))
        asking = gather_tokens(view.patches, pivots)
        if view.text is not None and self.num_word_pivots:
            check_widths(view.patches.shape[2], view.text.embeds.shape[2])
            asking = torch.cat([asking, _pivot_words(view.text, self.num_word_pivots).to(asking.dtype)], dim=1)
        likeness = cosines(asking, view.patches)  # (B, P, N)
        taken = torch.zeros_like(norms, dtype=torch.bool).scatter(1, pivots, True)
        order = [pivots]
        for number, quota in enumerate(_shares(count - pivots.shape[1], asking.shape[1])):
            # Stable, so that equally unlike tokens come by their index; those taken come last.
            found = likeness[:, number].masked_fill(taken, torch.inf).sort(dim=1, stable=True).indices[:, :quota]
            taken = taken.scatter(1, found, True)
            order.append(found)
        return scores_of_order(torch.cat(order, dim=1), norms.shape[1], norms.dtype)

    def score_without_text(self, view: BlockView) -> Tensor:
        """Return the scores (B, N) by the patches alone."""
        return self.score(view)


def _largest(numbers: Tensor, count: int) -> Tensor:
    """Return the places of the largest numbers, in falling order, (B, count); ties go to the lower index."""
    return numbers.sort(dim=1, descending=True, stable=True).indices[:, :count]


def _pivot_words(text: TextTokens, count: int) -> Tensor:
    """Return the words (B, count, D) with the largest L1 norm; the largest fills up where there are fewer."""
    norms = at_least_float32(text.embeds).abs().sum(dim=2).masked_fill(~text.attention_mask, -1.0)
    found = _largest(norms, min(count, norms.shape[1]))
    # A text of padding alone is read at its first token, as other selectors do.
    found = torch.where(norms.gather(1, found) < 0, found[:, :1], found)
    missing = found[:, :1].expand(-1, count - found.shape[1])
    return gather_tokens(text.embeds, torch.cat([found, missing], dim=1))


def _shares(total: int, parts: int) -> list[int]:
    """Return how many each part gets of a total: as many as any other, the first ones one more."""
    return [total // parts + int(number < total % parts) for number in range(parts)]
