"""Rows of several sources in one step: each loss and its gradient come from the rows that serve it."""

from __future__ import annotations

import pytest
import torch

from bus_toolkit.errors import ConfigError, DataError
from bus_toolkit.heads.base import HeadOutput
from bus_toolkit.models.source_groups import mean_over_groups, split_by_objectives
from tests.tiny import images
from tests.tiny_model import sample, samples, tiny_heads, tiny_model

LANGUAGE = ("itc", "itm", "mlm", "prefix_lm")
HEADS = (*LANGUAGE, "ptm")


def captions(objectives=LANGUAGE, boxed=True):
    rows = samples(boxed)
    for row in rows:
        row.set_field(objectives, "objectives", dtype=None)
        row.set_field("captions", "source", dtype=None)
    return rows


def boxes(texts=("xyz", "wv"), objectives=("ptm",)):
    return [sample(text, 10 + i, objectives=objectives, source="boxes") for i, text in enumerate(texts)]


def losses_and_gradients(pixels, rows, mode="shared", **options):
    """Return each loss and its gradient on every parameter that it reaches."""
    model = tiny_model(mode, "prompt", **options)
    losses = model.loss(pixels, rows)
    gradients = {}
    for name in [name for name in losses if "loss" in name]:
        model.zero_grad()
        losses[name].backward(retain_graph=True)
        reached = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None and p.grad.any()}
        gradients[name] = reached
    return losses, gradients


def assert_same(outcome, expected, names):
    for name in names:
        torch.testing.assert_close(outcome[0][name], expected[0][name], msg=name)
        assert outcome[1][name].keys() == expected[1][name].keys(), name
        for parameter, gradient in expected[1][name].items():
            torch.testing.assert_close(outcome[1][name][parameter], gradient, atol=1e-6, rtol=1e-4, msg=parameter)


LANGUAGE_LOSSES = tuple(f"loss_{name}" for name in LANGUAGE)


@pytest.mark.parametrize("mode", ["shared", "masked", "free_itc", "strict"])
def test_a_head_sees_the_rows_that_serve_it_and_no_others(mode):
    pixels = images(6)
    outcome = losses_and_gradients(pixels, [*captions(), *boxes()], mode)
    alone = losses_and_gradients(pixels[:4], samples(), mode)
    assert_same(outcome, alone, LANGUAGE_LOSSES)
    assert_same(outcome, losses_and_gradients(pixels[4:], [sample("xyz", 10), sample("wv", 11)], mode), ["loss_ptm"])
    other = torch.cat([pixels[:4], images(2, seed=5)])
    changed = losses_and_gradients(other, [*captions(boxed=False), *boxes(("ponm", "q"))], mode)
    assert_same(changed, outcome, LANGUAGE_LOSSES)
    assert not torch.isclose(changed[0]["loss_ptm"], outcome[0]["loss_ptm"])


@pytest.mark.parametrize("objectives", [None, HEADS, tuple(reversed(HEADS))])
def test_one_source_is_bit_for_bit_the_batch_without_sources(objectives):
    results = []
    for rows in (captions(objectives), samples()):
        torch.manual_seed(0)
        options = {"heads": tiny_heads(queue_size=6), "momentum": {"decay": 0.9}}
        results.append(losses_and_gradients(images(4), rows, **options))
    outcome, expected = results
    assert outcome[0].keys() == expected[0].keys()
    assert all(torch.equal(outcome[0][name], expected[0][name]) for name in expected[0])
    for name, gradients in expected[1].items():
        assert all(torch.equal(outcome[1][name][parameter], value) for parameter, value in gradients.items())


def test_mixed_rows_give_what_they_give_in_order():
    pixels = images(6)
    rows = [*captions(), *boxes()]
    order = [4, 0, 1, 5, 2, 3]
    outcome = losses_and_gradients(pixels[order], [rows[i] for i in order])
    assert_same(outcome, losses_and_gradients(pixels, rows), [f"loss_{name}" for name in HEADS])


def test_a_head_of_two_sources_gets_the_mean_over_their_rows():
    more = ("ab", "cde", "fgh")
    outcome = tiny_model().loss(images(7), [*captions(HEADS), *boxes(more, ("ptm", "mlm"))])
    first = tiny_model().loss(images(7)[:4], samples())
    second = tiny_model().loss(images(7)[4:], boxes(more, None))
    for name in ("loss_ptm", "loss_mlm"):
        torch.testing.assert_close(outcome[name], (4 * first[name] + 3 * second[name]) / 7)
    for name in ("loss_itc", "loss_prefix_lm"):
        torch.testing.assert_close(outcome[name], first[name])


