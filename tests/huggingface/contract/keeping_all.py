"""Nothing kept back changes nothing."""

from __future__ import annotations

from bus_toolkit.huggingface import reduce_tokens
from tests.huggingface.contract.check import Check, Measured, difference
from tests.huggingface.contract.places import places, selection
from tests.huggingface.tiny import Tiny, generated, logits


def _logits(tiny: Tiny) -> Measured:
    inputs = tiny.batch()
    wanted = logits(tiny.model, inputs)
    found = []
    for where in places(tiny):
        with reduce_tokens(tiny.model, **selection(where, 1.0)):
            found.append(logits(tiny.model, inputs))
    return difference((one, wanted) for one in found)


def _generation(tiny: Tiny) -> Measured:
    inputs = tiny.batch()
    wrong = 0
    for settings in ({}, {"num_beams": 3}):
        wanted = generated(tiny, inputs, **settings)
        with reduce_tokens(tiny.model, **selection("both", 1.0)):
            wrong += int((generated(tiny, inputs, **settings) != wanted).sum())
    return Measured(wrong, str(wrong))


CHECKS = [
    Check("keep 1.0", "keeping all, at every place: largest difference of logits from the model as it is", _logits),
    Check("words", "keeping all: words of 20, greedy and of 3 beams, that differ from the model as it is", _generation),
]
