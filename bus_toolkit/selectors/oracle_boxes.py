"""The selector that knows the answer: a ceiling for studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from bus_toolkit.errors import ComponentError
from bus_toolkit.ops.patch_labels import carry_to_candidates
from bus_toolkit.ops.precision import at_least_float32
from bus_toolkit.selectors.base import Fuse, PatchSelector
from bus_toolkit.selectors.view import BlockView
from bus_toolkit.structures import Decision

# Covers that differ by less than this are ties.
_TIE = 1e-4
# Multiples of the golden ratio, without their whole part, are spread evenly, however many are taken.
_GOLDEN = 0.6180339887498949


class OracleBoxesSelector(PatchSelector):
    """Keep the patches that the boxes which the text names cover most (``OracleBoxes``): a ceiling, not a method.

    The boxes are the answer that selectors look for, so that a model with it shows what is left to win. A fixed pattern
    decides among equal covers and fills up with patches outside the boxes. It is refused outside of studies, with data
    that have no boxes, and in passes whose text has none: retrieval, inference, passes without a text, texts that a
    head makes. A text that names nothing leaves the pattern alone. Our part, from no source.

    Goes into ``model.selectors``; the data set must give boxes.

    Args:
        blocks: Backbone blocks after which it acts, counted from 1.
        keep_ratio: Share of the candidates kept, in (0, 1], or a schedule.
        fuse: ``normalized`` or ``raw`` adds one token, the mean or the sum of the others; ``none`` drops them.
        in_study: Must be true: states that the model is an arm of a study.

    Raises:
        ValueError: ``in_study`` is not true.
    """

    needs_text: ClassVar[bool] = True
    needs_boxes: ClassVar[bool] = True

    def __init__(
        self,
        *,
        blocks: Sequence[int],
        keep_ratio: float | Mapping[str, Any] = 0.5,
        fuse: Fuse = "none",
        in_study: bool = False,
    ) -> None:
        super().__init__(blocks=blocks, keep_ratio=keep_ratio, fuse=fuse)
        if not in_study:
            raise ValueError(
                "in_study: must be true, since OracleBoxes reads the boxes that the text names, which are the answer: "
                f"it shows a ceiling and is no method, got {in_study}. Set it in the arm of a study, or use a selector "
                "that can be applied: TSPS, Objectness, Random."
            )
        self.in_study = in_study

    @override
    def score(self, view: BlockView) -> Tensor:
        assert view.text is not None and view.text.named_cover is not None, "forward asks for both"
        named_BM = at_least_float32(view.text.named_cover)
        cover_BN = carry_to_candidates(named_BM, view.origin, view.patches.shape[1])
        places_N = torch.arange(1, cover_BN.shape[1] + 1, device=cover_BN.device, dtype=cover_BN.dtype)
        return cover_BN + _TIE * (places_N * _GOLDEN).frac()

    @override
    def forward(self, view: BlockView) -> Decision:
        if view.text is None or view.text.named_cover is None:
            raise ComponentError(
                "model.selectors: OracleBoxes reads the boxes that the text of each image names, got a pass without "
                "them: retrieval, inference, a pass without text, or a text that a head made. Study it on questions or "
                "expressions whose data set has boxes, or use another selector here."
            )
        return super().forward(view)
