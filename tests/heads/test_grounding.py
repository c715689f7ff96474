"""A box is predicted from whatever selectors and decoder left of the patches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torchvision.ops import generalized_box_iou_loss

from bus_toolkit.errors import ComponentError
from bus_toolkit.heads.grounding import GroundingHead, Proposals, one_named_box, place_features
from bus_toolkit.models.vlp import VLPModel
from bus_toolkit.ops.patch_grid import patch_centres
from bus_toolkit.registry import REGISTRIES
from bus_toolkit.step.step import Step
from bus_toolkit.structures import Boxes, VisualTokens
from bus_toolkit.testing.model import tiny_model as node_model
from tests.tiny import WIDTH, images
from tests.tiny_model import sample, samples, tiny_heads, tiny_model

TEXTS = ["abcd", "ef", "ghijk", "lmn"]


def grounder(**settings: Any) -> VLPModel:
    torch.manual_seed(1)
    return tiny_model(heads={"grounding": GroundingHead(embed_dim=WIDTH, text_dim=WIDTH, **settings)})


def boxed(text: str, number: int, boxes: list[list[float]], named: list[bool]) -> Any:
    row = sample(text, number, boxed=False)
    row.set_field(torch.tensor(boxes), "gt_boxes", dtype=None)
    row.set_field(torch.tensor(named), "named", dtype=None)
    return row


def head_of(model: VLPModel) -> GroundingHead:
    head = model.heads["grounding"]
    assert isinstance(head, GroundingHead)
    return head


def test_every_patch_gets_the_token_it_ended_in_and_a_dropped_one_the_placeholder() -> None:
    head = GroundingHead(embed_dim=3, text_dim=4)
    embeds = torch.arange(12.0).reshape(1, 4, 3)  # one prefix token, then slots 0, 1, 2
    origin = torch.tensor([[1, -1, 1, 0, 2, -1]])  # patches 0 and 2 were merged
    dense = head.dense_grid(VisualTokens(embeds, 1, (2, 3), origin=origin))
    gone = head.placeholder.tolist()
    assert dense[0].tolist() == [[6, 7, 8], gone, [6, 7, 8], [3, 4, 5], [9, 10, 11], gone]


def test_the_grid_is_that_of_the_tokens_in_front_of_the_decoder() -> None:
    model = grounder().eval()
    step = Step(model.passes(images(4), samples()))
    visual = step.visual()
    assert visual.undecoded is not None and visual.origin is None
    assert torch.equal(head_of(model).dense_grid(visual), head_of(model).dense_grid(visual.undecoded))


def test_decoded_tokens_without_what_was_read_are_refused() -> None:
    with pytest.raises(ComponentError, match="GroundingHead: needs the token that each patch ended in, got visual"):
        GroundingHead(embed_dim=3, text_dim=4).dense_grid(VisualTokens(torch.zeros(1, 4, 3), 1, (2, 3)))


def test_each_patch_proposes_a_box_around_its_centre() -> None:
    model = grounder().eval()
    step = Step(model.passes(images(4), samples()))
    proposals = head_of(model).propose(step, step.visual())
    centres = patch_centres((4, 4), torch.device("cpu"))
    assert proposals.boxes.shape == (4, 16, 4)
    assert (proposals.boxes[..., :2] < centres).all() and (proposals.boxes[..., 2:] > centres).all()
    torch.testing.assert_close(proposals.log_weights.exp().sum(dim=1), torch.ones(4))


def slow_loss(head: GroundingHead, proposals: Proposals, targets: list[torch.Tensor | None]) -> torch.Tensor:
    """Compute the loss patch by patch on a 4 x 4 grid; rows without a target (in shares of the sides) are left out."""
    terms = []
    for row, target in enumerate(targets):
        if target is None:
            continue
        x1, y1, x2, y2 = target.tolist()
        term = torch.zeros(())
        for patch in range(16):
            left, top = patch % 4 / 4, patch // 4 / 4
            wide = max(0.0, min(x2, left + 0.25) - max(x1, left))
            high = max(0.0, min(y2, top + 0.25) - max(y1, top))
            guess = proposals.boxes[row, patch]
            giou = generalized_box_iou_loss(guess[None], target[None]).squeeze(0)
            box_term = head.l1_weight * (guess - target).abs().sum() + head.giou_weight * giou
            share = wide * high / ((x2 - x1) * (y2 - y1))
            term = term + share * (box_term - head.patch_weight * proposals.log_weights[row, patch])
        terms.append(term)
    return torch.stack(terms).mean()


def test_the_loss_is_the_mean_over_the_rows_with_one_named_box() -> None:
    model = grounder(patch_weight=0.7, l1_weight=3.0, giou_weight=1.5).eval()
    quarter, corner = [0.0, 0.0, 16.0, 16.0], [20.0, 9.0, 31.0, 30.0]
    rows = [
        boxed(TEXTS[0], 0, [quarter, corner], [True, False]),
        boxed(TEXTS[1], 1, [quarter, corner], [True, True]),
        sample(TEXTS[2], 2, boxed=False),
        boxed(TEXTS[3], 3, [quarter, corner, quarter], [False, True, False]),
    ]
    step = Step(model.passes(images(4), rows))
    proposals = head_of(model).propose(step, step.visual())
    targets = [torch.tensor(quarter) / 32, None, None, torch.tensor(corner) / 32]
    expected = slow_loss(head_of(model), proposals, targets)
    torch.testing.assert_close(model.loss(images(4), rows)["loss_grounding"], expected, atol=1e-4, rtol=1e-4)


def test_a_row_without_its_box_changes_neither_loss_nor_gradient() -> None:
    model = grounder().eval()
    results = []
    for rows in (samples(), [*samples()[:3], sample(TEXTS[3], 3, boxed=False)], samples()[:3]):
        model.zero_grad()
        loss = model.loss(images(4)[: len(rows)], rows)["loss_grounding"]
        loss.backward()
        results.append([loss.detach(), *(p.grad.clone() for p in head_of(model).parameters())])
    for with_unboxed, without in zip(*results[1:], strict=True):
        torch.testing.assert_close(with_unboxed, without, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(results[0][0], results[2][0])


def test_a_batch_without_boxes_gives_a_zero_that_carries_gradient() -> None:
    model = grounder()
    losses = model.loss(images(4), samples(boxed=False))
    losses["loss_grounding"].backward()
    assert losses["loss_grounding"] == 0 and losses["grounding_iou"] == 0
    assert all(p.grad is not None and not p.grad.any() for p in head_of(model).parameters())


def test_only_a_single_named_and_valid_box_is_a_target() -> None:
    corners = torch.tensor([[2.0, 4.0, 10.0, 12.0], [0.0, 0.0, 5.0, 5.0]]).expand(4, 2, 4)
    valid = torch.tensor([[True, True], [True, True], [True, False], [True, True]])
    named = torch.tensor([[True, False], [True, True], [False, True], [False, False]])
    targets, only = one_named_box(Boxes(corners, valid, named, (16, 20)))
    assert only.tolist() == [True, False, False, False]
    torch.testing.assert_close(targets[0], torch.tensor([0.1, 0.25, 0.5, 0.75]))


def test_no_two_patches_lie_alike() -> None:
    for grid in ((4, 4), (8, 32), (24, 24)):
        features = place_features(patch_centres(grid, torch.device("cpu")))
        distances = torch.cdist(features, features) + torch.eye(len(features)) * 9
        assert features.shape == (grid[0] * grid[1], 18) and distances.min() > 0.1


def test_a_prediction_is_in_pixels_within_the_image_and_reads_no_box() -> None:
    model = grounder().eval()
    pictures = images(4)
    with torch.no_grad():
        one = model.predict(pictures, samples())
        other = model.predict(pictures, samples(boxed=False))
    for a, b in zip(one, other, strict=True):
        assert torch.equal(a.pred_box, b.pred_box) and a.pred_box_score == b.pred_box_score
        x1, y1, x2, y2 = a.pred_box.tolist()
        assert 0 <= x1 < x2 <= 32 and 0 <= y1 < y2 <= 32 and 0 < a.pred_box_score <= 1


@pytest.mark.slow
def test_sides_of_an_oblong_image_are_not_mixed_up() -> None:
    """A box over the right half of a 2 x 6 grid: only patches of that half get weight, and pixels follow the sides."""
    model = node_model(
        {"grounding": {"type": "GroundingHead"}},
        backbone={
            "type": "mmpretrain.VisionTransformer",
            "arch": {"embed_dims": 32, "num_layers": 4, "num_heads": 4, "feedforward_channels": 64},
            "img_size": [16, 48],
            "patch_size": 8,
            "out_type": "raw",
        },
    )
    rows = [boxed("a red circle", n, [[24.0, 0.0, 48.0, 16.0]], [True]) for n in range(3)]
    pixels = torch.randn(3, 3, 16, 48, generator=torch.Generator().manual_seed(0))
    fit(model, pixels, rows, 60)
    with torch.no_grad():
        out = model.eval().predict(pixels, rows)
    np.testing.assert_allclose(out[0].pred_box.numpy(), [24, 0, 48, 16], atol=4)
    assert out[0].pred_box_score > 0.6


def fit(model: VLPModel, pixels: torch.Tensor, rows: list[Any], steps: int) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        model.train().loss(pixels, rows)["loss_grounding"].backward()
        optimizer.step()


@pytest.mark.slow
def test_the_words_decide_which_box_is_predicted() -> None:
    """One image, two expressions, two boxes: learned by heart, from half of the patches."""
    model = grounder()
    pixels = images(1).expand(2, -1, -1, -1)
    boxes = [[2.0, 3.0, 12.0, 11.0], [17.0, 18.0, 30.0, 31.0]]
    rows = [boxed(text, 0, boxes, [n == 0, n == 1]) for n, text in enumerate(["abc", "xyz"])]
    fit(model, pixels, rows, 80)
    with torch.no_grad():
        out = model.eval().predict(pixels, rows)
    for row, box in zip(out, boxes, strict=True):
        np.testing.assert_allclose(row.pred_box.numpy(), box, atol=2)
        assert row.pred_box_score > 0.6


@pytest.mark.parametrize("decoder", REGISTRIES.decoders.names())
@pytest.mark.parametrize("selector", [None, {"fuse": "normalized"}, {"fuse": "none"}], ids=["all", "fused", "kept"])
def test_works_after_every_decoder(decoder: str, selector: dict[str, Any] | None) -> None:
    takes = REGISTRIES.decoders.get(decoder).signature.arguments
    sizes = {key: value for key, value in {"num_heads": 4, "num_queries": 4}.items() if key in takes}
    selectors = [] if selector is None else [{"type": "TSPS", "blocks": [2], "keep_ratio": 0.5, **selector}]
    model = node_model(
        {"grounding": {"type": "GroundingHead"}}, decoder={"type": decoder, **sizes}, selectors=selectors
    )
    rows = [boxed("a red circle", n, [[0.0, 0.0, 16.0, 16.0]], [True]) for n in range(3)]
    loss = model.train().loss(images(3), rows)["loss_grounding"]
    loss.backward()
    assert torch.isfinite(loss)
    gradients = {name: p.grad for name, p in model.heads["grounding"].named_parameters()}
    assert all(g is not None and torch.isfinite(g).all() for g in gradients.values())
    assert gradients["placeholder"].any() == (selector == {"fuse": "none"}), "patches are gone where they are dropped"


def test_works_beside_the_other_objectives() -> None:
    heads = {**tiny_heads(), "grounding": GroundingHead(embed_dim=WIDTH, text_dim=WIDTH)}
    for mode in ("shared", "masked", "free_itc", "strict"):
        losses = tiny_model(mode, heads=heads).loss(images(4), samples())
        assert torch.isfinite(losses["loss_grounding"])


@pytest.mark.parametrize("name", ["patch_weight", "l1_weight", "giou_weight"])
def test_a_negative_factor_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="patch_weight, l1_weight and giou_weight: must be 0 or more, got"):
        GroundingHead(embed_dim=WIDTH, text_dim=WIDTH, **{name: -1.0})
