"""The look-ahead selector of ELIP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from torch import Tensor
from typing_extensions import override

from bus_toolkit.ops.make_plans import num_kept
from bus_toolkit.ops.schedule import KeepRatioSchedule
from bus_toolkit.selectors.base import Fuse, PatchSelector, Site
from bus_toolkit.selectors.view import BlockView
from bus_toolkit.selectors.widths import check_widths


class LookAheadSelector(PatchSelector):
    """Rank patches by the CLS attention a few blocks ahead, the text mixed into the CLS token (``ELIP``).

    Before a block, it and the next ones run once more without gradient, the CLS token replaced by ``0.8 cls + 0.2 t``;
    the mean-head CLS attention of the last of them ranks the patches. The best are kept in positional order, the rest
    become one token, weighted by that attention (arXiv 2309.16738; guoyang9/ELIP:ALBEF/models/vit.py, which this
    follows exactly). The real CLS token never meets the text, nothing is trained here, and the text gets no gradient.
    Ratios are shares of the ORIGINAL patches. ELIP's forward pass costs more than the unpruned one (10 of 12 blocks
    run twice); what it saves is activation memory and some of the backward pass.

    Goes into ``model.selectors``. Its ALBEF, BLIP and CLIP backbones use ``blocks: [3, 5, 11], look_ahead: [2, 6, 2],
    keep_ratio: [0.9, 0.65, 0.4]``; METER's (11 blocks) ``[3, 5, 10]``, ``[2, 5, 2]``, ``[0.9, 0.7, 0.45]``.

    Args:
        blocks: Backbone blocks before which it acts, counted from 1.
        embed_dim: Width D of the visual tokens; filled in from the backbone.
        text_dim: Width of the text [CLS]; filled in from the text encoder. Must equal D.
        keep_ratio: Share of the original patches kept, in (0, 1]: one a block, or one value or schedule for all.
        look_ahead: Blocks to run ahead, 1 or more: one number a block, or one for all.
        text_weight: Share of the text in the CLS token that looks ahead, in [0, 1].
        fuse: ``normalized`` (ELIP), ``raw`` or ``none``.

    Raises:
        ValueError: Unequal widths, lists of another length than ``blocks``, or a value outside its range.
    """

    site: ClassVar[Site] = "before_block"
    needs_text: ClassVar[bool] = True
    needs_class_token: ClassVar[bool] = True
    reads_block: ClassVar[bool] = True

    def __init__(
        self,
        *,
        blocks: Sequence[int],
        embed_dim: int,
        text_dim: int,
        keep_ratio: float | Mapping[str, Any] | Sequence[float] = 0.5,
        look_ahead: int | Sequence[int] = 2,
        text_weight: float = 0.2,
        fuse: Fuse = "normalized",
    ) -> None:
        ratios = _one_a_block("keep_ratio", keep_ratio, blocks)
        last: Any = ratios[max(blocks)] if ratios else keep_ratio
        super().__init__(blocks=blocks, keep_ratio=last, fuse=fuse)
        check_widths(embed_dim, text_dim, "the text [CLS] is mixed into the visual one")
        self.stage_ratios = {block: KeepRatioSchedule.parse(ratio).end for block, ratio in ratios.items()}
        self.look_ahead = _one_a_block("look_ahead", look_ahead, blocks) or {block: look_ahead for block in blocks}
        if min(self.look_ahead.values()) < 1 or not 0.0 <= text_weight <= 1.0:
            raise ValueError(
                f"look_ahead and text_weight: must be 1 or more blocks and a share in [0, 1], got {look_ahead} and "
                f"{text_weight}."
            )
        self.text_weight = text_weight
        self.embed_dim, self.text_dim = embed_dim, text_dim

    @override
    def last_block_read(self, block: int) -> int:
        return block + self.look_ahead[block] - 1

    @override
    @contextmanager
    def at_keep_ratio(self, keep_ratio: float) -> Iterator[None]:
        stages, self.stage_ratios = self.stage_ratios, {}
        try:
            with super().at_keep_ratio(keep_ratio):
                yield
        finally:
            self.stage_ratios = stages

    def score(self, view: BlockView) -> Tensor:
        """Return the attention (B, N) that the mixed CLS token pays ahead, without gradient."""
        assert view.text is not None
        # A copy: the real CLS token must not meet the text.
        prefix = view.prefix.detach().clone()
        prefix[:, 0] = (1.0 - self.text_weight) * prefix[:, 0] + self.text_weight * view.text.pooled.detach()
        return view.inside.look_ahead(prefix, self.look_ahead[view.block])

    def fuse_weights(self, scores: Tensor) -> Tensor:
        """Weigh each patch of the fused token by that attention."""
        return scores

    def num_kept(self, view: BlockView) -> int:
        """Return the share of the original patches, as far as so many candidates are left."""
        ratio = self.stage_ratios.get(view.block, self.keep_ratio)
        return min(num_kept(view.num_original, ratio), view.patches.shape[1])


def _one_a_block(name: str, value: Any, blocks: Sequence[int]) -> dict[int, Any]:
    """Return block to value for a list, nothing for a single value."""
    if not isinstance(value, Sequence):
        return {}
    if len(value) != len(blocks):
        raise ValueError(f"{name}: a list must have one value a block, got {list(value)} for blocks {list(blocks)}.")
    return dict(zip(blocks, value, strict=True))
