"""What is chosen: by the maps of eager attention, and in several turns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from typing_extensions import override

from bus_toolkit.huggingface import Turns, reduce_tokens
from bus_toolkit.selectors import BlockView, PatchSelector
from tests.huggingface.contract.check import Check, Measured
from tests.huggingface.parts import ByText
from tests.huggingface.tiny import IMAGE, Tiny, logits


@contextmanager
def _eager(tiny: Tiny) -> Iterator[None]:
    tiny.model.set_attn_implementation("eager")
    try:
        yield
    finally:
        tiny.model.set_attn_implementation("sdpa")


def by_eager_maps(tiny: Tiny, selector: type[PatchSelector] = ByText) -> Measured:
    """Return how many kept places are not among those that the last word looks at most, by eager attention's map."""
    inputs = tiny.of([[*tiny.row(), 13, 14], tiny.row(2)])
    with reduce_tokens(tiny.model, selector(blocks=[2], keep_ratio=0.25)) as reduction:
        logits(tiny.model, inputs)
        kept = reduction.kept
    with _eager(tiny), torch.no_grad():
        rows = tiny.model(**inputs, output_attentions=True).attentions[1][:, :, -1].mean(dim=1)
    assert kept is not None
    wrong = 0
    for row, ids in enumerate(inputs["input_ids"]):
        places = (ids == IMAGE).nonzero().squeeze(1)
        most = places[rows[row, places].topk(len(places) // 4).indices]
        wrong += set(most.tolist()) != set(places[kept[row, places]].tolist())
    return Measured(wrong, str(wrong))


class _ByTextIfThereIsOne(PatchSelector):
    """The likeness to the mean of the words, or the length of a token where it may read none."""

    @override
    def score(self, view: BlockView) -> Tensor:
        if view.text is None:
            return view.patches.norm(dim=-1)
        return torch.einsum("bnd,bd->bn", view.patches, view.text.pooled)


def _turns(tiny: Tiny) -> Measured:
    asked = tiny.row(1, (7, 8, 9))
    first, second = tiny.of([asked]), tiny.of([[*asked, 13, 14, 40, 41, 42]])
    second.update({name: one for name, one in first.items() if name.startswith("pixel")})
    image = first["input_ids"][0] == IMAGE

    def kept(turns: Turns, **selectors: PatchSelector) -> list[Tensor]:
        with reduce_tokens(tiny.model, **selectors, turns=turns) as reduction:
            found = []
            for inputs in (first, second):
                logits(tiny.model, inputs)
                assert reduction.kept is not None
                found.append(reduction.kept[0, : len(image)][image])
            return found

    wrong = 0
    by_text = {"selectors": ByText(blocks=[2], keep_ratio=0.25)}
    for given in (by_text, {"projected": _ByTextIfThereIsOne(blocks=[1], keep_ratio=0.25)}):
        one, other = kept("each", **given)
        assert not torch.equal(one, other), "the second question chooses otherwise"
        wrong += not torch.equal(kept("keep", **given)[1], one)
        wrong += not torch.equal(kept("union", **given)[1], one | other)
    # Inside the language model of PaliGemma visual tokens have read the text.
    wrong += not torch.equal(*kept("without_text", projected=_ByTextIfThereIsOne(blocks=[1], keep_ratio=0.25)))
    return Measured(wrong, str(wrong))


CHECKS = [
    Check("eager", "rows of 2 where FastV's choice is not that of eager attention's maps", by_eager_maps),
    Check("turns", "wrong choices of a second turn under `keep`, `union` and `without_text`", _turns),
]
