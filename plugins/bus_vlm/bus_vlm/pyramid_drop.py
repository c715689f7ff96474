"""PyramidDrop: at each stage the last instruction token's attention halves what is left."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from bus_toolkit.ops import num_kept
from bus_toolkit.selectors import BlockView, PatchSelector, Site


class PyramidDropSelector(PatchSelector):
    """Drop a share of the visual tokens at the end of each stage of layers (``PyramidDrop``).

    arXiv 2410.17247; Cooperx521/PyramidDrop:llava/model/modeling_llama_pdrop.py. After layers 8, 16 and 24 of 32,
    ``int(n ratio^s)`` of the n visual tokens of the input stay after stage s, those that the last instruction token
    attends to most, by queries and keys of the layer that comes next (9, 17 and 25), averaged over the heads; in
    training, too, which makes it faster. So it acts before its blocks.

    Ours: in training the code averages over the last tokens of all instructions of a conversation; here the one before
    the first answer ranks. In a vision backbone the text is read as by ``FastV``. Goes into ``model.selectors``.
    """

    site: ClassVar[Site] = "before_block"
    needs_text: ClassVar[bool] = True
    reads_block: ClassVar[bool] = True

    def score(self, view: BlockView) -> Tensor:
        """Return the attention (B, N) of the last instruction token."""
        return view.inside.text_attention()

    def num_kept(self, view: BlockView) -> int:
        """Return how many are left after this stage, as a share of the tokens of the input."""
        stage = self.blocks.index(view.block) + 1
        return min(view.patches.shape[1], num_kept(view.num_original, self.keep_ratio**stage))
