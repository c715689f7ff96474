"""The contract of a patch selector: it sees the patches, the text and a lazy view of its block, and returns a plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from bus_toolkit.errors import ComponentError, describe
from bus_toolkit.ops.make_plans import keep_marked, keep_plan, num_kept
from bus_toolkit.ops.schedule import KeepRatioSchedule
from bus_toolkit.ops.token_plan import TokenPlan
from bus_toolkit.selectors.view import BlockView
from bus_toolkit.structures import Decision, LearnsFrom

Site = Literal["before_block", "inside_block", "after_block"]
Fuse = Literal["none", "normalized", "raw"]


class PatchSelector(nn.Module):
    """Base of all selectors; a subclass gives ``score`` and, where it fuses by them, ``fuse_weights``.

    Class attributes: ``site``, where it acts; ``needs_text``; ``supervised``, whether its scores are logits that a
    patch-text head may train, and ``learns_from``, on which boxes; ``ranks``, whether a later part may take the scores
    for an order of importance;
    ``reads_block``, whether it asks for the inside of its block, which a backbone taken as a whole does not show;
    ``needs_class_token``, whether nothing can replace the class token; ``needs_word_stream``, whether it reads how
    words attend to patches, which only a single-stream model has in its blocks; ``needs_boxes``, whether it reads
    ``text.named_cover``, which is the answer; ``needs_whole_grid``, whether it works on the grid of all patches: it has
    one block then, and comes first.

    A selector with parameters of a width sets ``embed_dim`` (of the patches) and ``text_dim`` (of the texts): backbones
    and texts of another width are then refused by name.

    Goes into ``model.selectors`` (a list). One entry is one set of parameters, used at each of its blocks.

    Args:
        blocks: Backbone blocks to sit at, counted from 1.
        keep_ratio: Share of the candidates kept, in (0, 1]; a number or ``{start, end, epochs, shape}``.
        fuse: What becomes of the others: ``none`` drops them, ``normalized`` and ``raw`` add one token, their weighted
            sum.

    Raises:
        ValueError: A block below 1, none at all or the same twice, several for one that needs the whole grid, a bad
            ratio, an unknown ``fuse``.
    """

    site: ClassVar[Site] = "after_block"
    needs_text: ClassVar[bool] = False
    supervised: ClassVar[bool] = False
    learns_from: ClassVar[LearnsFrom] = LearnsFrom.NAMED
    ranks: ClassVar[bool] = True
    reads_block: ClassVar[bool] = False
    needs_class_token: ClassVar[bool] = False
    needs_word_stream: ClassVar[bool] = False
    needs_boxes: ClassVar[bool] = False
    needs_whole_grid: ClassVar[bool] = False
    embed_dim: int | None = None
    text_dim: int | None = None

    def __init__(
        self, *, blocks: Sequence[int], keep_ratio: float | Mapping[str, Any] = 0.5, fuse: Fuse = "none"
    ) -> None:
        super().__init__()
        if isinstance(blocks, int):
            raise ValueError(f"blocks: must be a list of block numbers, got {blocks}. Write blocks=[{blocks}].")
        if not blocks or min(blocks) < 1 or len(set(blocks)) != len(blocks):
            raise ValueError(f"blocks: must be different block numbers from 1 on, got {list(blocks)}.")
        if self.needs_whole_grid and len(blocks) > 1:
            raise ValueError(
                f"blocks: must be one block, got {list(blocks)}. {type(self).__name__} works on the grid of all "
                "patches, which are not there after its first selection. Name one block, or use another selector."
            )
        if fuse not in ("none", "normalized", "raw"):
            raise ValueError(f"fuse: must be one of none, normalized, raw, got {fuse!r}.")
        self.blocks = sorted(blocks)
        self.schedule = KeepRatioSchedule.parse(keep_ratio)
        self.keep_ratio = self.schedule.end
        self.fuse = fuse

    def set_progress(self, epoch: float) -> None:
        """Set the keep ratio that holds at ``epoch`` (fractions count); a fresh selector uses the final one."""
        self.keep_ratio = self.schedule.at(epoch)

    @contextmanager
    def at_keep_ratio(self, keep_ratio: float) -> Iterator[None]:
        """Keep this share, in (0, 1], at each of its blocks as long as the ``with`` lasts.

        A subclass that can be given something else than one share sets that aside, too.
        """
        before, self.keep_ratio = self.keep_ratio, keep_ratio
        try:
            yield
        finally:
            self.keep_ratio = before

    def last_block_read(self, block: int) -> int:
        """Return the last block whose weights it reads to decide at ``block``; here that block itself."""
        return block

    def score(self, view: BlockView) -> Tensor:
        """Return the ranking score (B, N) of each candidate; higher is kept."""
        raise NotImplementedError(f"{type(self).__name__} has no score(view), and no forward(view) of its own.")

    def score_without_text(self, view: BlockView) -> Tensor:
        """Return the scores (B, N) of a text-aware selector in a pass without text.

        The CLS attention picks, as in EViT (youweiliang/evit:evit.py); that it is used here is our choice.
        """
        return view.inside.cls_attention()

    def fuse_weights(self, scores: Tensor) -> Tensor | None:
        """Return non-negative weights (B, N) for the fused token; ``None`` means equal ones."""
        return None

    def ranking(self, scores: Tensor) -> Tensor:
        """Return the numbers (B, N) by which candidates are chosen; here the scores. Others read the scores alone."""
        return scores

    def marked(self, scores: Tensor) -> Tensor | None:
        """Return which candidates stay, bool (B, N), for a selector that keeps as many as each image needs.

        ``num_kept`` is the room for them then: an image with fewer marks keeps fewer tokens that are read, one with
        more keeps the best. Here ``None``: as many as ``num_kept`` says stay in each image.
        """
        return None

    def num_kept(self, view: BlockView) -> int:
        """Return how many candidates stay; here a share of those present."""
        return num_kept(view.patches.shape[1], self.keep_ratio)

    def num_left(self, view: BlockView) -> int:
        """Return how many tokens come out: those that stay and, where the others are fused, one more.

        In training a selector may leave more. What reads the tokens is checked against this when a model is built, with
        a view that has shapes and no numbers.
        """
        kept = self.num_kept(view)
        return kept + int(self.fuse != "none" and kept < view.patches.shape[1])

    def forward(self, view: BlockView) -> Decision:
        """Plan the reduction.

        Raises:
            ComponentError: ``score``, ``fuse_weights`` or ``ranking`` returns anything but a number for each candidate.
        """
        if self.needs_text and view.text is None:
            scores, supervised = self.score_without_text(view), False
            weights: Tensor | None = scores
            ranked_by = scores
        else:
            scores, supervised = self._one_each("score", self.score(view), view), self.supervised
            weights = self.fuse_weights(scores)
            if weights is not None:
                weights = self._one_each("fuse_weights", weights, view)
            ranked_by = self._one_each("ranking", self.ranking(scores), view)
        marked = self.marked(ranked_by)
        if marked is not None:
            plan = self._keep_marked(ranked_by, marked, self.num_kept(view))
        else:
            plan = keep_plan(
                ranked_by,
                self.num_kept(view),
                fuse=self.fuse != "none",
                fuse_weights_BN=weights,
                normalize=self.fuse == "normalized",
            )
        return Decision(plan, scores, supervised, learns_from=self.learns_from)

    def _keep_marked(self, ranked_by: Tensor, marked: Tensor, room: int) -> TokenPlan:
        if self.fuse != "none":
            raise ComponentError(
                f"model.selectors: {type(self).__name__}.marked chooses what stays, which cannot be fused, got fuse: "
                f"{self.fuse}. Set fuse: none."
            )
        if marked.shape != ranked_by.shape or marked.dtype != torch.bool:
            raise ComponentError(
                f"model.selectors: {type(self).__name__}.marked must return bool (B, N) = {tuple(ranked_by.shape)}, "
                f"got {describe(marked)}. Compare the scores with a threshold."
            )
        return keep_marked(ranked_by, marked, room)

    def _one_each(self, method: str, numbers: Tensor, view: BlockView) -> Tensor:
        """Return what a method of a subclass gave, if it is one number for each candidate."""
        wanted = tuple(view.patches.shape[:2])
        if not isinstance(numbers, Tensor) or numbers.shape != wanted:
            got = tuple(numbers.shape) if isinstance(numbers, Tensor) else describe(numbers)
            raise ComponentError(
                f"model.selectors: {type(self).__name__}.{method} must return one number for each candidate, (B, N) = "
                f"{wanted}, got {got}. A linear layer to one number leaves a last axis: .squeeze(-1)."
            )
        return numbers

    def extra_repr(self) -> str:
        """Show the settings in ``print(model)``."""
        return f"blocks={self.blocks}, keep_ratio={self.keep_ratio}, fuse={self.fuse}, site={self.site}"


def decision_of(selector: PatchSelector, view: BlockView) -> Decision:
    """Return what a selector decides on a view.

    Raises:
        ComponentError: It returns anything but a ``Decision`` with a score for each candidate.
    """
    decision = selector(view)
    if not isinstance(decision, Decision):
        raise ComponentError(
            f"model.selectors: {type(selector).__name__}.forward must return a Decision, got "
            f"{type(decision).__name__}. Return bus_toolkit.structures.Decision(plan, scores)."
        )
    if decision.scores.shape != view.patches.shape[:2]:
        raise ComponentError(
            f"model.selectors: {type(selector).__name__}.forward must return a score for each candidate, (B, N) = "
            f"{tuple(view.patches.shape[:2])}, got {tuple(decision.scores.shape)}. Give Decision.scores that shape."
        )
    return decision
