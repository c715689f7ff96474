"""What a model is asked comes back in order, in plain objects, and is what ``bus-toolkit test`` predicts."""

from __future__ import annotations

import json
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from PIL import Image

from bus_toolkit import Inferencer
from bus_toolkit.engine import RunOptions, evaluate
from bus_toolkit.errors import ConfigError, DataError
from tests.inference.toy import TEXTS, KeepPredictions, run_config, write_run


@pytest.fixture(scope="module")
def predicted(run, tmp_path_factory):
    """What ``bus-toolkit test`` predicts for the scenes of the run's test split: one sample a caption."""
    KeepPredictions.seen.clear()
    work_dir = str(tmp_path_factory.mktemp("test"))
    evaluate(run / "config.yaml", [], RunOptions(work_dir=work_dir, load_from=str(run / "epoch_1.pth")))
    assert len(KeepPredictions.seen) == 5
    return list(KeepPredictions.seen)


@pytest.fixture(scope="module")
def asked(predicted):
    return [sample["img_path"] for sample in predicted], [sample["text"] for sample in predicted]


@pytest.mark.slow
def test_answers_and_captions_are_those_of_an_evaluation(inferencer, predicted, asked):
    images, texts = asked
    answers = inferencer.answer(images, texts)
    assert answers == [
        {"image": image, "question": text, "answer": sample["pred_answer"]}
        for image, text, sample in zip(images, texts, predicted, strict=True)
    ]
    captions = [entry["caption"] for entry in inferencer.caption(images)]
    assert captions == [sample["pred_caption"] for sample in predicted]
    assert len(set(captions)) > 1 and len({entry["answer"] for entry in answers}) > 1


def test_boxes_are_those_of_an_evaluation_in_pixels_of_the_file(inferencer, predicted, asked):
    for entry, sample in zip(inferencer.ground(*asked), predicted, strict=True):
        # The scenes have 64 px, the model reads 32.
        np.testing.assert_allclose(entry["box"], 2.0 * sample["pred_box"].numpy(), rtol=1e-4, atol=1e-3)
        assert entry["score"] == pytest.approx(float(sample["pred_box_score"]), rel=1e-4)
        left, top, right, bottom = entry["box"]
        assert 0.0 <= left < right <= 64.0 and 0.0 <= top < bottom <= 64.0


def test_the_patches_shown_are_those_of_an_evaluation(inferencer, predicted, asked):
    for entry, sample in zip(inferencer.explain(*asked), predicted, strict=True):
        assert np.array_equal(np.ravel(entry["kept"]), np.ravel(sample["kept"]))
        np.testing.assert_allclose(np.ravel(entry["selectors"][0]["scores"]), np.ravel(sample["scores"]), rtol=1e-4)


def test_similarities_and_match_probabilities_are_those_of_an_evaluation(inferencer, predicted, asked):
    found = inferencer.retrieve(*asked, topk=5, rerank=5)
    images = torch.stack([torch.as_tensor(sample["image_feats"]) for sample in predicted])
    texts = torch.stack([torch.as_tensor(sample["text_feats"]) for sample in predicted])
    similarity = (images @ texts.T).numpy()
    for image, hits in enumerate(found["i2t"]):
        assert sorted(hit["index"] for hit in hits) == list(range(5))
        for hit in hits:
            assert hit["score"] == pytest.approx(similarity[image, hit["index"]], abs=1e-5)
        own = next(hit["match"] for hit in hits if hit["index"] == image)
        logit = torch.tensor(predicted[image]["itm_positive"])
        assert own == pytest.approx(logit.sigmoid().item(), abs=1e-5)


@pytest.mark.parametrize("size", [1, 5])
def test_the_batch_size_changes_nothing(run, inferencer, pictures, size):
    other = Inferencer(run, device="cpu", batch_size=size)
    assert other.caption(pictures) == inferencer.caption(pictures)
    boxes = [[entry["box"] for entry in one.ground(pictures, TEXTS)] for one in (other, inferencer)]
    np.testing.assert_allclose(*boxes, rtol=1e-4, atol=1e-3)


def test_one_image_stands_for_several_texts_and_one_text_for_several_images(inferencer, pictures):
    several = inferencer.answer(pictures[0], TEXTS)
    assert several == inferencer.answer([pictures[0]] * 3, TEXTS)
    assert [entry["question"] for entry in several] == list(TEXTS)
    across = inferencer.ground(pictures, TEXTS[0])
    assert [entry["image"] for entry in across] == pictures
    assert {entry["expression"] for entry in across} == {TEXTS[0]}
    with pytest.raises(
        DataError, match="images and questions: must be equally many, or one image, or one text, got 3 and 2"
    ):
        inferencer.answer(pictures, TEXTS[:2])


