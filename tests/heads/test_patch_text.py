"""Patch labels from boxes, and the text-free share of the loss."""

from __future__ import annotations

import pytest
import torch

from bus_toolkit.heads.patch_text import PatchTextHead
from bus_toolkit.structures import Boxes
from tests.tiny import images
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


@pytest.mark.parametrize("kwargs", [{"overlap": 1.0}, {"object_weight": -0.1}])
def test_shares_outside_their_range_are_refused(kwargs: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"overlap and object_weight: must be in \[0, 1\)"):
        PatchTextHead(patch_size=8, **kwargs)
