"""Patch labels from boxes, and the text-free share of the loss."""

from __future__ import annotations

import pytest
import torch

from bus_toolkit.errors import ConfigError
from bus_toolkit.heads.patch_text import PatchTextHead
from bus_toolkit.selectors import ObjectnessSelector
from bus_toolkit.step.pass_key import PassKey
from bus_toolkit.structures import Boxes, Condition, TokenBatch
from tests.tiny import WIDTH, images
from tests.tiny_model import samples, tiny_heads, tiny_model


def test_named_and_other_objects_are_distinguished() -> None:
    boxes = Boxes(
        torch.tensor([[[0.0, 0.0, 8.0, 8.0], [16.0, 16.0, 32.0, 24.0], [0.0, 24.0, 8.0, 32.0]]]),
        torch.tensor([[True, True, False]]),
        torch.tensor([[True, False, True]]),
        (32, 32),
    )
    named, objects = PatchTextHead(patch_size=8).labels(boxes)
    assert named[0].nonzero().flatten().tolist() == [0]
    assert objects[0].nonzero().flatten().tolist() == [0, 10, 11]


def test_the_text_free_share_scores_the_prompt_against_all_objects() -> None:
    heads = tiny_heads()
    model = tiny_model("free_itc", "prompt", heads=heads)
    plain = model.loss(images(4), samples())["loss_ptm"]
    heads["ptm"].object_weight = 0.999999
    objects = model.loss(images(4), samples())["loss_ptm"]
    free = model.encode(images(4)).undecoded.selections[0].decision.scores
    labels = torch.zeros(4, 16)
    labels[:, [0, 1, 4, 5, 15]] = 1.0
    expected = torch.nn.functional.binary_cross_entropy_with_logits(free, labels)
    torch.testing.assert_close(objects, expected, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(plain, objects)


def test_the_share_of_beginnings_scores_a_part_of_each_text_against_the_boxes_of_the_whole() -> None:
    model = tiny_model("free_itc", "prompt", heads={"ptm": PatchTextHead(patch_size=8, beginning_weight=0.999999)})
    rows = samples()
    noise = model.passes(images(4), rows).batch.noise("ptm_beginning", 4)
    begun = [[2, 3] for _ in rows]  # the prompt where no word is given
    for row, share in enumerate(noise.tolist()):
        given = int(share * (len(rows[row].text) + 1))
        if given:
            begun[row] = [2, *model.tokenizer.ids_of_words(rows[row].text[:given])]
    scores = []
    for row, ids in enumerate(begun):
        tokens = TokenBatch(torch.tensor([ids]), torch.ones(1, len(ids), dtype=torch.bool))
        shared = model.encoders.encode_shared(images(4)[row : row + 1])
        scores.append(model.encoders.encode_scores(shared, model.encoders.encode_text(tokens))[0].decision.scores)
    labels = torch.zeros(4, 16)
    labels[:, [0, 1, 4, 5]] = 1.0
    expected = torch.nn.functional.binary_cross_entropy_with_logits(torch.cat(scores), labels)
    torch.testing.assert_close(model.loss(images(4), rows)["loss_ptm"], expected, atol=1e-4, rtol=1e-4)
    assert len({len(ids) for ids in begun}) > 1


def test_a_selector_without_text_learns_from_the_boxes_of_all_objects() -> None:
    free = ObjectnessSelector(blocks=[2], embed_dim=WIDTH)
    model = tiny_model(selectors=[free], heads={"ptm": PatchTextHead(patch_size=8)})
    loss = model.loss(images(4), samples())["loss_ptm"]
    scores = model.passes(images(4), samples()).visual(PassKey(Condition.CAPTION)).undecoded
    assert scores is not None
    labels = torch.zeros(4, 16)
    labels[:, [0, 1, 4, 5, 15]] = 1.0
    expected = torch.nn.functional.binary_cross_entropy_with_logits(scores.selections[0].decision.scores, labels)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert free.norm.weight.grad is not None


def test_shares_of_the_whole_loss_and_beginnings_that_select_nothing_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"beginning_weight: must be 0 or more, and below 1 together .* \(0.5\), got 0.5"
    ):
        PatchTextHead(patch_size=8, object_weight=0.5, beginning_weight=0.5)
    with pytest.raises(ConfigError, match=r"heads.ptm.beginning_weight: has an effect only with .*prompt.*got cls"):
        tiny_model(heads={"ptm": PatchTextHead(patch_size=8, beginning_weight=0.5)})


@pytest.mark.parametrize("kwargs", [{"overlap": 1.0}, {"object_weight": -0.1}])
def test_shares_outside_their_range_are_refused(kwargs: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"overlap and object_weight: must be in \[0, 1\)"):
        PatchTextHead(patch_size=8, **kwargs)