def test_patch_text_matching_on_two_sources_of_boxed_rows_is_that_on_all_of_them():
    outcome = tiny_model().loss(images(6), [*captions(HEADS), *boxes()])["loss_ptm"]
    whole = tiny_model().loss(images(6), [*samples(), sample("xyz", 10), sample("wv", 11)])["loss_ptm"]
    torch.testing.assert_close(outcome, whole)


def test_region_rows_stay_after_the_captions_that_they_were_appended_to():
    pixels = images(8)
    regions = [sample("po", 20, region_only=True, objectives=HEADS), sample("nm", 21, region_only=True)]
    regions[1].set_field(HEADS, "objectives", dtype=None)
    outcome = tiny_model().loss(pixels, [*captions(HEADS, boxed=False), *boxes(), *regions])
    own = [*samples(boxed=False), *(sample(text, 20, region_only=True) for text in ("po", "nm"))]
    captioned = tiny_model().loss(pixels[[0, 1, 2, 3, 6, 7]], own)
    boxed = tiny_model().loss(pixels[4:6], [sample("xyz", 10), sample("wv", 11)])
    torch.testing.assert_close(outcome["loss_mlm"], captioned["loss_mlm"])
    torch.testing.assert_close(outcome["loss_ptm"], (6 * captioned["loss_ptm"] + 2 * boxed["loss_ptm"]) / 8)


def test_weights_and_late_heads_work_as_with_one_source():
    heads = tiny_heads()
    heads["ptm"].weight, heads["itm"].start_epoch = 3.0, 1.0
    model, rows = tiny_model(heads=heads), [*captions(), *boxes()]
    plain = tiny_model().loss(images(6), rows)
    model.set_progress(0.5, 0)
    weighted = model.loss(images(6), rows)
    torch.testing.assert_close(weighted["loss_ptm"], 3.0 * plain["loss_ptm"])
    assert "loss_itm" not in weighted and "loss_itm" in plain


def test_the_queue_takes_all_rows_that_the_contrast_serves():
    model = tiny_model(heads=tiny_heads(queue_size=9), momentum={"decay": 0.9})
    model.loss(images(6), [*captions(HEADS), *boxes(objectives=("itc",))])
    model.after_step()
    assert model.heads["itc"].queue_ids.tolist() == [0, 1, 2, 3, 10, 11, -1, -1, -1]
    assert model.heads["itc"].queue_next.item() == 6
    model.loss(images(4), captions(None))
    model.after_step()
    assert model.heads["itc"].queue_ids.tolist() == [3, 1, 2, 3, 10, 11, 0, 1, 2]


def test_neighbouring_rows_are_not_copied():
    pixels = images(6)
    first, second = split_by_objectives(pixels, [*captions(), *boxes()], HEADS)
    assert first.images.data_ptr() == pixels.data_ptr() and second.images.data_ptr() == pixels[4:].data_ptr()
    assert len(first.samples) == 4 and first.serves("mlm") and not first.serves("ptm")
    [whole] = split_by_objectives(pixels[:4], samples(), HEADS)
    assert whole.serves("anything") and whole.objectives is None


def test_groups_of_several_images_a_text_keep_them_together():
    pairs = images(12).unflatten(0, (6, 2))
    rows = [*captions(("a",)), *boxes(objectives=("b",))]
    order = [4, 0, 1, 5, 2, 3]
    groups = split_by_objectives(pairs[order], [rows[i] for i in order], ["a", "b"])
    assert [group.images.shape[0] for group in groups] == [2, 4]
    assert torch.equal(groups[0].images, pairs[4:]) and torch.equal(groups[1].images, pairs[:4])


def test_the_mean_weighs_groups_by_their_rows():
    one, two = (
        HeadOutput({"x": torch.tensor(loss)}, {"figure": torch.tensor(figure)})
        for loss, figure in ((1.0, 0.5), (5.0, 1.0))
    )
    assert mean_over_groups([one], [7]) is one
    mean = mean_over_groups([one, two], [3, 1])
    assert mean.losses["x"].item() == 2.0 and mean.logs["figure"].item() == 0.625  # (3 + 5) / 4, (1.5 + 1) / 4


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        (lambda: [*captions(), *boxes(objectives=("ptn",))], ConfigError,
         r"sources.boxes.objectives: no head is named 'ptn'. Did you mean 'ptm'\? model.heads has itc, itm, mlm"),
        (captions, ConfigError,
         r"model.heads.ptm: no row of the batch serves it, got rows for itc, itm, mlm, prefix_lm. .*MixedBatchSampler"),
        (lambda: [*captions(), sample("xy", 9, region_only=True, objectives=("ptm",), source="more")], DataError,
         r"sources.more: 1 region_only rows in a batch without a caption row .*boxed_only: true"),
    ],
)  # fmt: skip
def test_mistakes_are_reported_at_the_first_step(rows, error, message):
    mixed = rows()
    with pytest.raises(error, match=message):
        tiny_model().loss(images(len(mixed)), mixed)
