"""What heads that write text share: the marks of a text, and the best text for each row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from bus_toolkit.heads.base import Step
from bus_toolkit.text_decoders.generate import SearchRules, generate


class Marks(NamedTuple):
    """Token ids: what starts a text, what ends it, the padding, and what is never written."""

    start: int
    end: int
    pad: int
    banned: tuple[int, ...]

    @classmethod
    def of(cls, cls_token_id: int, sep_token_id: int, pad_token_id: int, special_ids: Sequence[int]) -> Marks:
        """Return those of a tokenizer: of its special tokens only the end is ever written."""
        return cls(cls_token_id, sep_token_id, pad_token_id, tuple(i for i in special_ids if i != sep_token_id))


def write_texts(step: Step, memory: Tensor, memory_mask: Tensor, marks: Marks, rules: SearchRules | None) -> list[str]:
    """Return the best text that the text decoder finds for each row of ``memory`` (B, M, D), without special tokens."""
    found = generate(
        step.decode,
        memory,
        memory_mask,
        torch.full((memory.shape[0], 1), marks.start, device=memory.device),
        end_id=marks.end,
        pad_id=marks.pad,
        banned_ids=marks.banned,
        rules=rules,
    )
    return [step.sentence(ids) for ids in found.ids[:, 0].tolist()]
