"""The text-guided attention of TRIPS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from bus_toolkit.ops.precision import at_least_float32
from bus_toolkit.selectors.base import Fuse, PatchSelector, Site
from bus_toolkit.selectors.view import BlockView
from bus_toolkit.selectors.widths import check_widths


class TextGuidedAttentionSelector(PatchSelector):
    """Let the text [CLS] attend to the patches inside a block, by the block's own query weights (``TRIPS``).

    ``q = W_Q t``, ``a = softmax(q . y_i / sqrt(D))`` over the patches ``y_i``, between attention and feed-forward part;
    the best stay, the rest become one token weighted by ``a``. TRIPS (arXiv 2305.04474, abstract) states the layers
    inside the backbone, the fused token and that no parameters are added; the shared query projection, blocks 5 and 10
    and the ratio 0.7 are from a third party's reading note (Lotaliz/Contrail), whose cost table they explain. The rest
    is open and has options here; the defaults are our choice. Goes into ``model.selectors``.

    Args:
        blocks: Backbone blocks to sit in, counted from 1.
        embed_dim: Width D of the visual tokens; filled in from the backbone.
        text_dim: Width of the text [CLS]; filled in from the text encoder. Must equal D.
        keep_ratio: Share of the candidates kept, in (0, 1], or a schedule.
        fuse: ``normalized``, ``raw`` or ``none``.
        compare_with: What the query meets: the ``outputs`` of the attention, these ``normed`` (as a third party's
            remnant does, sdc17/CrossGET:CLIP/clip/model.py), or the block's ``keys``.
        per_head: Softmax in each head, then the mean, instead of one over the whole width.
        cls_share: Share of the image's own CLS attention in the score, in [0, 1].
        detach_fused: Whether the fused token's weights carry no gradient to the text and ``W_Q``.

    Raises:
        ValueError: Unequal widths, or a value outside its range.
    """

    site: ClassVar[Site] = "inside_block"
    needs_text: ClassVar[bool] = True
    reads_block: ClassVar[bool] = True

    def __init__(
        self,
        *,
        blocks: Sequence[int],
        embed_dim: int,
        text_dim: int,
        keep_ratio: float | Mapping[str, Any] = 0.7,
        fuse: Fuse = "normalized",
        compare_with: Literal["outputs", "normed", "keys"] = "outputs",
        per_head: bool = False,
        cls_share: float = 0.0,
        detach_fused: bool = False,
    ) -> None:
        super().__init__(blocks=blocks, keep_ratio=keep_ratio, fuse=fuse)
        check_widths(embed_dim, text_dim, "the block's query weights read the text [CLS]")
        if compare_with not in ("outputs", "normed", "keys") or not 0.0 <= cls_share <= 1.0:
            raise ValueError(
                "compare_with and cls_share: must be one of outputs, normed, keys, and a share in [0, 1], got "
                f"{compare_with!r} and {cls_share}."
            )
        self.compare_with, self.per_head, self.cls_share = compare_with, per_head, cls_share
        self.detach_fused = detach_fused
        self.embed_dim, self.text_dim = embed_dim, text_dim

    def score(self, view: BlockView) -> Tensor:
        """Return the attention (B, N) of the text to the patches."""
        assert view.text is not None
        query = view.inside.project_query(view.text.pooled)  # (B, D)
        targets = self._targets(view)  # (B, N, D)
        # One head over the whole width unless asked for: TRIPS does not say, and the formula has no heads.
        num_heads = view.inside.cls_query().shape[1] if self.per_head else 1
        # In half precision many patches would tie, and ties go to the upper left.
        with torch.autocast(query.device.type, enabled=False):
            query, targets = at_least_float32(query), at_least_float32(targets)
            attention = _attention(query.unflatten(1, (num_heads, -1)), targets.unflatten(2, (num_heads, -1)))
        if self.cls_share:
            own = view.inside.cls_attention()
            # The CLS token also attends to itself: over the patches alone its shares must sum to 1, as the text's do.
            attention = (1.0 - self.cls_share) * attention + self.cls_share * own / own.sum(dim=1, keepdim=True)
        return attention

    def _targets(self, view: BlockView) -> Tensor:
        if self.compare_with == "keys":
            return view.inside.keys().flatten(2)  # (B, N, H, E) -> (B, N, D)
        return view.inside.normed() if self.compare_with == "normed" else view.patches

    def fuse_weights(self, scores: Tensor) -> Tensor:
        """Weigh each patch of the fused token by the attention."""
        return scores.detach() if self.detach_fused else scores


def _attention(query: Tensor, targets: Tensor) -> Tensor:
    """Return softmax attention (B, N) of queries (B, H, E) to targets (B, N, H, E), averaged over the heads."""
    logits = torch.einsum("bhe,bnhe->bhn", query, targets) / query.shape[-1] ** 0.5
    return logits.softmax(dim=-1).mean(dim=1)
