"""Draw texts from a text decoder's own distribution.

Dims: B rows, K texts a row, t tokens so far, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bus_toolkit.ops.precision import at_least_float32
from bus_toolkit.structures import TokenBatch
from bus_toolkit.text_decoders.next_logits import Decode, NewCache, NextLogits

# Into so many parts probability 1 is cut; float64 holds all numbers up to it.
_PARTS = 2**52


@torch.no_grad()
def sample(
    decode: Decode,
    memory: Tensor,
    memory_mask: Tensor,
    prefix: Tensor,
    noise_BKT: Tensor,
    *,
    end_id: int,
    pad_id: int,
    new_cache: NewCache | None = None,
) -> TokenBatch:
    """Return K texts a row, ids and mask (B, K, P + T), each token drawn as probably as the decoder finds it.

    No rule of a search applies and nothing is banned: only then is the log-probability of a text that of drawing it,
    which a policy gradient needs. A text that has not ended after T tokens is cut.

    Args:
        decode: A text decoder.
        memory: States to read, (B, M, D).
        memory_mask: bool (B, M), True = may be read.
        prefix: int64 (B, P), the beginning of each text, such as [CLS].
        noise_BKT: Uniform numbers in [0, 1), one a token: equal numbers draw equal texts.
        end_id: The id that ends a text.
        pad_id: What fills the positions after the end.
        new_cache: Gives empty caches of the text decoder; ``None`` reads the whole text for each token.
    """
    rows, count, longest = noise_BKT.shape
    next_logits = NextLogits(decode, memory, memory_mask, count, new_cache)  # (B * K, V), those of a row in a row
    ids = prefix.repeat_interleave(count, dim=0)
    mask = torch.ones_like(ids, dtype=torch.bool)
    alive = mask[:, 0]
    for noise_R in noise_BKT.flatten(0, 1).unbind(dim=1):
        logits_RV = at_least_float32(next_logits(TokenBatch(ids, mask)))
        # Whole numbers: sums of float32 over a large vocabulary end below the largest numbers that are drawn, and a GPU
        # refuses running sums of fractions where an algorithm must be deterministic.
        sums_RV = (logits_RV.double().softmax(dim=-1) * _PARTS).round().long().cumsum(dim=-1)
        drawn = torch.searchsorted(sums_RV, (noise_R.double() * _PARTS).long().unsqueeze(1), right=True)
        drawn = drawn.squeeze(1).clamp(max=sums_RV.shape[1] - 1)
        ids = torch.cat([ids, torch.where(alive, drawn, pad_id).unsqueeze(1)], dim=1)
        mask = torch.cat([mask, alive.unsqueeze(1)], dim=1)
        alive = alive & (drawn != end_id)
    assert ids.shape[1] == prefix.shape[1] + longest
    return TokenBatch(ids.unflatten(0, (rows, count)), mask.unflatten(0, (rows, count)))
