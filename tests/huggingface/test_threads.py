"""One reduced model that several threads call, as servers do (huggingface/transformers, issue 32217)."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
import torch
from torch import Tensor
from typing_extensions import override

from bus_toolkit.huggingface import reduce_tokens
from bus_toolkit.selectors import BlockView, PatchSelector
from tests.huggingface.tiny import Tiny, build, logits


class Slow(PatchSelector):
    """The length of a token; the first that asks waits for another call to begin."""

    def __init__(self) -> None:
        super().__init__(blocks=[2], keep_ratio=0.25)
        self.is_inside = Event()

    @override
    def score(self, view: BlockView) -> Tensor:
        if not self.is_inside.is_set():
            self.is_inside.set()
            time.sleep(0.3)
        return view.patches.norm(dim=-1)


@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl"])
def test_calls_do_not_mix(family: str) -> None:
    tiny, selector = build(family), Slow()
    one, other = tiny.of([tiny.row()]), tiny.of([tiny.row(question=(20, 21)), tiny.row(question=(22,))], seed=1)

    def second(inputs: dict[str, Tensor]) -> Tensor:
        selector.is_inside.wait(10)
        return logits(tiny.model, inputs)

    with reduce_tokens(tiny.model, selector), ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(logits, tiny.model, one), pool.submit(second, other)]
        together = [job.result() for job in jobs]
        alone = [logits(tiny.model, inputs) for inputs in (one, other)]
    for got, wanted in zip(together, alone, strict=True):
        torch.testing.assert_close(got, wanted, rtol=0, atol=0)


def test_after_an_error_others_go_on(llava: Tiny) -> None:
    selector = Slow()
    selector.is_inside.set()
    with reduce_tokens(llava.model, selector), ThreadPoolExecutor(1) as pool:
        with pytest.raises(ValueError, match="do not match"):  # transformers' own: images that the text does not name
            logits(llava.model, {**llava.of([llava.row()]), **llava.pixels([2])})
        assert pool.submit(logits, llava.model, llava.of([llava.row()])).result(10).shape[0] == 1


def test_a_call_that_was_broken_off_keeps_nobody_out(llava: Tiny) -> None:
    class Interrupted(Slow):
        @override
        def score(self, view: BlockView) -> Tensor:
            if not self.is_inside.is_set():
                self.is_inside.set()
                raise KeyboardInterrupt
            return super().score(view)

    inputs = llava.of([llava.row()])
    with reduce_tokens(llava.model, Interrupted()) as reduction, ThreadPoolExecutor(1) as pool:
        with pytest.raises(KeyboardInterrupt):
            logits(llava.model, inputs)
        logits(llava.model, inputs)
        assert reduction.counts == (4,)
        assert pool.submit(logits, llava.model, inputs).result(10).shape[0] == 1
