"""What a layer of transformers does not offer is refused with the list of what it does."""

from __future__ import annotations

import re
from typing import ClassVar

import pytest
import torch
from torch import Tensor
from typing_extensions import override

from bus_toolkit.errors import ComponentError
from bus_toolkit.huggingface import reduce_tokens
from bus_toolkit.huggingface.turns import Turns
from bus_toolkit.selectors import BlockAccess, BlockView, PatchSelector
from tests.huggingface.tiny import Tiny, logits

METHODS = sorted(name for name in vars(BlockAccess) if not name.startswith("_"))
ARGUMENTS = {"project_query": 1, "read": 1, "look_ahead": 2}


class Asks(PatchSelector):
    """Asks for each thing and notes what it was refused."""

    reads_block: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__(blocks=[1], keep_ratio=0.5)
        self.refused: dict[str, str] = {}

    @override
    def score(self, view: BlockView) -> Tensor:
        for name in METHODS:
            try:
                getattr(view.inside, name)(*[1] * ARGUMENTS.get(name, 0))
            except ComponentError as error:
                self.refused[name] = str(error)
        return torch.zeros(view.patches.shape[:2])


@pytest.mark.parametrize("turns", ["each", "without_text"])
def test_the_list_holds_what_is_there_and_nothing_else(llava: Tiny, turns: Turns) -> None:
    selector = Asks()
    with reduce_tokens(llava.model, selector, turns=turns):
        logits(llava.model, llava.batch())
    there = {*METHODS} - {*selector.refused}
    assert {"look_ahead", "project_query", "normed", "read"} <= {*selector.refused}
    assert ("text_attention" in there) == (turns == "each") and "keys" in there
    for message in selector.refused.values():
        found = re.search(r"what is there alone: (.*), or none of them\.", message)
        assert found is not None and {*found[1].split(", ")} == there
