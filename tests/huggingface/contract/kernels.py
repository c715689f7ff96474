"""Attention by another name, and a cache of one length."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AttentionInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from bus_toolkit.errors import ComponentError
from bus_toolkit.huggingface import reduce_tokens
from bus_toolkit.huggingface.families import decoder_of
from tests.huggingface.contract.check import ROUNDING, Check, Measured, difference
from tests.huggingface.contract.places import selection
from tests.huggingface.parts import ByPlace, ByShare
from tests.huggingface.tiny import Tiny, generated, logits

FLASH = "flash_attention_2"


def _unpadded(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **settings: Any
) -> tuple[Tensor, None]:
    """Attend as FlashAttention does: each row without its padding, the last query at the last key.

    The kernels need a GPU; what transformers gives them is checked here: a mask (B, keys) or none, and positions that
    are not taken for several samples packed into one row, which begin at each 0 where positions are not consecutive.
    """
    positions, num_queries, num_keys = settings.get("position_ids"), query.shape[2], key.shape[2]
    assert attention_mask is None or attention_mask.shape == (len(query), num_keys), "a mask of keys"
    if attention_mask is None and positions is not None and len(query) == 1 and num_queries > 1:
        starts = (positions[0] == 0).nonzero().flatten().tolist()
        assert bool((positions.diff() == 1).all()) or starts == [0], "one sample"
    out = torch.zeros_like(query)
    for row in range(len(query)):
        read = torch.ones(num_keys, dtype=torch.bool) if attention_mask is None else attention_mask[row].bool()
        # As for training and prefills, and for one new token or several.
        asks = read[-num_queries:] if num_queries > 1 else torch.ones(1, dtype=torch.bool)
        queries, keys, values = query[row][:, asks], key[row][:, read], value[row][:, read]
        keys, values = (one.repeat_interleave(len(queries) // len(one), dim=0) for one in (keys, values))
        pairs = torch.ones(queries.shape[1], keys.shape[1], dtype=torch.bool).tril(keys.shape[1] - queries.shape[1])
        own = F.scaled_dot_product_attention(queries, keys, values, attn_mask=pairs, scale=settings.get("scaling"))
        out[row, :, asks] = own
    return out.transpose(1, 2), None


@contextmanager
def _flash(tiny: Tiny) -> Iterator[None]:
    config, before = decoder_of(tiny.model).config, ALL_ATTENTION_FUNCTIONS[FLASH]
    AttentionInterface.register(FLASH, _unpadded)
    config._attn_implementation = FLASH
    try:
        yield
    finally:
        config._attn_implementation = "sdpa"
        AttentionInterface.register(FLASH, before)


def _as_flash(tiny: Tiny) -> Measured:
    if tiny.type_names == ("token_type_ids",):
        return Measured(0.0, "-")  # a prefix that reads all of itself is no mask of FlashAttention

    def pairs() -> Iterator[tuple[Tensor, Tensor]]:
        ragged = {"selectors": ByShare(blocks=[2], keep_ratio=0.5)}
        for arguments in (selection("both", 0.25), ragged):
            for inputs in (tiny.batch(), tiny.of([tiny.row()])):
                with reduce_tokens(tiny.model, **arguments):
                    wanted = generated(tiny, inputs)
                with _flash(tiny), reduce_tokens(tiny.model, **arguments):
                    yield generated(tiny, inputs), wanted
            for left in (True, False):
                inputs = tiny.of([tiny.row(), tiny.row(2)], left=left)
                readable = inputs["attention_mask"].bool()
                with reduce_tokens(tiny.model, **arguments):
                    wanted = logits(tiny.model, inputs)
                with _flash(tiny), reduce_tokens(tiny.model, **arguments):
                    yield logits(tiny.model, inputs)[readable], wanted[readable]

    return difference(pairs())


def _static(tiny: Tiny) -> Measured:
    with reduce_tokens(tiny.model, ByPlace(blocks=[2], keep_ratio=0.25)):
        try:
            generated(tiny, tiny.batch(), cache_implementation="static")
        except ComponentError as error:
            assert "the cache must grow, got StaticCache" in str(error)
            return Measured(0, "refused")
    return Measured(1, "ran")


CHECKS = [
    Check(
        "flash",
        "keeping a quarter, and another number in each row: logits and words with masks as FlashAttention takes them, "
        "by a slow version of its kernel, against sdpa's; -: transformers has no FlashAttention for the family",
        _as_flash,
        ROUNDING,
    ),
    Check("static", "a static cache, which has one length for all layers", _static),
]
