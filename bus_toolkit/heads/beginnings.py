"""What a caption under way can select patches by: its beginning, or the prompt while nothing is written."""

from __future__ import annotations

import torch
from torch import Tensor

from bus_toolkit.step.encoders import Encoders
from bus_toolkit.structures import Beginnings, TextTokens, TokenBatch


def drawn_lengths(tokens: TokenBatch, noise_B: Tensor, every: int) -> Tensor:
    """Return how many tokens of each text are given, (B,): [CLS] and a random multiple of ``every`` tokens after it.

    All multiples of which at least one token is left to write are equally probable, 0 among them.

    Args:
        tokens: The texts (B, L), each with at least one token after [CLS].
        noise_B: Uniform numbers in [0, 1).
        every: Step between two lengths, at least 1.
    """
    choices = (tokens.attention_mask.sum(dim=1) - 2).clamp(min=0) // every + 1
    return 1 + every * (noise_B * choices).long().clamp(max=choices - 1)


def encoded_beginnings(encoders: Encoders, beginnings: Beginnings) -> TextTokens:
    """Return the encoded beginnings of texts (B, L, D); where one is [CLS] alone, the prompt in its place.

    ``prompt_problem`` must have nothing to say against these encoders.
    """
    prompt = encoders.free_text(1)
    assert prompt is not None, "heads that select by beginnings ask prompt_problem when the model is built"
    count = beginnings.lengths.shape[0]
    own = torch.arange(count, device=beginnings.lengths.device)
    # The prompt is row B of the two together.
    rows = torch.where(beginnings.lengths > 1, own, count)
    return encoders.encode_text(beginnings.tokens).followed_by(prompt).index(rows)


def prompt_problem(encoders: Encoders, *, or_scores: bool = False) -> str | None:
    """Return why no beginning of a text can select patches with these parts; ``None`` if it can.

    Args:
        encoders: The parts.
        or_scores: Whether it is enough that a prior scores them.
    """
    if not (encoders.reads_text or (or_scores and encoders.scores_by_text)):
        ways = "Add a TSPS or a TextScorePrior" if or_scores else "Add a TSPS"
        return f"has no effect: no selector and no decoder of the model reads a text. {ways}, or set it to 0."
    if encoders.without_text != "prompt":
        return (
            "has an effect only with conditioning.without_text: prompt, which selects while nothing is written, got "
            f"{encoders.without_text}. Set it to 0 or change the rule."
        )
    return None
