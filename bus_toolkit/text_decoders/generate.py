"""Write text with any text decoder: beam search, of which greedy search is the case of one beam.

Dims: B rows, K beams a row, t tokens so far, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor

from bus_toolkit.ops.precision import at_least_float32
from bus_toolkit.ops.to_device import to_device
from bus_toolkit.structures import TokenBatch
from bus_toolkit.text_decoders.next_logits import Decode, NewCache, NextLogits

LengthMeasure = Literal["written", "wu"]


class Rereading(NamedTuple):
    """New states to read while texts are written, such as an image of which the words so far choose the patches.

    Attributes:
        every: Written tokens between two readings, at least 1.
        states: Texts (R, t) to states (R, M, D) and which of them may be read, bool (R, M); the R = B * K texts are the
            beams, those of a row next to each other, ended ones among them.
    """

    every: int
    states: Callable[[TokenBatch], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class SearchRules:
    """How text is searched for. Lengths count all tokens, the given beginning and the end mark included.

    Args:
        beam_size: Beginnings that are followed at a time; 1 is greedy search.
        max_length: Most tokens; a text that has not ended by then is cut.
        min_length: Fewest tokens; a row of which no text may go on (``no_repeat_ngram``) ends earlier.
        length_penalty: The log-probability is divided by this power of the length before texts are compared: 0 compares
            the probabilities of whole texts; above 0 longer texts gain.
        length_measure: That length, of n written tokens: ``written`` is n, so that a penalty of 1 compares the mean
            log-probability a token (as huggingface/transformers and BLIP count it); ``wu`` is (5 + n) / 6, which
            favours long texts less (arXiv 1609.08144, equation 14; mPLUG with penalty 0.6,
            X-PLUG/mPLUG:models/predictor.py).
        no_repeat_ngram: No run of so many tokens occurs twice; 0 allows all.
        early_exit: Stop as soon as all beams have ended. The result is the same. Asking stops the device once a token;
            without it all ``max_length`` tokens are computed.

    Raises:
        ValueError: A value out of range.
    """

    beam_size: int = 3
    max_length: int = 20
    min_length: int = 0
    length_penalty: float = 1.0
    length_measure: LengthMeasure = "written"
    no_repeat_ngram: int = 0
    early_exit: bool = True

    def __post_init__(self) -> None:
        if self.beam_size < 1:
            raise ValueError(f"beam_size: must be at least 1, got {self.beam_size}. 1 is greedy search.")
        if not 0 <= self.min_length <= self.max_length:
            raise ValueError(
                f"min_length: must be between 0 and max_length ({self.max_length}), got {self.min_length}."
            )
        if not math.isfinite(self.length_penalty):
            raise ValueError(
                f"length_penalty: must be a finite number, got {self.length_penalty}. 0 compares whole texts."
            )
        if self.no_repeat_ngram < 0:
            raise ValueError(f"no_repeat_ngram: must be 0 or more, got {self.no_repeat_ngram}. 0 allows repeats.")
        if self.length_measure not in get_args(LengthMeasure):
            raise ValueError(
                f"length_measure: must be one of {', '.join(get_args(LengthMeasure))}, got {self.length_measure!r}."
            )

    def divisor(self, written: Tensor) -> Tensor:
        """Return what log-probabilities of texts of so many written tokens are divided by."""
        length = written if self.length_measure == "written" else (5 + written) / 6
        return length**self.length_penalty


def search_rules(search: Mapping[str, Any] | None, longest: int) -> SearchRules:
    """Return the rules of a head's ``search`` setting, for texts of [CLS], words and [SEP].

    Args:
        search: Arguments of ``SearchRules``.
        longest: Most tokens that the tokenizer allows; ``max_length`` is at most, and if not given, this.

    Raises:
        ValueError: A setting that does not exist or is out of range.
    """
    try:
        rules = SearchRules(**{"max_length": longest, **(search or {})})
    except TypeError as error:
        known = ", ".join(field.name for field in fields(SearchRules))
        raise ValueError(f"search: it takes {known}, got {dict(search or {})} ({error}).") from error
    if not 2 < rules.max_length <= longest:
        raise ValueError(
            f"search.max_length: must be between 3 ([CLS], a word, [SEP]) and the tokenizer's max_length "
            f"({longest}), got {rules.max_length}."
        )
    return rules


class Generated(NamedTuple):
    """Texts, best first: ``ids`` int64 (B, K, L), ``attention_mask`` bool (B, K, L), ``scores`` (B, K).

    A score is the log-probability over the power of the length; minus infinity where there are fewer texts than beams.
    """

    ids: Tensor
    attention_mask: Tensor
    scores: Tensor


@torch.no_grad()
def generate(
    decode: Decode,
    memory: Tensor,
    memory_mask: Tensor,
    prefix: Tensor,
    *,
    end_id: int,
    pad_id: int,
    banned_ids: Sequence[int] = (),
    rules: SearchRules | None = None,
    rereading: Rereading | None = None,
    new_cache: NewCache | None = None,
) -> Generated:
    """Continue each row's prefix with the most probable text that beam search finds.

    All rows and beams advance together, one token a pass. A text that has ended keeps its place among the K beams, with
    its score, until K better ones displace it (ours; huggingface/transformers moves it to a list of its own and goes on
    with K open beams). With a cache of the decoder a pass reads the last token; without one, the whole text.

    With ``rereading`` the states change under way. The words so far are read again with the new states, too: each pass
    is what the decoder gives for the text and these states, as in training. A beam keeps the states that were read for
    the text which it continues.

    Args:
        decode: A text decoder in eval mode.
        memory: States to read, (B, M, D).
        memory_mask: bool (B, M), True = may be read.
        prefix: int64 (B, P), the beginning of each text, such as [CLS].
        end_id: The id that ends a text.
        pad_id: What fills the positions after the end; never written.
        banned_ids: More ids that are never written.
        rules: The search.
        rereading: Gives new states to each text every so many tokens; ``None`` reads ``memory`` to the end.
        new_cache: Gives empty caches of the text decoder (``Encoders.new_text_cache``); ``None`` goes without.

    Raises:
        ValueError: A prefix that leaves no token to write.
    """
    rules = rules or SearchRules()
    start = prefix.shape[1]
    if start >= rules.max_length:
        raise ValueError(
            f"generate: the prefix must be shorter than max_length ({rules.max_length}), got {start} tokens. "
            "Raise max_length."
        )
    next_logits = NextLogits(decode, memory, memory_mask, rules.beam_size, new_cache)
    banned = to_device(torch.tensor([pad_id, *banned_ids]), prefix.device)
    beams = _Beams.start(prefix, rules.beam_size)
    for length in range(start + 1, rules.max_length + 1):
        # (B, K, t) -> (B * K, t): to the decoder each beam is a row.
        tokens = TokenBatch(beams.ids.flatten(0, 1), beams.attention_mask.flatten(0, 1))
        written = length - 1 - start
        if rereading is not None and written and written % rereading.every == 0:
            next_logits.reread(*rereading.states(tokens))
        elif written:
            next_logits.follow(beams.parent_rows())
        log_probs = at_least_float32(next_logits(tokens)).log_softmax(dim=-1)  # (B * K, V)
        end = log_probs[:, end_id].clone()
        log_probs = log_probs.index_fill(-1, banned, -torch.inf)
        if length < rules.min_length:
            log_probs[:, end_id] = -torch.inf
        if rules.no_repeat_ngram:
            log_probs = log_probs.masked_fill(repeats(tokens.input_ids, rules.no_repeat_ngram, log_probs), -torch.inf)
        next_BKV, end_BK = (part.unflatten(0, beams.ids.shape[:2]) for part in (log_probs, end))
        beams = beams.extend(next_BKV, end_BK, start, end_id, pad_id, rules.divisor)
        if rules.early_exit and beams.ended.all():
            break
    return Generated(beams.ids, beams.attention_mask, beams.log_probs / rules.divisor(beams.written(start)))


def repeats(ids: Tensor, size: int, like: Tensor) -> Tensor:
    """Return which next tokens would repeat a run of ``size`` tokens, bool (R, V), for texts (R, t).

    Args:
        ids: The texts.
        size: Length of the runs, at least 1.
        like: Any tensor (R, V).
    """
    repeated = torch.zeros(like.shape[0], like.shape[1] + 1, dtype=torch.bool, device=ids.device)
    if ids.shape[1] >= size:
        runs = ids.unfold(1, size, 1)  # (R, t) -> (R, t - size + 1, size)
        # A run whose first size - 1 tokens are the text's last ones would be repeated by its last token.
        same_beginning = (runs[..., :-1] == ids[:, None, ids.shape[1] - size + 1 :]).all(dim=-1)
        # One more column takes what does not repeat.
        repeated.scatter_(1, torch.where(same_beginning, runs[..., -1], like.shape[1]), True)
    return repeated[:, :-1]


class _Beams(NamedTuple):
    """Texts ``ids`` (B, K, t), their ``attention_mask`` (False after the end), ``log_probs`` (B, K), ``ended``.

    ``parents`` (B, K) is which of the K beams each continues, before its last token.
    """

    ids: Tensor
    attention_mask: Tensor
    log_probs: Tensor
    ended: Tensor
    parents: Tensor

    @classmethod
    def start(cls, prefix: Tensor, beam_size: int) -> _Beams:
        """Return K equal beams a row, of which only the first may go on: or all K would take the same way."""
        ids = prefix.unsqueeze(1).expand(-1, beam_size, -1)
        log_probs = torch.full(ids.shape[:2], -torch.inf, device=prefix.device)
        log_probs[:, 0] = 0.0
        ended = torch.zeros_like(log_probs, dtype=torch.bool)
        return cls(ids, torch.ones_like(ids, dtype=torch.bool), log_probs, ended, torch.zeros_like(ids[..., 0]))

    def parent_rows(self) -> Tensor:
        """Return ``parents`` as rows of beams next to each other, (B * K,)."""
        rows, beams = self.parents.shape
        first = torch.arange(0, rows * beams, beams, device=self.parents.device)
        return (first.unsqueeze(1) + self.parents).flatten()

    def written(self, start: int) -> Tensor:
        """Return how many tokens were written after the first ``start``, (B, K)."""
        return self.attention_mask.sum(dim=-1) - start

    def extend(
        self,
        next_BKV: Tensor,
        end_BK: Tensor,
        start: int,
        end_id: int,
        pad_id: int,
        divisor: Callable[[Tensor], Tensor],
    ) -> _Beams:
        """Return the best K continuations by one token; an ended text continues with padding, at no cost.

        Args:
            next_BKV: Log-probabilities of the next token; minus infinity where the rules forbid it.
            end_BK: That of the end, whatever the rules say.
            start: Tokens of the prefix.
            end_id: The end.
            pad_id: Padding.
            divisor: As in ``SearchRules``.
        """
        padding = torch.full_like(next_BKV, -torch.inf)
        padding[..., pad_id] = 0.0  # log 1: an ended text keeps its score
        total = self.log_probs.unsqueeze(-1) + torch.where(self.ended.unsqueeze(-1), padding, next_BKV)
        # Where no text of a row may go on, its texts end: every other token is one that the rules forbid.
        stuck = total.isneginf().flatten(1).all(dim=1, keepdim=True)
        total[..., end_id] = torch.where(stuck, self.log_probs + end_BK, total[..., end_id])
        lengths = self.written(start) + (~self.ended)
        ranked = total / divisor(lengths).unsqueeze(-1)
        # One ranking over all continuations of all beams: (B, K, V) -> (B, K * V).
        best = ranked.flatten(1).topk(self.ids.shape[1], dim=1).indices
        parents, tokens = best // next_BKV.shape[-1], best % next_BKV.shape[-1]
        rows = parents.unsqueeze(-1).expand_as(self.ids)
        ended, log_probs = self.ended.gather(1, parents), total.flatten(1).gather(1, best)
        # Where there are fewer continuations than beams, the rest of the ranking is arbitrary and may be ids that are
        # never written: those texts, minus infinity, end here.
        tokens = torch.where(log_probs.isneginf(), torch.where(ended, pad_id, end_id), tokens)
        return _Beams(
            torch.cat([self.ids.gather(1, rows), tokens.unsqueeze(-1)], dim=-1),
            torch.cat([self.attention_mask.gather(1, rows), ~ended.unsqueeze(-1)], dim=-1),
            log_probs,
            ended | (tokens == end_id),
            parents,
        )
