"""Losses, gradients and answers of a model with a causal language model."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from bus_toolkit.errors import ComponentError, ConfigError
from bus_toolkit.models.causal.dialogs import Turn
from bus_toolkit.models.causal.sight import Sight
from bus_toolkit.models.causal.vlm import CausalVLM
from tests.models.causal.tiny import TSPS, batch, model

IDENTITY = {"type": "Identity", "blocks": [1]}
FULL = {"type": "Random", "blocks": [1], "keep_ratio": 1.0}
HALF = {"type": "UniformGrid", "blocks": [2], "keep_ratio": 0.5}


def by_hand(built: CausalVLM, images: torch.Tensor, samples: list[Any], answers: list[str]) -> list[torch.Tensor]:
    """Return the logits of each row's answer and end mark, row by row, without padding, selection or cache."""
    tokenizer, llama = built.tokenizer, built.language_model.model
    visual = built.projector(built.backbone(images).embeds[:, 1:])
    rows = []
    for row, (sample, answer) in enumerate(zip(samples, answers, strict=True)):
        question, written = (tokenizer([text]).input_ids[0, 1:-1] for text in (sample.text, answer))
        embed = llama.get_input_embeddings()
        start = torch.tensor([tokenizer.cls_token_id])
        sequence = torch.cat([embed(start), visual[row], embed(question), embed(written)])
        logits = llama(inputs_embeds=sequence.unsqueeze(0)).logits[0]
        rows.append(logits[-len(written) - 1 :])
    return rows


def targets(built: CausalVLM, answers: list[str]) -> list[torch.Tensor]:
    return [built.tokenizer([answer]).input_ids[0, 1:] for answer in answers]  # with the end mark


@pytest.mark.parametrize("selectors", [[], [FULL]], ids=["none", "all kept"])
def test_the_loss_is_that_of_the_answers_alone_whatever_the_padding(selectors: list[dict[str, Any]]) -> None:
    built = model(selectors=selectors)
    images, samples = batch()
    answers = ["red", "red", "red"]  # the one that most people gave
    logits, truth = torch.cat(by_hand(built, images, samples, answers)), torch.cat(targets(built, answers))
    values = built.loss(images, samples)
    torch.testing.assert_close(values["loss_answer"], F.cross_entropy(logits, truth))
    torch.testing.assert_close(values["answer_right"], (logits.argmax(dim=1) == truth).float().mean())


def test_rows_alone_have_the_losses_that_they_have_together() -> None:
    built = model(selectors=[HALF])
    images, samples = batch()
    together = built.loss(images, samples)["loss_answer"]
    alone = torch.stack([built.loss(images[i : i + 1], samples[i : i + 1])["loss_answer"] for i in range(3)])
    torch.testing.assert_close(together, alone.mean())  # answers of one length


def test_a_selection_inside_drops_places_and_leaves_positions() -> None:
    built, plain = model(selectors=[HALF]), model()
    images, samples = batch()
    with torch.no_grad():
        values = built.loss(images, samples)
        selections = built.reader.selection.selections()
    assert [one.decision.plan.num_slots for one in selections] == [8]
    # By hand: after layer 2 the third layer reads half of the visual tokens, at their own positions.
    llama, kept = plain.language_model.model, selections[0].decision.plan.keep_indices
    tokenizer, losses = plain.tokenizer, []
    visual = plain.projector(plain.backbone(images).embeds[:, 1:])
    for row, sample in enumerate(samples):
        question, answer = tokenizer([sample.text]).input_ids[0, 1:-1], tokenizer(["red"]).input_ids[0, 1:]
        embed = llama.get_input_embeddings()
        start = torch.tensor([tokenizer.cls_token_id])
        states = torch.cat([embed(start), visual[row], embed(question), embed(answer[:-1])]).unsqueeze(0)
        positions = torch.arange(states.shape[1]).unsqueeze(0)
        for number, layer in enumerate(llama.model.layers):
            if number == 2:
                places = [0, *(1 + kept[row]).tolist(), *range(17, states.shape[1])]
                states, positions = states[:, places], positions[:, places]
            tables = llama.model.rotary_emb(states, positions)
            out = layer(states, position_embeddings=tables, position_ids=positions)
            states = out[0] if isinstance(out, tuple) else out
        logits = llama.lm_head(llama.model.norm(states))[0, -len(answer) :]
        losses.append(F.cross_entropy(logits, answer))
    torch.testing.assert_close(values["loss_answer"], torch.stack(losses).mean())


