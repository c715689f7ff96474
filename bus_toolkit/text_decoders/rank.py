"""Choose one of given texts with any text decoder, by how probable it finds them.

Dims: B rows, A candidates, k of them that are read in full, L tokens of a text, V vocabulary.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from bus_toolkit.losses.token_weights import next_token_log_probs
from bus_toolkit.ops.precision import at_least_float32
from bus_toolkit.structures import TokenBatch
from bus_toolkit.text_decoders.next_logits import Decode


class Ranked(NamedTuple):
    """The most probable candidate of each row: ``best`` int64 (B,) and its ``log_prob`` (B,), float32 or float64."""

    best: Tensor
    log_prob: Tensor


@torch.no_grad()
def rank(
    decode: Decode,
    memory: Tensor,
    memory_mask: Tensor,
    candidates: TokenBatch,
    *,
    topk: int | None = None,
    chunk_size: int = 1024,
) -> Ranked:
    """Return the candidate whose whole text, its end mark included, is most probable.

    With ``topk`` the probability of the first token chooses the candidates that are read in full, as in ALBEF
    (salesforce/ALBEF:models/model_vqa.py, ``rank_answer``); which of several with the same first token go in at the
    border is arbitrary. ALBEF adds the first token's log-probability to that of the whole text, which holds
    it already; here it counts once, so that ``topk`` changes what is compared and not the scores.

    Args:
        decode: A text decoder in eval mode.
        memory: States to read, (B, M, D).
        memory_mask: bool (B, M), True = may be read.
        candidates: Their tokens (A, L), all with the same first token (such as [CLS]) and at least one after it.
        topk: How many are read in full for each row, at most A; ``None`` reads all.
        chunk_size: So many pairs of a row and a candidate are decoded at a time; bounds the memory.
    """
    ids, mask = candidates
    rows, count = memory.shape[0], ids.shape[0]
    if topk is None or topk >= count:
        chosen = torch.arange(count, device=ids.device).expand(rows, -1)
    else:
        start = ids[:1, :1].expand(rows, 1)  # all candidates start alike, so one pass a row scores their second token
        first = decode(TokenBatch(start, torch.ones_like(start, dtype=torch.bool)), memory, memory_mask)[:, -1]
        chosen = at_least_float32(first).log_softmax(dim=-1)[:, ids[:, 1]].topk(topk, dim=1).indices
    # (B, k) -> (B * k,) rows and candidates, so that any number of pairs fits the memory chunk by chunk.
    pairs = torch.arange(rows, device=ids.device).unsqueeze(1).expand_as(chosen).flatten(), chosen.flatten()
    scores = torch.cat(
        [
            _log_likelihood(decode, TokenBatch(ids[text], mask[text]), memory[row], memory_mask[row])
            for row, text in zip(*(part.split(chunk_size) for part in pairs), strict=True)
        ]
    ).view_as(chosen)
    log_prob, best = scores.max(dim=1)
    return Ranked(chosen.gather(1, best.unsqueeze(1)).squeeze(1), log_prob)


def _log_likelihood(decode: Decode, tokens: TokenBatch, memory: Tensor, memory_mask: Tensor) -> Tensor:
    """Return the log-probability of each text after its first token, (R,)."""
    log_probs = next_token_log_probs(decode(tokens.before_last(), memory, memory_mask), tokens.input_ids)
    return (log_probs * tokens.attention_mask[:, 1:]).sum(dim=1)
