"""Which tokens of captions are hidden: single ones, or whole words.

B captions, L tokens, K hidden places of each.
"""

from __future__ import annotations

import torch
from torch import Tensor


def hidden_tokens(candidates_BL: Tensor, noise_BL: Tensor, wanted_B: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Choose the candidates with the lowest noise.

    Args:
        candidates_BL: bool, tokens that may be hidden.
        noise_BL: Uniform in [0, 1).
        wanted_B: How many of each caption.
        most: K.

    Returns:
        ``positions`` int64 (B, K), and which of them are hidden, bool (B, K).
    """
    order_BK = noise_BL.masked_fill(~candidates_BL, 2.0).argsort(dim=1)[:, :most]
    ranks_K = torch.arange(order_BK.shape[1], device=order_BK.device)
    return order_BK, (ranks_K < wanted_B.unsqueeze(1)) & candidates_BL.gather(1, order_BK)


def hidden_words(candidates_BL: Tensor, continues_BL: Tensor, noise_BL: Tensor, wanted_B: Tensor) -> Tensor:
    """Choose words with the lowest noise as long as all their tokens together are no more than wanted, at least one.

    Hugging Face's collator for whole words, which METER uses, goes on with shorter words where one is too long; here
    the first one that is too long ends it (our choice: that needs no loop over the words).

    Args:
        candidates_BL: bool, tokens that may be hidden; a word may if one of its tokens may, and then goes as a whole.
        continues_BL: bool, tokens that continue the word of the token before; never the one after a special token.
        noise_BL: Uniform in [0, 1); that of its first token is a word's.
        wanted_B: How many tokens of each caption.

    Returns:
        bool (B, L), the hidden tokens.
    """
    word_BL = (~continues_BL).cumsum(dim=1).clamp(min=1) - 1  # the number of each token's word, W = L at most
    starts_BL = torch.ones_like(continues_BL)
    starts_BL[:, 1:] = word_BL[:, 1:] != word_BL[:, :-1]
    noise_BW = torch.zeros_like(noise_BL).scatter_add(1, word_BL, noise_BL * starts_BL)
    # Whole numbers: a GPU refuses running sums of fractions where an algorithm must be deterministic.
    counts_BW = torch.zeros_like(word_BL)
    may_BW = counts_BW.scatter_add(1, word_BL, candidates_BL.long()) > 0
    length_BW = counts_BW.scatter_add(1, word_BL, torch.ones_like(word_BL)) * may_BW
    order_BW = noise_BW.masked_fill(~may_BW, 2.0).argsort(dim=1)
    total_BW = length_BW.gather(1, order_BW).cumsum(dim=1)
    fits_BW = total_BW <= wanted_B.unsqueeze(1)
    fits_BW[:, 0] = True
    chosen_BW = torch.zeros_like(may_BW).scatter(1, order_BW, fits_BW & may_BW.gather(1, order_BW))
    return chosen_BW.gather(1, word_BL)


def first_places(hidden_BL: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Return the first ``most`` hidden places: ``positions`` int64 (B, K), and which of them are any, bool (B, K)."""
    positions_BK = (~hidden_BL).to(torch.uint8).argsort(dim=1, stable=True)[:, :most]
    return positions_BK, hidden_BL.gather(1, positions_BK)


def replaced_as_bert(ids_BL: Tensor, hidden_ids_BL: Tensor, noise_BL2: Tensor, vocab_size: int) -> Tensor:
    """Return ids whose hidden places show the mask token, for one in ten any entry, and for one in ten the word itself.

    Args:
        ids_BL: The captions.
        hidden_ids_BL: They with the mask token in every hidden place.
        noise_BL2: Uniform in [0, 1): what a place shows, and which entry.
        vocab_size: Entries, V; special ones are drawn too, as in salesforce/ALBEF:models/model_pretrain.py.
    """
    which_BL, entry_BL = noise_BL2.unbind(dim=2)
    hidden_BL = hidden_ids_BL != ids_BL
    shown_BL = torch.where(hidden_BL & (which_BL >= 0.8), (entry_BL * vocab_size).long(), hidden_ids_BL)
    return torch.where(hidden_BL & (which_BL >= 0.9), ids_BL, shown_BL)
