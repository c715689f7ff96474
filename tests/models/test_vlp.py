"""The assembly: every objective trains, gradients go where they should, state is kept beside them."""

from __future__ import annotations

import pytest
import torch

from bus_toolkit.errors import DataError
from bus_toolkit.selectors.random import RandomSelector
from bus_toolkit.structures import TokenBatch
from tests.tiny import images
from tests.tiny_model import sample, samples, tiny_heads, tiny_model

LOSSES = {"loss_itc", "loss_itm", "loss_mlm", "loss_prefix_lm", "loss_ptm"}
MODES = ["shared", "masked", "own_prefix", "free_itc", "strict"]


@pytest.mark.parametrize("without_text", ["cls", "prompt", "none"])
@pytest.mark.parametrize("mode", MODES)
def test_all_losses_are_finite_and_reach_every_parameter(mode: str, without_text: str) -> None:
    model = tiny_model(mode, without_text)
    losses = model.loss(images(4), samples())
    assert {name for name in losses if "loss" in name} == LOSSES
    sum(value for name, value in losses.items() if "loss" in name).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_patch_text_matching_trains_scorer_text_and_lower_blocks_only() -> None:
    model = tiny_model()
    model.loss(images(4), samples())["loss_ptm"].backward()
    with_gradient = {n for n, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert any(n.startswith("backbone.selectors.0") for n in with_gradient)
    assert any(n.startswith("text_encoder") for n in with_gradient)
    assert any(n.startswith("backbone.vit.layers.1") for n in with_gradient)
    forbidden = ("backbone.vit.layers.2", "backbone.vit.layers.3", "decoder", "fusion", "heads", "text_decoder")
    assert not [n for n in with_gradient if n.startswith(forbidden)]


def test_images_without_boxes_give_no_patch_text_loss_and_no_gradient() -> None:
    model = tiny_model()
    loss = model.loss(images(4), samples(boxed=False))["loss_ptm"]
    assert loss.item() == 0.0
    loss.backward()
    assert all(p.grad is None or p.grad.abs().sum() == 0 for p in model.parameters())


def test_unboxed_images_do_not_dilute_the_patch_text_loss() -> None:
    model = tiny_model()
    boxed = model.loss(images(4)[:2], samples()[:2])["loss_ptm"]
    mixed = model.loss(images(4), samples()[:2] + samples(boxed=False)[2:])["loss_ptm"]
    torch.testing.assert_close(boxed, mixed)


def test_region_rows_serve_patch_text_matching_alone() -> None:
    model = tiny_model()
    extra = [sample("xyz", 9, region_only=True), sample("wv", 8, region_only=True)]
    with_rows = model.loss(images(6), samples(boxed=False) + extra)
    without = model.loss(images(6)[:4], samples(boxed=False))
    for name in LOSSES - {"loss_ptm"}:
        torch.testing.assert_close(with_rows[name], without[name])
    alone = model.loss(images(6)[4:], [sample("xyz", 9), sample("wv", 8)])["loss_ptm"]
    torch.testing.assert_close(with_rows["loss_ptm"], alone)


@pytest.mark.parametrize("mode", ["shared", "free_itc", "strict"])
def test_boxed_captions_and_region_rows_count_alike_for_patch_text_matching(mode: str) -> None:
    model = tiny_model(mode, "prompt")
    model.heads["ptm"].object_weight = 0.3
    rows = [*samples()[:2], sample("xyz", 9), sample("wv", 8)]
    as_captions = model.loss(images(4), rows)["loss_ptm"]
    split = [*rows[:2], *(sample(s.text, s.image_id, region_only=True) for s in rows[2:])]
    torch.testing.assert_close(model.loss(images(4), split)["loss_ptm"], as_captions)


def test_the_masked_caption_scores_its_patches_and_a_region_row_its_own_text() -> None:
    model = tiny_model("masked")
    losses = model.loss(images(6), [*samples(), sample("xyz", 9, region_only=True), sample("wv", 8, region_only=True)])
    captions, regions = model.loss(images(6)[:4], samples()), tiny_model("shared").loss(images(6)[4:], [
        sample("xyz", 9), sample("wv", 8)
    ])  # fmt: skip
    expected = (4 * captions["loss_ptm"] + 2 * regions["loss_ptm"]) / 6
    torch.testing.assert_close(losses["loss_ptm"], expected)


@pytest.mark.parametrize("mode", MODES)
def test_predict_writes_every_promised_field(mode: str) -> None:
    model = tiny_model(mode, "prompt").eval()
    with torch.no_grad():
        out = model.predict(images(4), samples())
    fields = {
        "image_feats", "paired_image_feats", "text_feats", "itm_positive", "itm_negative", "patch_scores",
        "patch_scores_shuffled", "patch_labels", "object_labels", "mlm_targets", "mlm_predictions", "mlm_words",
        "kept", "scores", "patch_grid",
    }  # fmt: skip
    assert fields <= set(out[0].keys())
    assert out[0].mlm_words == ["a", "b", "c", "d"]
    assert out[0].patch_labels.sum() == 4
    assert out[0].object_labels.tolist().count(0) == 1
    assert out[0].kept.sum() == 8


def test_predictions_do_not_depend_on_the_batch() -> None:
    model = tiny_model("free_itc", "prompt").eval()
    with torch.no_grad():
        together = model.predict(images(4), samples())
        alone = model.predict(images(4)[2:3], samples()[2:3])
    for name in ("image_feats", "paired_image_feats", "text_feats", "patch_scores"):
        torch.testing.assert_close(together[2].get(name), alone[0].get(name), atol=1e-5, rtol=1e-5)
    assert "patch_scores_shuffled" not in alone[0].keys()


@pytest.mark.parametrize("selectors", [[], [RandomSelector(blocks=[2])]])
def test_a_model_that_reads_no_text_encodes_an_image_once(selectors: list[RandomSelector]) -> None:
    model = tiny_model("strict", selectors=selectors)
    calls: list[int] = []
    model.backbone.vit.layers[3].register_forward_hook(lambda *args: calls.append(1))
    model.loss(images(4), samples())
    assert len(calls) == 1


def test_a_late_head_joins_at_its_epoch() -> None:
    heads = tiny_heads()
    heads["itm"].start_epoch = 0.5
    model = tiny_model(heads=heads)
    model.set_progress(0.4, 0)
    assert "loss_itm" not in model.loss(images(4), samples())
    model.set_progress(0.5, 1)
    assert "loss_itm" in model.loss(images(4), samples())


def test_a_weight_scales_its_loss() -> None:
    heads = tiny_heads()
    plain = tiny_model(heads=heads).loss(images(4), samples())["loss_ptm"]
    heads["ptm"].weight = 3.0
    torch.testing.assert_close(tiny_model(heads=heads).loss(images(4), samples())["loss_ptm"], 3.0 * plain)


def test_noise_is_fresh_each_step_and_repeats_for_a_step() -> None:
    model = tiny_model()
    first = model.loss(images(4), samples())["loss_mlm"]
    torch.testing.assert_close(model.loss(images(4), samples())["loss_mlm"], first)
    values = []
    for iteration in range(1, 6):
        model.set_progress(0.0, iteration)
        values.append(model.loss(images(4), samples())["loss_mlm"].item())
    assert len(set(values)) > 1


def test_all_padding_text_is_refused_with_its_row() -> None:
    mask = torch.ones(3, 4, dtype=torch.bool)
    mask[1] = False
    with pytest.raises(DataError, match="row 1 of the batch is padding only"):
        tiny_model().encoders.encode_text(TokenBatch(torch.ones(3, 4, dtype=torch.int64), mask))


def test_weights_survive_a_round_trip() -> None:
    source, target = tiny_model().eval(), tiny_model().eval()
    for parameter in target.parameters():
        torch.nn.init.zeros_(parameter)
    target.load_state_dict(source.state_dict())
    assert torch.equal(source(images(2)).embeds, target(images(2)).embeds)


@pytest.mark.parametrize("mode", ["shared", "strict"])
def test_half_precision_trains_with_finite_losses(mode: str) -> None:
    model = tiny_model(mode, "prompt", heads=tiny_heads(queue_size=8), momentum={"decay": 0.9})
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = model.loss(images(4), samples())
    sum(value for name, value in losses.items() if "loss" in name).backward()
    assert all(torch.isfinite(value) for value in losses.values())
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_texts_in_the_place_of_data_samples_are_refused_with_the_way_to_encode_under_them() -> None:
    model = tiny_model().eval()
    with pytest.raises(DataError, match=r"got texts, which no mode reads\. Write model\.encode\(images, texts\)"):
        model(images(2), ["ab", "cd"])
    with torch.no_grad():
        visual = model.encode(images(2), ["ab", "cd"])
        swapped = model.encode(images(2), ["cd", "ab"])
        free, plain = model.encode(images(2)), model(images(2))
    assert not torch.equal(visual.embeds, swapped.embeds)
    assert torch.equal(free.embeds, plain.embeds)


def test_progress_has_one_writer() -> None:
    model = tiny_model()
    model.set_progress(0.5, 7)
    model.loss(images(4), samples())
    model.after_step()
    assert (model.epoch, model.iteration) == (0.5, 7)
