"""Caches whose end is cut off: prompts that are asked again, and decoding that puts guesses into its first call."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers

from bus_toolkit.errors import DataError
from bus_toolkit.huggingface import reduce_tokens
from tests.huggingface.parts import ByPlace
from tests.huggingface.tiny import Tiny, build, generated

IS_5 = int(transformers.__version__.split(".")[0]) >= 5


@pytest.mark.parametrize(("where", "block"), [("selectors", 2), ("projected", 1)])
@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl"])
def test_decoding_with_guesses_is_refused(family: str, where: str, block: int) -> None:
    tiny = build(family)
    inputs = tiny.of([tiny.row(question=(7, 8, 9, 7, 8, 9, 7, 8))])
    with (
        reduce_tokens(tiny.model, **{where: ByPlace(blocks=[block], keep_ratio=0.25)}),
        pytest.raises(DataError, match=r"Assisted decoding and prompt lookup cannot be used"),
    ):
        generated(tiny, inputs, prompt_lookup_num_tokens=3, eos_token_id=1, max_new_tokens=12)


@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl"])
def test_decoding_with_guesses_after_the_prompt_writes_the_same(family: str) -> None:
    tiny = build(family)
    inputs = tiny.of([tiny.row(question=(7, 8, 9, 10, 11, 12, 13))])  # no word twice: nothing is guessed yet
    with reduce_tokens(tiny.model, ByPlace(blocks=[2], keep_ratio=0.25)):
        greedy = generated(tiny, inputs, eos_token_id=1, max_new_tokens=24)
        guessed = generated(tiny, inputs, prompt_lookup_num_tokens=3, eos_token_id=1, max_new_tokens=24)
    assert torch.equal(greedy, guessed) and len(set(greedy[0].tolist())) < 24, "words come again, so some are guessed"


def to_a_length(cache: Any, number: int) -> None:
    """Cut ``number`` tokens off as transformers 4 does it: by the length of the first layer, whatever others hold."""
    cache.crop(cache.get_seq_length(0) - number)


def by_number(cache: Any, number: int) -> None:
    """Cut ``number`` tokens off as transformers 5 does it: as many in each layer."""
    cache.crop(-number)


@pytest.mark.parametrize("cut", [by_number] if IS_5 else [to_a_length, by_number])
def test_a_prompt_is_asked_again_after_its_answer_is_cut_off(kind: Tiny, cut: Callable[[Any, int], None]) -> None:
    inputs = kind.of([kind.row()])
    width = inputs["input_ids"].shape[1]
    mask = torch.ones(1, width + 2, dtype=torch.int64)

    def go_on(cache: Any, words: list[int]) -> Any:
        ids = torch.tensor([words])
        place = torch.arange(width, width + len(words))
        return kind.model(
            input_ids=ids,
            past_key_values=cache,
            # Qwen's models of transformers 5 rotate as many words on a cache as the mask has, so none is given.
            attention_mask=None if IS_5 else mask[:, : width + len(words)],
            cache_position=place,
            **kind.types(ids),
        )

    with reduce_tokens(kind.model, ByPlace(blocks=[2], keep_ratio=0.25)), torch.no_grad():
        prompt = kind.model(**inputs, use_cache=True).past_key_values
        fresh = copy.deepcopy(prompt)
        go_on(prompt, [20, 21])
        cut(prompt, 2)
        assert torch.equal(go_on(prompt, [22]).logits, go_on(fresh, [22]).logits)
        cut(prompt, 2)
        with pytest.raises(DataError, match="under the same reduction and hold all of its prompt, got"):
            go_on(prompt, [22])
