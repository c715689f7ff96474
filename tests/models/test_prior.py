"""Priors in whole models: what they need, who reads them, and what trains their scores."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from mmpretrain.structures import DataSample
from torch import Tensor
from torch.nn import functional as F

from bus_toolkit import build_model
from bus_toolkit.errors import BusError
from bus_toolkit.heads.beginnings import drawn_lengths, encoded_beginnings
from bus_toolkit.models.vlp import VLPModel
from bus_toolkit.structures import Beginnings, Condition
from tests.models.test_build import CONFIG
from tests.tiny import images
from tests.tiny_model import sample

TSPS, RANDOM = {"type": "TSPS", "blocks": [2]}, {"type": "Random", "blocks": [2], "keep_ratio": 0.5}
BY_SELECTOR, BY_TEXT = {"type": "SelectorScorePrior"}, {"type": "TextScorePrior"}
WIDE = {"type": "BertTextEncoder", "num_layers": 1, "hidden_size": 32, "num_heads": 4, "max_text_length": 16}


def model_of(prior: dict[str, Any] | None, *selectors: dict[str, Any], **parts: Any) -> VLPModel:
    """Return a model without a decoder, in training mode."""
    torch.manual_seed(0)
    node = {**CONFIG, "selectors": list(selectors), "decoder": None, "prior": prior, **parts}
    return build_model(node).train()


def rows_of() -> list[DataSample]:
    """Return four captions with the boxes of ``sample``."""
    return [sample(text, number) for number, text in enumerate(("red circle", "a tree", "two dogs", "blue"))]


def labels(wanted: tuple[int, ...] = (0, 1, 4, 5)) -> Tensor:
    """Return the patches of the named box of ``rows_of``."""
    return torch.zeros(4, 16).index_fill(1, torch.tensor(wanted), 1.0)


def scores_of_twin(model: VLPModel) -> Tensor:
    text = model.encoders.encode_text(model.encoders.tokenize([row.text for row in rows_of()]))
    return model.prior.token_scores(text, model.encode(images(4)))


@pytest.mark.parametrize(
    ("prior", "parts", "message"),
    [
        (BY_TEXT, {"fusion": None, "heads": {"itc": {"type": "ITCHead"}}}, "attention of a fusion, and there is none"),
        (BY_TEXT, {"fusion": {"type": "PuMer", "num_layers": 1, "num_heads": 4}}, "PuMerFusion takes no prior there"),
        (
            BY_TEXT,
            {"fusion": {"type": "SingleStreamFusion"}, "text_encoder": {**WIDE, "num_layers": 0}},
            "SingleStreamFusion takes no prior there. Use CrossAttentionFusion",
        ),
        (BY_SELECTOR, {"selectors": []}, "reads the scores of the last selector, got no selector"),
        (
            BY_SELECTOR,
            {"selectors": [TSPS, {"type": "ToMe", "blocks": [3], "num_merged": 2}]},
            "got ToMeSelector, which gives the tokens that it leaves none",
        ),
        (BY_SELECTOR, {"decoder": {"type": "AveragePool", "num_queries": 4}}, "those of AveragePool have none. Write"),
        (
            BY_SELECTOR,
            {"decoder": {"type": "PAD", "num_heads": 4, "query_init": "learned", "num_queries": 2}},
            "those of PatchAbstractionDecoder have none",
        ),
        ({**BY_SELECTOR, "initial_scale": math.inf}, {}, "initial_scale: must be a finite number, got inf"),
    ],
)
def test_what_a_prior_cannot_work_with_is_refused_when_the_model_is_built(
    prior: dict[str, Any], parts: dict[str, Any], message: str
) -> None:
    with pytest.raises(BusError, match=message):
        build_model({**CONFIG, "selectors": [TSPS], "decoder": None, "prior": prior, **parts})


def test_a_selector_that_no_box_teaches_learns_through_the_prior() -> None:
    heads = {"itm": {"type": "ITMHead"}}
    for prior, learns in ((None, False), (BY_SELECTOR, True)):
        model = model_of(prior, {**TSPS, "fuse": "none"}, heads=heads)
        model.loss(images(4), rows_of())["loss_itm"].backward()
        gradient = model.backbone.selectors[0].out.weight.grad
        assert (gradient is not None and bool(gradient.abs().sum() > 0)) is learns


def test_the_boxes_teach_the_prior_of_a_model_that_drops_nothing() -> None:
    model = model_of(BY_TEXT)
    expected = F.binary_cross_entropy_with_logits(scores_of_twin(model), labels())
    torch.testing.assert_close(model.loss(images(4), rows_of())["loss_ptm"], expected)
    model.heads["ptm"].form = "softmax"
    expected = -(scores_of_twin(model).log_softmax(dim=1) * labels() / 4).sum(dim=1).mean()
    torch.testing.assert_close(model.loss(images(4), rows_of())["loss_ptm"], expected)


def test_named_patches_that_a_selector_dropped_are_no_labels_of_the_prior() -> None:
    model = model_of(BY_TEXT, RANDOM).eval()
    visual = model.encode(images(4))
    seen = visual.kept_patches()
    assert 0 < int((labels() * seen).sum()) < int(labels().sum())
    text = model.encoders.encode_text(model.encoders.tokenize([row.text for row in rows_of()]))
    scores = model.prior.token_scores(text, visual)
    expected = F.binary_cross_entropy_with_logits(scores, labels()[seen].view(4, 8))  # kept tokens stay in order
    torch.testing.assert_close(model.loss(images(4), rows_of())["loss_ptm"], expected)
    shown = model.predict(images(4), rows_of())[0].patch_scores
    torch.testing.assert_close(shown[seen[0]], scores[0])
    assert shown[~seen[0]].eq(-math.inf).all()


def test_rows_that_serve_the_boxes_alone_train_the_prior_too() -> None:
    model, rows = model_of(BY_TEXT), rows_of()
    for row in rows[2:]:
        row.set_field(True, "region_only", dtype=None)
    expected = F.binary_cross_entropy_with_logits(scores_of_twin(model), labels())
    torch.testing.assert_close(model.loss(images(4), rows)["loss_ptm"], expected)
    # The patches that a random selection left for the fusion are those whose scores learn; no row is encoded twice.
    model = model_of(BY_TEXT, RANDOM)
    passes = model.passes(images(4), rows)
    key = model.plan.keys["ptm"]
    read, scores = passes.visual(key), passes.prior_scores(key)
    assert torch.equal(scores.slots[:2], read.read_origin) and passes.counts["prior_scores"].rows == 2
    assert torch.equal(scores.scores[:2], model.encoders.prior_scores(read, passes.texts.captions).scores)


def test_the_prior_reads_the_prompt_and_beginnings_where_the_head_asks_for_them() -> None:
    ptm = {"type": "PatchTextHead", "object_weight": 0.5, "beginning_weight": 0.25}
    model = model_of(BY_TEXT, heads={**CONFIG["heads"], "ptm": ptm}, conditioning={"without_text": "prompt"})
    passes = model.passes(images(4), rows_of())
    prompt, whole = model.encoders.free_text(4), passes.texts.captions
    noise = passes.batch.noise("ptm_beginning", 4)
    begun = Beginnings.of(passes.batch.all_tokens, drawn_lengths(passes.batch.all_tokens, noise, every=1))
    terms = [
        (0.25, whole, labels()),
        (0.5, prompt, labels((0, 1, 4, 5, 15))),
        (0.25, encoded_beginnings(model.encoders, begun), labels()),
    ]
    visual, expected = model.encode(images(4)), torch.zeros(())
    for share, text, target in terms:
        loss = F.binary_cross_entropy_with_logits(model.prior.token_scores(text, visual), target)
        expected = expected + share * loss
    torch.testing.assert_close(model.loss(images(4), rows_of())["loss_ptm"], expected)


def test_pairs_of_matching_have_the_scores_of_their_image() -> None:
    model = model_of(BY_SELECTOR, TSPS)
    passes = model.passes(images(4), rows_of())
    rows = torch.tensor([2, 0, 3])
    paired, text = passes.pairs(model.plan.keys["itm"], rows, torch.tensor([0, 1, 1]))
    whole = passes.visual(model.plan.keys["itm"])
    assert torch.equal(paired.scores, whole.scores[rows])
    torch.testing.assert_close(model.prior(text, paired), model.prior(text, whole)[rows])


def test_a_prior_of_another_text_replaces_that_of_the_fused_one() -> None:
    model = model_of(BY_TEXT).eval()
    own, other = (model.encoders.encode_text(model.encoders.tokenize([text])) for text in ("a red dot", "a tree"))
    visual = model.encode(images(1))
    given = replace(visual, prior=model.encoders.prior(other, visual))
    got = model.encoders.fuse(own, given).cls
    torch.testing.assert_close(got, model.fusion(own, visual, model.prior(other, visual)).cls)
    assert not torch.allclose(got, model.encoders.fuse(own, visual).cls)


def test_the_momentum_fusion_has_a_copy_of_the_prior() -> None:
    heads = {"itc": {"type": "ITCHead"}, "mlm": {"type": "MLMHead", "alpha": 0.4}}
    model = model_of(BY_TEXT, heads=heads, momentum={})
    torch.nn.init.constant_(model.momentum.copies["prior"].scale, 7.0)
    text = model.encoders.encode_text(model.encoders.tokenize([row.text for row in rows_of()]))
    visual = model.encode(images(4))
    expected = model.momentum.copies["fusion"](text, visual, model.momentum.copies["prior"](text, visual)).cls
    torch.testing.assert_close(model.momentum.fuse(text, visual).cls, expected)


def test_another_caption_is_scored_for_the_area_under_the_curve_of_a_twin() -> None:
    model = model_of(BY_TEXT).eval()
    row = model.predict(images(4), rows_of())[0]
    assert row.patch_scores.shape == row.patch_scores_shuffled.shape == (16,)
    assert not torch.allclose(row.patch_scores, row.patch_scores_shuffled)
    passes = model.passes(images(4), rows_of())
    key = model.plan.keys["ptm"]._replace(condition=Condition.OTHER_CAPTION)
    torch.testing.assert_close(passes.prior_scores(key).scores[0], row.patch_scores_shuffled)


def test_queries_of_a_decoder_have_no_boxes_and_the_head_is_idle(caplog: pytest.LogCaptureFixture) -> None:
    model = model_of(BY_TEXT, decoder={"type": "PAD", "num_heads": 4})
    assert model.idle_heads == {"ptm"} and "TextScorePrior, whose tokens have no place in the image" in caplog.text
    assert "such as TSPS, use decoder: {type: Identity}, or remove the head" in caplog.text


def test_the_scale_of_a_prior_does_not_decay_where_flat_parameters_do_not() -> None:
    assert model_of(BY_TEXT).prior.scale.ndim == 0


@pytest.mark.parametrize("selectors", [[], [TSPS]], ids=["unpruned", "TSPS"])
def test_several_texts_of_an_image_are_scored_as_if_each_had_its_own(selectors: list[dict[str, Any]]) -> None:
    model = model_of(BY_TEXT, *selectors).eval()
    rows = [sample(text, number // 2) for number, text in enumerate(("red circle", "a tree", "two dogs", "blue"))]
    for row in rows[2:]:
        row.set_field(True, "region_only", dtype=None)
    once, twice = images(2), images(2).repeat_interleave(2, dim=0)
    assert torch.allclose(model.loss(once, rows)["loss_ptm"], model.loss(twice, rows)["loss_ptm"], atol=1e-6)
