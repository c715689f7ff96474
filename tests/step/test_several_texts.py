"""Several texts an image in one batch: what the same rows give with the image repeated, for less work."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.distributed as dist
from mmpretrain.structures import DataSample

from bus_toolkit.errors import DataError
from bus_toolkit.models import VLPModel, make_samples
from bus_toolkit.step.pass_key import PassCount
from bus_toolkit.testing import tiny
from bus_toolkit.testing.model import TINY_HEADS, tiny_model
from tests.conftest import TwoRanks

TEXTS = 3
WORDS = ("small red circle", "large blue square", "green star", "a white triangle", "the red star", "a blue circle")
TEXT_FREE = [{"type": "EViT", "blocks": [2], "keep_ratio": 0.5}]
TSPS = [{"type": "TSPS", "blocks": [2], "keep_ratio": 0.5}]
IDENTITY = {"type": "Identity"}
PAD = {"type": "PAD", "text_in_memory": True, "num_layers": 1, "num_heads": 4}
HEADS = {name: node for name, node in TINY_HEADS.items() if name != "caption"}

# What the selectors are, with which decoder, under which conditioning, with which momentum branch.
CASES: dict[str, dict[str, Any]] = {
    "unpruned": {"selectors": [], "decoder": IDENTITY},
    "text-free": {"selectors": TEXT_FREE, "decoder": IDENTITY, "conditioning": {"mode": "strict"}},
    "text-free, PAD reads the text": {"selectors": TEXT_FREE, "decoder": PAD},
    "random": {"selectors": [{"type": "Random", "blocks": [2], "keep_ratio": 0.5}], "decoder": IDENTITY},
    "TSPS": {"selectors": TSPS, "decoder": IDENTITY, "conditioning": {"mode": "strict"}},
    "TSPS, free contrast": {"selectors": TSPS, "conditioning": {"mode": "free_itc", "without_text": "prompt"}},
    "TSPS, masked, momentum": {
        "selectors": TSPS,
        "conditioning": {"mode": "masked"},
        "momentum": {"decay": 0.9},
        "fusion": {"type": "SkipConnectedFusion", "num_layers": 3, "stride": 2, "num_heads": 4},
    },
    "TSPS, momentum selects": {"selectors": TSPS, "momentum": {"decay": 0.9, "selection": "same"}},
}
DISTILLED = {"itc": 0.4, "mlm": 0.4, "prefix_lm": 0.4, "vqa": 0.4, "classification": 0.4}


def model_of(case: str) -> VLPModel:
    settings = CASES[case]
    heads = {name: dict(node) for name, node in HEADS.items()}
    if "momentum" in settings:
        for name, alpha in DISTILLED.items():
            heads[name]["alpha"] = alpha
        heads["itc"]["queue_size"] = 8
    # Random draws for each image in training, and dropout for each row: neither is what is compared here.
    return tiny_model(heads, **settings).double().train(case != "random")


def rows(count: int = 2) -> tuple[torch.Tensor, list[DataSample]]:
    """Return images and ``TEXTS`` data samples each, with boxes and answers of their own."""
    boxes = [torch.tensor([[4.0 * row, 0.0, 4.0 * row + 8.0, 12.0], [20.0, 20.0, 30.0, 30.0]]) for row in range(6)]
    samples = make_samples(
        [WORDS[row % 6] for row in range(count * TEXTS)],
        image_id=[row // TEXTS for row in range(count * TEXTS)],
        gt_boxes=[boxes[row % 6] for row in range(count * TEXTS)],
        named=[torch.tensor([True, False])] * (count * TEXTS),
        gt_label=[row % 2 for row in range(count * TEXTS)],
        gt_answer=[["red"] if row % 2 else ["blue", "green"] for row in range(count * TEXTS)],
    )
    return tiny.numbers(count, 3, tiny.SIDE, tiny.SIDE).double(), samples


def losses_and_gradient(model: VLPModel, images: torch.Tensor, samples: list) -> dict[str, torch.Tensor]:
    model.zero_grad()
    values = model.loss(images, samples)
    losses = {name: value for name, value in values.items() if name.startswith("loss_")}
    torch.stack(list(losses.values())).sum().backward()
    gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    return {**{name: value.detach() for name, value in values.items()}, "gradient": gradient}


@pytest.mark.parametrize("case", CASES)
def test_losses_and_gradients_are_those_of_repeated_images(case: str) -> None:
    model, (images, samples) = model_of(case), rows()
    got = losses_and_gradient(model, images, samples)
    expected = losses_and_gradient(model, images.repeat_interleave(TEXTS, dim=0), samples)
    assert list(got) == list(expected)
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, atol=1e-10, rtol=1e-10, msg=lambda text, name=name: name + text)