def test_arrays_tensors_and_pil_images_say_what_their_file_says(inferencer, pictures):
    opened = [Image.open(path).convert("RGB") for path in pictures]
    arrays = [np.array(image) for image in opened]
    tensors = [torch.from_numpy(array).permute(2, 0, 1) for array in arrays]
    boxes = [[entry["box"] for entry in inferencer.ground(pictures, TEXTS)]]
    boxes += [[entry["box"] for entry in inferencer.ground(kind, TEXTS)] for kind in (opened, arrays, tensors)]
    assert boxes[0] == boxes[1] == boxes[2] == boxes[3]
    swapped = [array[..., ::-1] for array in arrays]
    assert [entry["box"] for entry in inferencer.ground(swapped, TEXTS)] != boxes[0]


@contextmanager
def predicting(head, **fields):
    """Let a head predict the same for each sample."""
    kind = type(head)
    own = {"predict": lambda self, step: {name: [value] * len(step.batch.samples) for name, value in fields.items()}}
    head.__class__ = type("OwnHead", (kind,), own)
    try:
        yield
    finally:
        head.__class__ = kind


def test_a_box_comes_back_in_pixels_of_the_image_and_is_cut_to_it(inferencer, pictures):
    wide = Image.open(pictures[0]).resize((200, 100))
    # 32 px are 200 across and 100 down: factors 6.25 and 3.125.
    box = torch.tensor([8.0, -1.0, 16.0, 40.0])
    with predicting(inferencer.model.heads["grounding"], pred_box=box, pred_box_score=torch.tensor(0.5)):
        found = inferencer.ground(wide, TEXTS[1])
    assert found == [{"image": "image 0", "expression": TEXTS[1], "box": [50.0, 0.0, 100.0, 100.0], "score": 0.5}]


def test_results_can_be_written_as_json(inferencer, pictures, tmp_path):
    results = [
        inferencer.retrieve(pictures, TEXTS, rerank=2),
        inferencer.answer(pictures, TEXTS),
        inferencer.caption(pictures),
        inferencer.ground(pictures, TEXTS),
        inferencer.explain(pictures, TEXTS, out=tmp_path),
    ]
    assert json.loads(json.dumps(results)) == results


def test_a_broken_image_is_named_and_leaves_nothing_behind(inferencer, pictures, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(open(pictures[0], "rb").read()[:60])
    out = tmp_path / "pictures"
    with pytest.raises(DataError, match=r"image 3 \(.*broken.png\): the image cannot be decoded.*Repair it"):
        inferencer.explain([*pictures, broken], TEXTS[0], out=out)
    assert not out.exists()
    with pytest.raises(DataError, match=r"image 1 \(gone.png\): no such file"):
        inferencer.caption([pictures[0], "gone.png"])


def test_a_model_without_the_head_says_which_it_has(tmp_path, run, pictures):
    bare = run_config(run.parent / "scenes", cls={"type": "ClassificationHead", "num_classes": 2})
    asked = Inferencer(write_run(tmp_path / "run", bare), device="cpu")
    calls = {
        "answer": (lambda: asked.answer(pictures, TEXTS), "VQAHead", "bus_vqa_scenes_small"),
        "caption": (lambda: asked.caption(pictures), "CaptionHead", "bus_caption_scenes_tiny"),
        "ground": (lambda: asked.ground(pictures, TEXTS), "GroundingHead", "bus_grounding_scenes_tiny"),
        "retrieve": (lambda: asked.retrieve(pictures, TEXTS), "ITCHead", "bus_scenes_tiny"),
        "index": (lambda: asked.index(pictures), "ITCHead", "bus_scenes_tiny"),
    }
    for method, (call, head, config) in calls.items():
        start = rf"Inferencer.{method}: model.heads must hold {head} for this, got cls \(ClassificationHead\)"
        message = rf"{start}.*bus/{config}\."
        with pytest.raises(ConfigError, match=message):
            call()
    assert len(asked.explain(pictures, TEXTS)) == 3


def test_a_head_of_a_subclass_is_asked_too(inferencer, pictures):
    with predicting(inferencer.model.heads["caption"], pred_caption="mine"):
        assert [entry["caption"] for entry in inferencer.caption(pictures)] == ["mine"] * 3


def test_a_batch_size_of_nothing_is_refused(run):
    with pytest.raises(ConfigError, match="Inferencer.batch_size: must be 1 or more, got 0"):
        Inferencer(run, batch_size=0)


def test_a_model_and_an_index_say_what_they_are(run, inferencer, pictures):
    heads = "itc, caption, grounding, itm, vqa"
    assert repr(inferencer) == f"Inferencer({str(run)!r}, heads: {heads}; 32 x 32 px, cpu)"
    assert repr(inferencer.index(pictures)) == "ImageIndex(3 images, features of width 16, without tokens to re-rank)"
