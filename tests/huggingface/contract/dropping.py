"""What is dropped is what later layers do not read, with a cache and without."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from bus_toolkit.huggingface import reduce_tokens
from tests.huggingface.contract.check import ROUNDING, Check, Measured, difference
from tests.huggingface.contract.places import places, selection
from tests.huggingface.parts import ByPlace
from tests.huggingface.reference import hiding, kept_by_stage, nearest_left
from tests.huggingface.tiny import GENERATION, IS_OLD, NUM_LAYERS, Tiny, generated, logits

INSIDE = ("inside", "projected", "both")  # what a tower drops is unread in its own layers, too


def _unread(tiny: Tiny) -> Measured:
    inputs = tiny.batch()
    readable = inputs["attention_mask"].bool()

    def pairs() -> Iterator[tuple[Tensor, Tensor]]:
        for where in INSIDE:
            with reduce_tokens(tiny.model, **selection(where, 0.25)) as reduction:
                got, kept = logits(tiny.model, inputs), kept_by_stage(reduction)
            left = kept[max(kept)]
            assert int(left.sum()) < left.numel(), "something is dropped"
            with hiding(tiny.model, kept):
                whole = logits(tiny.model, inputs)
            nearest = nearest_left(left)
            for row in range(2):
                yield got[row][readable[row]], whole[row][nearest[row]][readable[row]]

    return difference(pairs())


def _steps(tiny: Tiny) -> Measured:
    """Compare the logits of each new word with those of one call on all words, where the new ones are an answer."""
    inputs = tiny.batch()

    def pairs() -> Iterator[tuple[Tensor, Tensor]]:
        for where in places(tiny):
            with reduce_tokens(tiny.model, **selection(where, 0.25)) as reduction:
                out = tiny.model.generate(**inputs, **GENERATION, output_logits=True, return_dict_in_generate=True)
                kept = kept_by_stage(reduction)
                whole = _with_answer(tiny, inputs, out.sequences)
                wanted = logits(tiny.model, whole)
                width = inputs["input_ids"].shape[1]
                again = {stage: left[:, :width] for stage, left in kept_by_stage(reduction).items()}
            assert all(torch.equal(again[stage], kept[stage]) for stage in kept), "an answer is not read"
            yield torch.stack(out.logits, dim=1), wanted[:, -len(out.logits) - 1 : -1]

    return difference(pairs())


def _with_answer(tiny: Tiny, inputs: dict[str, Any], ids: Tensor) -> dict[str, Any]:
    is_new = torch.arange(ids.shape[1]) >= inputs["input_ids"].shape[1]
    mask = torch.nn.functional.pad(inputs["attention_mask"], (0, int(is_new.sum())), value=1)
    types = tiny.types(ids, is_new.expand_as(ids))
    return {**inputs, **types, "input_ids": ids, "attention_mask": mask, "labels": ids.masked_fill(~is_new, -100)}


def _without_cache(tiny: Tiny) -> Measured:
    inputs, wrong = tiny.batch(), 0
    cached, uncached = (_scores(tiny, inputs, use_cache=use_cache) for use_cache in (True, False))
    if difference([(cached, uncached)]).worst > ROUNDING:
        return Measured(0.0, "-")
    for where in places(tiny):
        with reduce_tokens(tiny.model, **selection(where, 0.25, ByPlace)):
            for beams in (1, 3) if where in ("both", "tower") else (1,):
                cached, uncached = (generated(tiny, inputs, num_beams=beams, use_cache=one) for one in (True, False))
                wrong += int((cached != uncached).sum())
    return Measured(wrong, str(wrong))


def _scores(tiny: Tiny, inputs: dict[str, Any], **settings: Any) -> Tensor:
    """Return the logits of new words, (B, words, vocabulary)."""
    settings |= {"output_logits": True, "return_dict_in_generate": True}
    return torch.stack(tiny.model.generate(**inputs, **GENERATION, **settings).logits, dim=1)


def _lengths(tiny: Tiny) -> Measured:
    inputs, tokens = tiny.batch(), tiny.tokens
    whole = inputs["input_ids"].shape[1]
    first, second = tokens // 4, tokens // 4 // 4
    wanted = {
        "inside": [whole] * 2 + [whole - tokens + first] * 2,
        "projected": [whole - tokens + first] * 4,
        "both": [whole - tokens + left for left in (first, first, second, max(second // 4, 1))],
        "tower": [whole - tokens + first] * 4,
    }
    wrong, shown = 0, ""
    for where in places(tiny):
        with reduce_tokens(tiny.model, **selection(where, 0.25)), torch.no_grad():
            output = tiny.model(**inputs, use_cache=True)
        cache = output.past_key_values if IS_OLD else output.cache
        got = [cache.get_seq_length(layer) for layer in range(NUM_LAYERS)]
        wrong += got != wanted[where]
        shown = shown or " ".join(map(str, got))
    return Measured(wrong, shown)


CHECKS = [
    Check(
        "unread",
        "keeping a quarter: logits against the whole sequence, whose masks hide what was dropped",
        _unread,
        ROUNDING,
    ),
    Check("steps", "keeping a quarter: logits of new words with a cache against one call on all", _steps, ROUNDING),
    Check(
        "no cache",
        "keeping a quarter by place: words of 10 at each place, also of 3 beams, that differ without a cache; -: those "
        "of the model as it is differ, since without a cache the prefix that reads all of itself grows",
        _without_cache,
    ),
    Check(
        "lengths",
        "keeping a quarter after layer 2 of 4: lengths of the cache, two rows of one image; those for the other "
        "places are compared, too",
        _lengths,
    ),
]
