"""Selectors read the text of another image, while question and fusion stay."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch
from mmengine.evaluator import Evaluator

from bus_toolkit.errors import ComponentError, ConfigError, DataError
from bus_toolkit.evaluation import ClassificationAccuracy, PatchTextAUC, RetrievalRecall, VLPEvalLoop
from bus_toolkit.evaluation.other_texts import OtherTexts, check_other_texts
from bus_toolkit.models.vlp import VLPModel
from bus_toolkit.step import Step
from bus_toolkit.testing import tiny_batch
from bus_toolkit.testing.model import tiny_model

HEADS = {
    "itc": {"type": "ITCHead"},
    "itm": {"type": "ITMHead"},
    "ptm": {"type": "PatchTextHead"},
    "vqa": {"type": "VQAHead", "search": {"beam_size": 1, "max_length": 4}},
    "grounding": {"type": "GroundingHead"},
    "classification": {"type": "ClassificationHead"},
}
UNDER_OWN = {"pred_label", "pred_score", "pred_box", "pred_answer", "patch_scores", "kept", "scores"}


class Listed:
    """Rows of (image, text, kind)."""

    def __init__(self, *rows) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def get_data_info(self, row):
        image, text, kind = self.rows[row]
        return {"image_id": image, "text": text, "question_type": kind}


def others(*rows) -> list[str]:
    """Return the text of another image for each row."""
    samples = [copy.copy(tiny_batch()[1][0]) for _ in rows]
    for sample, (image, text, _) in zip(samples, rows, strict=True):
        sample.set_field(image, "image_id", dtype=None)
        sample.set_field(text, "text", dtype=None)
    OtherTexts(Listed(*rows)).write(samples)
    return [sample.selecting_text for sample in samples]


def test_it_is_the_text_of_the_next_row_with_another_image_and_another_text() -> None:
    rows = [(1, "a", ""), (1, "b", ""), (2, "A ", ""), (2, "c", ""), (3, "d", "")]
    assert others(*rows) == ["c", "A ", "d", "d", "a"]


def test_a_row_of_the_same_kind_comes_first() -> None:
    rows = [(1, "dot of a", "dot"), (1, "ground?", "control"), (2, "ground?", "control"), (2, "dot of b", "dot")]
    assert others(*rows) == ["dot of b", "dot of b", "dot of a", "dot of a"]


def test_it_does_not_depend_on_how_many_ask_the_same() -> None:
    rows = [(image, "same", "") for image in range(3000)] + [(0, "other", "")]
    assert others(rows[0], rows[-1], (5, "third", "")) == ["third", "third", "same"]
    assert OtherTexts(Listed(*rows[:1], *rows[1:-1], (9000, "other", "")))._others[7, "same"] == "other"


@pytest.mark.parametrize("rows", [[(1, "a", ""), (1, "b", "")], [(1, "a", ""), (2, "A", "")], []])
def test_a_data_set_without_another_text_of_another_image_is_refused(rows) -> None:
    with pytest.raises(DataError, match="selecting_text: other needs for each row one of another image with another"):
        OtherTexts(Listed(*rows))


def test_a_row_that_is_not_listed_is_refused() -> None:
    with pytest.raises(DataError, match="other pairs the rows that the data set lists, got 'a small red circle"):
        OtherTexts(Listed((1, "a", ""), (2, "b", ""))).write(tiny_batch()[1])
    with pytest.raises(DataError, match="other needs a data set that lists its texts .get_data_info., got list"):
        OtherTexts([1])


@pytest.fixture(scope="module")
def model() -> VLPModel:
    return tiny_model(HEADS).eval()


def predicted(model: VLPModel, selecting: list[str] | None, texts: list[str] | None = None):
    """Return the samples predicted where these texts select and these are asked."""
    images, samples = tiny_batch()
    for row, sample in enumerate(samples):
        if texts is not None:
            sample.set_field(texts[row], "text", dtype=None)
        if selecting is not None:
            sample.set_field(selecting[row], "selecting_text", dtype=None)
    with torch.no_grad():
        return model.predict(images, samples, fields=UNDER_OWN)


OWN = [sample.text for sample in tiny_batch()[1]]
OTHER = [*OWN[1:], OWN[0]]


def test_to_select_by_the_own_text_changes_nothing(model) -> None:
    for one, two in zip(predicted(model, OWN), predicted(model, None), strict=True):
        for name in ("scores", "pred_score", "pred_box", "pred_answer", "patch_scores"):
            assert _equal(one.get(name), two.get(name)), name


def test_another_text_selects_and_the_own_one_is_asked(model) -> None:
    wrong, asked_so, own = predicted(model, OTHER), predicted(model, None, OTHER), predicted(model, None)
    for row in range(3):
        assert _equal(wrong[row].scores, asked_so[row].scores) and _equal(wrong[row].kept, asked_so[row].kept)
        assert not _equal(wrong[row].scores, own[row].scores)
        assert wrong[row].pred_box.tolist() != asked_so[row].pred_box.tolist(), "the question stays"
    with torch.no_grad():
        visual = Step(model.passes(tiny_batch()[0], asked_so)).visual()
        text = Step(model.passes(*tiny_batch())).text
        logits = model.heads["classification"].class_logits(model.encoders.fuse(text, visual))
    assert [one.pred_score for one in wrong] == pytest.approx(logits.softmax(dim=1).amax(dim=1).tolist())
    assert [one.pred_score for one in wrong] != [one.pred_score for one in own]


def test_the_prior_of_a_model_that_drops_nothing_reads_the_other_text() -> None:
    twin = tiny_model(
        HEADS, selectors=[], decoder={"type": "Identity"}, prior={"type": "TextScorePrior", "initial_scale": 5.0}
    ).eval()
    own, same, wrong = predicted(twin, None), predicted(twin, OWN), predicted(twin, OTHER)
    assert [one.pred_score for one in same] == pytest.approx([one.pred_score for one in own])
    assert all(one.pred_score != two.pred_score for one, two in zip(own, wrong, strict=True))
    check_other_texts(twin, [ClassificationAccuracy()], 0)
    asked, score = [], twin.prior.token_scores
    twin.prior.token_scores = lambda text, visual: asked.append(text) or score(text, visual)
    predicted(twin, OTHER)
    assert len(asked) == 2, "once for all that is fused, once for the patch scores that are shown"


def test_a_head_that_lets_texts_of_its_own_select_is_refused(model) -> None:
    images, samples = tiny_batch()
    samples[0].set_field(OTHER[0], "selecting_text", dtype=None)
    with pytest.raises(ComponentError, match="selecting_text: a head lets texts of its own select"), torch.no_grad():
        model.predict(images, samples, fields={"itm_positive"})


@pytest.mark.parametrize(
    ("parts", "metric", "topk", "message"),
    [
        ({}, RetrievalRecall, 0, "got RetrievalRecall, which reads image_feats of model.heads.itc. Remove"),
        ({}, ClassificationAccuracy, 4, "does not go with re-ranking"),
        ({"selectors": [], "decoder": {"type": "Identity"}}, PatchTextAUC, 0, "changes nothing here"),
    ],
)
def test_evaluations_are_refused_in_which_it_says_nothing(parts, metric, topk, message) -> None:
    model = tiny_model({"itc": {"type": "ITCHead"}, "classification": {"type": "ClassificationHead"}}, **parts)
    with pytest.raises(ConfigError, match=message):
        check_other_texts(model, [metric()], topk)


class Batches(Listed):
    """A data loader of ``tiny_batch``, in batches of one and of two."""

    def __init__(self) -> None:
        super().__init__(*((row, text, "") for row, text in enumerate(OWN)))
        self.dataset = self

    def __iter__(self):
        images, samples = tiny_batch()
        for rows in (slice(0, 1), slice(1, 3)):
            yield {"images": images[rows], "data_samples": samples[rows]}


def test_the_loop_pairs_over_the_whole_data_set(model, monkeypatch) -> None:
    seen = []

    def step(batch):
        seen.extend(sample.selecting_text for sample in batch["data_samples"])
        return [{"gt_label": 1, "pred_label": 1} for _ in batch["data_samples"]]

    monkeypatch.setattr(model, "val_step", step, raising=False)
    runner = SimpleNamespace(model=model, call_hook=lambda *_, **__: None, _test_loop=None)
    loop = VLPEvalLoop(runner, Batches(), Evaluator([ClassificationAccuracy()]), selecting_text="other")
    assert loop.run() == {"classification/accuracy": 1.0, "classification/majority": 1.0} and seen == OTHER
    with pytest.raises(ConfigError, match="VLPEvalLoop.selecting_text: must be own or other, got 'wrong'"):
        VLPEvalLoop(runner, Batches(), Evaluator([]), selecting_text="wrong")


def _equal(one, two) -> bool:
    return torch.equal(one, two) if isinstance(one, torch.Tensor) else one == two