@pytest.mark.parametrize(
    "parts",
    [{}, {"selectors": [HALF]}, {"selectors": [TSPS]}, {"vision_selectors": [{**TSPS, "blocks": [2]}]}],
    ids=["plain", "dropping", "weighing", "in the backbone"],
)
def test_written_answers_are_the_likeliest_words_of_the_loss(parts: dict[str, Any]) -> None:
    built = model(**parts)
    images, samples = batch()
    asked = [[Turn(sample.text)] for sample in samples]
    seen = built.look(images)
    rows = built.dialogs.rows(asked)
    sight = built.sight(seen, rows)
    written = built.reader.write(built.prompts(rows, sight, left=True), sight, built.writing, built.vocabulary)
    assert built.predict(images, samples)[0].pred_answer == built.tokenizer.decode(written[0].tolist())
    for row, ids in enumerate(written.tolist()):
        known = built.dialogs.rows([[Turn(samples[row].text, built.tokenizer.decode(ids))]])
        one = Sight(sight.tokens[row : row + 1], sight.grid, None, sight.visual)
        logits = built.reader.logits(built.prompts(known, one), one)
        logits[:, list(built.vocabulary.never_written)] = -torch.inf
        likeliest = logits.argmax(dim=1).tolist()
        words = [number for number in ids if number not in (built.vocabulary.pad_id, built.vocabulary.sep_id)]
        assert likeliest[: len(words)] == words
        if len(words) < built.writing.max_new_tokens:
            assert likeliest[-1] == built.vocabulary.sep_id


def test_gradients_reach_every_part_and_a_selector_through_its_weights_and_its_boxes() -> None:
    built = model(selectors=[TSPS], patch_text={"form": "softmax", "weight": 2.0}).train()
    images, samples = batch()
    values = built.loss(images, samples)
    assert set(values) == {"loss_answer", "loss_answer_ptm", "answer_right"}
    values["loss_answer"].backward(retain_graph=True)
    assert all(one.grad is not None and one.grad.abs().sum() > 0 for one in built.selectors.parameters())
    assert built.projector.weight.grad.abs().sum() > 0
    first = next(built.backbone.vit.parameters())
    assert first.grad is not None
    built.zero_grad()
    values["loss_answer_ptm"].backward()
    assert all(one.grad is not None for one in built.selectors.parameters())
    assert built.language_model.model.lm_head.weight.grad is None


def test_the_patch_text_loss_is_that_of_the_scores_against_the_boxes() -> None:
    built = model(selectors=[TSPS], patch_text={"form": "softmax", "weight": 2.0})
    images, samples = batch()
    value = built.loss(images, samples)["loss_answer_ptm"]
    (selection,) = built.reader.selection.selections()
    # The named box covers the four patches of 8 px at the top left, and nothing else.
    truth = torch.zeros(3, 4, 4)
    truth[:, :2, :2] = 0.25
    by_hand = -(truth.flatten(1) * selection.decision.scores.log_softmax(dim=1)).sum(dim=1).mean()
    torch.testing.assert_close(value, 2.0 * by_hand)


def test_scores_in_the_language_model_are_traced_to_the_patches_that_the_backbone_left() -> None:
    built = model(
        vision_selectors=[{"type": "UniformGrid", "blocks": [1], "keep_ratio": 0.5}],
        selectors=[{**TSPS, "fuse": "none"}],
        patch_text={"form": "softmax"},
    )
    images, samples = batch()
    samples = built.predict(images, samples)
    left = samples[0].patch_scores.isfinite()
    assert int(left.sum()) == 8 and int(samples[0].kept.sum()) == 4
    assert bool((samples[0].kept & ~left).any()) is False
    assert samples[0].patch_grid == (4, 4) and samples[0].object_labels.shape == (16,)


def test_no_selector_reads_an_answer() -> None:
    built = model(selectors=[TSPS])
    images, samples = batch()
    built.loss(images, samples)
    first = built.reader.selection.selections()[0].decision.scores
    for sample in samples:
        sample.set_field("blue", "gt_answer", dtype=None)
    built.loss(images, samples)
    torch.testing.assert_close(built.reader.selection.selections()[0].decision.scores, first, rtol=0, atol=0)
    # Nor does writing differ from learning in what is read.
    built.predict(images, samples)
    torch.testing.assert_close(built.reader.selection.selections()[0].decision.scores, first)


def test_texts_of_one_image_are_as_texts_of_images_of_their_own() -> None:
    built = model(selectors=[TSPS], patch_text={})
    images, samples = batch()
    several = images[:1].expand(3, -1, -1, -1)
    for sample in samples:
        sample.set_field(0, "image_id", dtype=None)
    torch.testing.assert_close(built.loss(images[:1], samples), built.loss(several, samples))


def test_rows_for_patch_text_alone_have_no_answer() -> None:
    built = model(selectors=[TSPS], patch_text={})
    images, samples = batch()
    two = built.loss(images[:2], samples[:2])
    samples[2].set_field(True, "region_only", dtype=None)
    three = built.loss(images, samples)
    torch.testing.assert_close(three["loss_answer"], two["loss_answer"])
    assert not torch.equal(three["loss_answer_ptm"], two["loss_answer_ptm"])


