"""Images and texts of pairs whose halves may be on other ranks: what a pair needs travels, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from bus_toolkit.ops.collective import world_size
from bus_toolkit.ops.fetched_rows import RowPlan, plan_fetches
from bus_toolkit.structures import SharedTokens, TextTokens, VisualTokens


@dataclass(frozen=True)
class PairExchange:
    """Where the halves of R pairs are.

    Attributes:
        images: The rows that pairs need of what there is once an image, or once a row.
        texts: Those that they need of texts.
        captions: This rank's encoded texts, as long as the longest of all ranks.
    """

    images: RowPlan
    texts: RowPlan
    captions: TextTokens

    @classmethod
    def of(cls, captions: TextTokens, images: Tensor, texts: Tensor, *, num_images: int, local: bool) -> PairExchange:
        """Let the ranks know which rows each needs.

        Args:
            captions: This rank's encoded texts (B, L, D).
            images: int64 (R,), numbers of images, or of the rows that show them, as they are gathered.
            texts: int64 (R,), numbers of rows.
            num_images: Of how many images, or rows, this rank has tokens.
            local: All numbers are of this rank's own.
        """
        if local:
            return cls(RowPlan(images // world_size()), RowPlan(texts // world_size()), captions)
        counts = [num_images, captions.embeds.shape[0]]
        (of_images, of_texts), (longest,) = plan_fetches([images, texts], counts, [captions.embeds.shape[1]])
        return cls(of_images, of_texts, captions.padded(longest))

    def text(self) -> TextTokens:
        """Return the text of each pair (R, L, D), whose vector is its first token."""
        own = self.captions
        embeds, mask, cover = self.texts.fetch(own.embeds, own.attention_mask, own.named_cover)
        return TextTokens(embeds, embeds[:, 0], mask, cover)

    def shared(self, shared: SharedTokens) -> SharedTokens:
        """Return the image of each pair before the first selector."""
        tokens, block_input = self.images.fetch(shared.tokens, shared.block_input)
        return replace(shared, tokens=tokens, block_input=block_input)

    def visual(self, visual: VisualTokens, *, with_scores: bool) -> VisualTokens:
        """Return the image of each pair as it is in all its pairs, with what a prior reads of it."""
        scores = visual.scores if with_scores else None
        embeds, unread, scores = self.images.held(visual.embeds, visual.unread, scores)
        is_logits = visual.scores_are_logits and scores is not None
        held = VisualTokens(
            embeds, visual.num_prefix, visual.grid, unread=unread, scores=scores, scores_are_logits=is_logits
        )
        return held.paired(self.images.index)
