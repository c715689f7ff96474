"""What heads that write text share: the best text for each row."""

from __future__ import annotations

import torch
from torch import Tensor

from bus_toolkit.step.encoders import Encoders
from bus_toolkit.structures import Vocabulary
from bus_toolkit.text_decoders.generate import Generated, Rereading, SearchRules, generate


def write_texts(
    encoders: Encoders,
    memory: Tensor,
    memory_mask: Tensor,
    vocabulary: Vocabulary,
    rules: SearchRules | None,
    *,
    rereading: Rereading | None = None,
) -> list[str]:
    """Return the best text that the text decoder writes for each row of ``memory``, without special tokens.

    Args:
        encoders: Text decoder and tokenizer.
        memory: States to read, (B, M, D).
        memory_mask: bool (B, M), True = may be read.
        vocabulary: Token ids.
        rules: How to search.
        rereading: Gives new states to the texts under way.
    """
    texts = written_texts(encoders, memory, memory_mask, vocabulary, rules, rereading=rereading)
    return [encoders.tokenizer.decode(ids) for ids in texts.ids[:, 0].tolist()]  # (B, beams, L) -> the best beam


def written_texts(
    encoders: Encoders,
    memory: Tensor,
    memory_mask: Tensor,
    vocabulary: Vocabulary,
    rules: SearchRules | None,
    *,
    rereading: Rereading | None = None,
) -> Generated:
    """Return the texts of all beams, best first; the arguments are those of ``write_texts``."""
    return generate(
        encoders.decode,
        memory,
        memory_mask,
        torch.full((memory.shape[0], 1), vocabulary.cls_id, device=memory.device),
        end_id=vocabulary.sep_id,
        pad_id=vocabulary.pad_id,
        banned_ids=vocabulary.never_written,
        rules=rules,
        rereading=rereading,
        new_cache=encoders.new_text_cache,
    )
