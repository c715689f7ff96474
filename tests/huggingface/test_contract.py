"""What holds for every family, wherever it selects: nothing kept back changes nothing, and dropped means unread."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bus_toolkit.huggingface import reduce_tokens
from tests.huggingface.parts import ByEveryone, ByPlace, ByText
from tests.huggingface.reference import hiding, kept_by_stage, nearest_left
from tests.huggingface.tiny import GENERATION, IS_OLD, NUM_LAYERS, Tiny, generated, logits

PLACES = ["inside", "projected", "both"]


def selection(where: str, keep_ratio: float, selector: type = ByText) -> dict[str, Any]:
    """Return arguments of ``reduce_tokens``."""
    inside = [selector(blocks=[2, 3] if where == "both" else [2], keep_ratio=keep_ratio)]
    first = ByPlace(blocks=[1], keep_ratio=keep_ratio)
    return {
        "inside": {"selectors": inside},
        "projected": {"projected": first},
        "both": {"selectors": inside, "projected": first},
    }[where]


@pytest.mark.parametrize("where", PLACES)
def test_keeping_all_gives_the_same_bits(tiny: Tiny, where: str) -> None:
    inputs = tiny.batch()
    wanted = logits(tiny.model, inputs)
    with reduce_tokens(tiny.model, **selection(where, 1.0)):
        assert torch.equal(logits(tiny.model, inputs), wanted)


def test_keeping_all_generates_the_same(tiny: Tiny) -> None:
    inputs = tiny.batch()
    wanted = generated(tiny, inputs)
    with reduce_tokens(tiny.model, **selection("both", 1.0)):
        assert torch.equal(generated(tiny, inputs), wanted)


@pytest.mark.parametrize("where", PLACES)
def test_a_dropped_token_is_one_that_later_layers_do_not_read(tiny: Tiny, where: str) -> None:
    inputs = tiny.batch()
    with reduce_tokens(tiny.model, **selection(where, 0.25)) as reduction:
        got = logits(tiny.model, inputs)
        kept = kept_by_stage(reduction)
    assert int(kept[max(kept)].sum()) < kept[max(kept)].numel()
    with hiding(tiny.model, kept):
        whole = logits(tiny.model, inputs)
    nearest = nearest_left(kept[max(kept)])
    readable = inputs["attention_mask"].bool()
    for row in range(2):
        torch.testing.assert_close(
            got[row][readable[row]], whole[row][nearest[row]][readable[row]], atol=1e-4, rtol=1e-4
        )


@pytest.mark.parametrize("where", PLACES)
def test_generation_with_a_cache_has_the_logits_of_the_whole_sequence(tiny: Tiny, where: str) -> None:
    inputs = tiny.batch()
    with reduce_tokens(tiny.model, **selection(where, 0.25)) as reduction:
        out = tiny.model.generate(**inputs, **GENERATION, output_logits=True, return_dict_in_generate=True)
        kept = kept_by_stage(reduction)
        ids = out.sequences
        is_new = torch.arange(ids.shape[1]) >= inputs["input_ids"].shape[1]
        # With labels on what was generated, it is an answer, which the selection does not read.
        whole = {
            **inputs,
            **tiny.types(ids, is_new.expand_as(ids)),
            "input_ids": ids,
            "attention_mask": torch.nn.functional.pad(inputs["attention_mask"], (0, int(is_new.sum())), value=1),
            "labels": ids.masked_fill(~is_new, -100),
        }
        wanted = logits(tiny.model, whole)
        again = {stage: places[:, ~is_new] for stage, places in kept_by_stage(reduction).items()}
    assert all(torch.equal(again[stage], kept[stage]) for stage in kept)
    steps = len(out.logits)
    torch.testing.assert_close(torch.stack(out.logits, dim=1), wanted[:, -steps - 1 : -1], atol=1e-4, rtol=1e-4)


def cache_of(output: Any) -> Any:
    return output.past_key_values if IS_OLD else output.cache


@pytest.mark.parametrize("where", PLACES)
def test_caches_are_as_long_as_what_is_left(tiny: Tiny, where: str) -> None:
    inputs, tokens = tiny.batch(), tiny.tokens
    whole = inputs["input_ids"].shape[1]
    with reduce_tokens(tiny.model, **selection(where, 0.25)), torch.no_grad():
        cache = cache_of(tiny.model(**inputs, use_cache=True))
    first, second = tokens // 4, tokens // 4 // 4
    wanted = {
        "inside": [whole] * 2 + [whole - tokens + first] * 2,
        "projected": [whole - tokens + first] * 4,
        "both": [whole - tokens + left for left in (first, first, second, max(second // 4, 1))],
    }[where]
    assert [cache.get_seq_length(layer) for layer in range(NUM_LAYERS)] == wanted


@pytest.mark.parametrize("left", [True, False], ids=["left", "right"])
def test_rows_do_not_depend_on_their_mates_nor_on_padding(tiny: Tiny, left: bool) -> None:
    rows = [tiny.row(2), tiny.row(1, (7, 9, 8)), tiny.row(0)]
    inputs = tiny.of(rows, left=left)
    selectors = [ByText(blocks=[2], keep_ratio=0.5), ByEveryone(blocks=[3], keep_ratio=0.5)]
    with reduce_tokens(tiny.model, selectors, projected=ByPlace(blocks=[1], keep_ratio=0.5)) as reduction:
        together, counts = logits(tiny.model, inputs), reduction.counts
        for row, ids in enumerate(rows):
            alone = tiny.of([ids])
            alone.update({name: one for name, one in tiny.own_pixels(inputs, row, rows).items()})
            wanted = logits(tiny.model, alone)[0]
            got = together[row][inputs["attention_mask"][row].bool()]
            torch.testing.assert_close(got, wanted, atol=1e-4, rtol=1e-4)
    assert counts == (2 * tiny.tokens // 8, tiny.tokens // 8, 0)
