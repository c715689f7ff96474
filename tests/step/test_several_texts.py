"""Several texts an image in one batch: what the same rows give with the image repeated, for less work."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from mmpretrain.structures import DataSample

from bus_toolkit.errors import DataError
from bus_toolkit.models import VLPModel, make_samples
from bus_toolkit.step.pass_key import PassCount
from bus_toolkit.testing import tiny
from bus_toolkit.testing.model import TINY_HEADS, tiny_model

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
    "unpruned, prior by the text": {
        "selectors": [],
        "decoder": IDENTITY,
        "prior": {"type": "TextScorePrior"},
        "conditioning": {"mode": "shared", "without_text": "prompt"},
    },
    "TSPS, prior by its scores": {"selectors": TSPS, "decoder": IDENTITY, "prior": {"type": "SelectorScorePrior"}},
    "TSPS, momentum selects": {"selectors": TSPS, "momentum": {"decay": 0.9, "selection": "same"}},
    "text-free, momentum selects": {"selectors": TEXT_FREE, "momentum": {"decay": 0.9, "selection": "same"}},
}
DISTILLED = {"itc": 0.4, "mlm": 0.4, "prefix_lm": 0.4, "vqa": 0.4, "classification": 0.4}


def model_of(case: str) -> VLPModel:
    settings = CASES[case]
    heads = {name: dict(node) for name, node in HEADS.items()}
    if "momentum" in settings:
        for name, alpha in DISTILLED.items():
            heads[name]["alpha"] = alpha
        heads["itc"]["queue_size"] = 8
    if settings.get("conditioning", {}).get("without_text") == "prompt":
        heads["ptm"]["object_weight"] = 0.3
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


def rows_in_blocks(case: str) -> tuple[list[int], dict[str, PassCount]]:
    """Return with how many rows the first and the last block ran in a training step, and what the model counted."""
    model, seen = model_of(case), []
    for number in (0, -1):
        model.backbone.vit.layers[number].register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    model.loss(*rows())
    return seen, model.token_counts


def test_work_that_reads_no_text_is_done_once_an_image() -> None:
    ran, counts = rows_in_blocks("unpruned")
    assert ran == [2, 2] and counts == {"free": PassCount(2, {"backbone": 17, "decoder": 17})}
    ran, counts = rows_in_blocks("TSPS")  # strict: once without text, else for each text, three times in pairs
    assert ran[0] == 2 and sorted(ran[1:]) == [2, 6, 6, 6, 18]
    expected = {"free": 2, "masked": 6, "prefix": 6, "caption": 6, "caption_scores": 6, "pairs": 18}
    assert {name: count.rows for name, count in counts.items()} == expected
    ran, counts = rows_in_blocks("text-free, PAD reads the text")
    assert ran == [2, 2] and counts["caption"].rows == 2 and counts["caption"].texts == TEXTS


def test_the_momentum_copy_too_does_work_that_reads_no_text_once_an_image() -> None:
    for case, expected in (("text-free, momentum selects", 2), ("TSPS, momentum selects", 6)):
        model, seen = model_of(case), []
        last = model.momentum.copies["backbone"].vit.layers[-1]
        last.register_forward_pre_hook(lambda _, inputs, seen=seen: seen.append(len(inputs[0])))
        assert len(model.passes(*rows()).momentum.visual.embeds) == 6
        assert seen == [expected], case


def test_wrong_pairs_are_never_of_the_own_image() -> None:
    model, (images, samples) = model_of("unpruned"), rows()
    passes = model.passes(images, samples)
    noise = passes.batch.noise_of_pairs("itm_text", torch.arange(6))
    assert noise.shape == (6, 6) and torch.equal(passes.batch.images_of(torch.arange(6)), torch.arange(6) // TEXTS)
    assert passes.batch.image_ids.tolist() == [0, 0, 0, 1, 1, 1]
    for sample in samples:
        sample.pop("image_id")
    assert model.passes(images, samples).batch.image_ids.tolist() == [-3, -3, -3, -4, -4, -4]


def test_predictions_are_those_of_repeated_images() -> None:
    for case in ("text-free", "TSPS, free contrast"):
        model, (images, samples) = model_of(case).eval(), rows()
        with torch.no_grad():
            got = [sample.to_dict() for sample in model.predict(images, samples)]
            expected = model.predict(images.repeat_interleave(TEXTS, dim=0), rows()[1])
        for one, other in zip(got, expected, strict=True):
            for name in ("kept", "scores", "patch_scores", "pred_box", "image_feats"):
                if name in other:
                    torch.testing.assert_close(one[name], other.get(name), atol=1e-10, rtol=1e-10)
            assert one["pred_answer"] == other.pred_answer and one["pred_label"] == other.pred_label


@pytest.mark.parametrize("case", ["TSPS", "unpruned, prior by the text"])
def test_rows_for_patch_text_supervision_follow_as_images_with_texts(case: str) -> None:
    model, (images, samples) = model_of(case), rows(3)
    for sample in samples[-TEXTS:]:
        sample.set_field(True, "region_only", dtype=None)
    got = losses_and_gradient(model, images, samples)
    expected = losses_and_gradient(model, images.repeat_interleave(TEXTS, dim=0), samples)
    torch.testing.assert_close(got["gradient"], expected["gradient"], atol=1e-10, rtol=1e-10)
    samples[-1].pop("region_only")
    with pytest.raises(DataError, match="region_only: must be said of all 3 texts of an image or of none"):
        model.loss(images, samples)


def test_sources_with_several_texts_an_image_are_split_by_image() -> None:
    model, (images, samples) = model_of("TSPS"), rows()
    for row, sample in enumerate(samples):
        sample.set_field(list(HEADS) if row < TEXTS else ["ptm", "vqa"], "objectives", dtype=None)
    got = losses_and_gradient(model, images, samples)
    expected = losses_and_gradient(model, images.repeat_interleave(TEXTS, dim=0), samples)
    torch.testing.assert_close(got["gradient"], expected["gradient"], atol=1e-10, rtol=1e-10)
    samples[0].set_field(["ptm", "vqa"], "objectives", dtype=None)
    with pytest.raises(DataError, match="objectives: must be the same for all 3 texts of an image"):
        model.loss(images, samples)


@pytest.mark.parametrize(
    ("images", "ids", "message"),
    [
        ((2, 3, 32, 32), [0, 0, 1], r"must be as many as the images, or the same number for each of them, 2, got 3"),
        ((2, 3, 32, 32), [0, 1, 0, 1], r"those of image 0 of the batch must have one image_id, got 0 and 1. Put the"),
        ((2, 2, 3, 32, 32), [0, 0, 1, 1], r"must be as many as the images of several images each, 2, got 4"),
    ],
)
def test_texts_that_belong_to_no_image_are_refused(images: tuple[int, ...], ids: list[int], message: str) -> None:
    samples = make_samples(["red star"] * len(ids), image_id=ids)
    model = model_of("unpruned")
    for run in (model.loss, model.predict):
        with pytest.raises(DataError, match=f"^data_samples: .*{message}"):
            run(torch.zeros(images).double(), samples)