def test_without_any_answer_the_loss_is_zero_with_a_gradient() -> None:
    built = model().train()
    images, samples = batch()
    for sample in samples:
        sample.set_field([], "gt_answer", dtype=None)
    value = built.loss(images, samples)["loss_answer"]
    value.backward()
    assert value.item() == 0.0


def test_rows_serve_the_tasks_that_they_name() -> None:
    tasks = {"answer": {"kind": "answer"}, "caption": {"kind": "caption", "prompt": "image", "weight": 0.5}}
    built = model(tasks=tasks)
    images, samples = batch()
    both = built.loss(images, samples)
    for row, sample in enumerate(samples):
        sample.set_field(["caption"] if row else ["answer"], "objectives", dtype=None)
    split = built.loss(images, samples)
    alone = model().loss(images[:1], samples[:1])
    torch.testing.assert_close(split["loss_answer"], alone["loss_answer"])
    assert set(split) == set(both) == {"loss_answer", "answer_right", "loss_caption", "caption_right"}


def test_tasks_that_nobody_reads_are_not_asked() -> None:
    built = model(tasks={"answer": {"kind": "answer"}, "caption": {"kind": "caption", "prompt": "image"}})
    images, samples = batch()
    (first, *_) = built.predict(images, samples, fields={"pred_caption"})
    assert "pred_caption" in first and "pred_answer" not in first and "kept" not in first
    (first, *_) = built.predict(images, batch()[1], fields={"kept"})
    assert "kept" in first and "pred_caption" not in first
    twice = model(tasks={"one": {"kind": "answer"}, "two": {"kind": "answer"}})
    with pytest.raises(ComponentError, match="model.tasks.two: it gives 'pred_answer', as model.tasks.one does"):
        twice.predict(images, samples)


def test_beams_write_at_least_as_likely_answers_and_leave_the_same_patches() -> None:
    greedy, beams = model(selectors=[TSPS]), model(selectors=[TSPS], writing={"max_new_tokens": 4, "num_beams": 3})
    images, samples = batch()
    one, other = greedy.predict(images, samples), beams.predict(images, batch()[1])
    assert all(torch.equal(a.kept, b.kept) for a, b in zip(one, other, strict=True))
    assert all(isinstance(sample.pred_answer, str) for sample in other)


def test_ratios_follow_the_training_in_both_towers() -> None:
    schedule = {"start": 1.0, "end": 0.5, "epochs": 4}
    stages = {"type": "Random", "blocks": [1, 2], "keep_ratio": schedule}
    built = model(selectors=[stages], vision_selectors=[{"type": "Random", "blocks": [1], "keep_ratio": schedule}])
    images, samples = batch()
    counts = []
    for epoch in (0.0, 4.0):
        built.set_progress(epoch, 0)
        built.loss(images, samples)
        counts.append([one.decision.plan.num_slots for one in built.reader.selection.selections()])
    # 16 patches; half in the backbone, half of these after layer 1, half of the rest after layer 2.
    assert counts == [[16, 16], [4, 2]]


def test_a_state_dict_holds_all_and_goes_through_a_file(tmp_path) -> None:
    built = model(selectors=[TSPS])
    torch.save(built.state_dict(), tmp_path / "weights.pth")
    other = model(selectors=[TSPS])
    for parameter in other.parameters():
        torch.nn.init.constant_(parameter, 0.1)
    other.load_state_dict(torch.load(tmp_path / "weights.pth", weights_only=True))
    images, samples = batch()
    torch.testing.assert_close(built.loss(images, samples), other.loss(images, samples))
    parts = {name.split(".")[0] for name in built.state_dict()}
    assert parts == {"backbone", "projector", "language_model", "selectors"}


def test_decoders_of_every_kind_are_projected() -> None:
    images, samples = batch()
    half = {"type": "Random", "blocks": [2], "keep_ratio": 0.5}  # queries lie in no grid
    for decoder, count in (
        ({"type": "PAD", "num_layers": 1, "num_heads": 4, "num_queries": 5}, 5),
        ({"type": "AveragePool", "num_queries": 4}, 4),
    ):
        built = model(decoder=decoder, projector_layers=2, selectors=[half])
        assert built.look(images).free(3).tokens.shape == (3, count, 16)
        assert math.isfinite(built.loss(images, samples)["loss_answer"].item())


def test_a_selector_may_act_before_its_layer() -> None:
    built = model(selectors=[{"type": "PyramidDrop", "blocks": [2]}])
    images, samples = batch()
    assert math.isfinite(built.loss(images, samples)["loss_answer"].item())
    (selection,) = built.reader.selection.selections()
    count = selection.decision.plan.num_inputs
    assert selection.block == 1 and selection.decision.plan.num_slots == count // 2
    with pytest.raises(ConfigError, match=r"model.selectors.0.blocks: must be in 2 to 3, .* got \[1\]"):
        model(selectors=[{"type": "PyramidDrop", "blocks": [1]}])
