"""Rows in which nothing that may be read comes before the first label.

Collators often copy ``input_ids`` as labels and ignore padding alone (NielsRogge/Transformers-Tutorials, issue 511).
"""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from bus_toolkit.huggingface import reduce_tokens
from bus_toolkit.selectors import BlockView, PatchSelector
from tests.huggingface.parts import ByEveryone
from tests.huggingface.tiny import IMAGE, Tiny, build


class LastFirst(PatchSelector):
    """The later a token, the better."""

    @override
    def score(self, view: BlockView) -> Tensor:
        count = view.patches.shape[1]
        return torch.arange(float(count)).expand(view.patches.shape[0], count)


def test_visual_tokens_are_ranked_by_each_other_where_every_token_is_a_label() -> None:
    tiny = build("llava")
    inputs = tiny.batch()
    visual = inputs["input_ids"] == IMAGE
    labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)
    with reduce_tokens(tiny.model, ByEveryone(blocks=[1], keep_ratio=0.25)) as reduction, torch.no_grad():
        tiny.model(**inputs, labels=labels)
    (selection,) = reduction.selections
    tiny.model.set_attn_implementation("eager")
    with torch.no_grad():
        maps = tiny.model(**inputs, output_attentions=True).attentions[0].mean(dim=1)  # (B, W, W)
    wanted = torch.stack([one[seen][:, seen].mean(dim=0) for one, seen in zip(maps, visual, strict=True)])
    torch.testing.assert_close(selection.decision.scores, wanted)
    assert reduction.counts == (4, 4)


def test_all_that_comes_before_the_answer_may_have_been_dropped(llava: Tiny) -> None:
    # The first image stands for the question; the first selection drops it for the second one.
    ids = torch.tensor([[*[IMAGE] * 16, 20, *[IMAGE] * 16, 7, 8]])
    labels = torch.full_like(ids, -100)
    labels[0, 16] = 20
    selectors = [LastFirst(blocks=[1], keep_ratio=0.5), ByEveryone(blocks=[2], keep_ratio=0.5)]
    with reduce_tokens(llava.model, selectors) as reduction, torch.no_grad():
        llava.model(input_ids=ids, **llava.pixels([2]), labels=labels)
    first, second = reduction.selections
    assert first.decision.plan.keep_indices.tolist() == [list(range(16, 32))]
    assert second.decision.scores.isfinite().all()
