"""Token plans: for every input token, the output slot it goes to and its weight there.

Keeping, dropping, fusing the rest into one token and merging pairs are all cases of one plan, so that a backbone
applies any selector's decision by one function and pictures, grounding and tests can follow every original patch to
where it ended. ``make_plans`` makes them, ``apply_plans`` applies them to tokens, ``follow_plans`` follows patches.

Shape suffixes, here and there: B batch, N input tokens, K founding (kept) tokens, S output slots (K, plus one with a
fused token), D width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from bus_toolkit.ops.repeat_rows import repeat_rows
from bus_toolkit.short_repr import ShortRepr

DROPPED = -1


@dataclass(frozen=True, repr=False)
class TokenPlan(ShortRepr):
    """Where each of N tokens goes.

    Attributes:
        keep_indices: int64 (B, K), each index once; output slot k is founded by input token ``keep_indices[:, k]``, so
            this is the order of the output: ascending (positional), unless the plan merges, which may reorder.
        slots: int64 (B, N), the output slot of each input token, ``DROPPED`` (-1) for none.
        weights: float (B, N), the weight of each input token in its slot; 1 for a token that is kept alone.
        fused: Whether slot K is one extra token, the weighted sum of tokens that were not kept.
        merging: Whether the kept slots take up other tokens too (then they are sums, not copies), or are in another
            order than they came.
        may_be_empty: Whether in some images no token goes to the fused slot. Its token is zero then and counts nowhere:
            not as a key in later blocks, nor for what reads the tokens after the backbone.
        key_weights: float (B, S), how much each output token counts as a key in the attention of later blocks: its size
            (ToMe's proportional attention), or a soft mask. ``None`` leaves what earlier plans said.
        may_hide: Whether a key weight of 0 hides a token: it stays in the sequence, and nothing after the backbone
            reads it either.
    """

    keep_indices: Tensor
    slots: Tensor
    weights: Tensor
    fused: bool = False
    merging: bool = False
    key_weights: Tensor | None = None
    may_be_empty: bool = False
    may_hide: bool = False

    @property
    def num_inputs(self) -> int:
        """Number of input tokens N."""
        return self.slots.shape[1]

    @property
    def num_slots(self) -> int:
        """Number of output tokens S."""
        return self.keep_indices.shape[1] + int(self.fused)

    @property
    def is_identity(self) -> bool:
        """Whether every token is kept as it is, so that nothing needs to be computed."""
        return not (self.merging or self.fused) and self.keep_indices.shape[1] == self.num_inputs

    def repeat_each(self, times: int) -> TokenPlan:
        """Return the plan of every image ``times`` times in a row."""
        return replace(
            self,
            keep_indices=repeat_rows(self.keep_indices, times),
            slots=repeat_rows(self.slots, times),
            weights=repeat_rows(self.weights, times),
            key_weights=repeat_rows(self.key_weights, times),
        )
