"""Attention of a language model as scores that boxes train, and the texts of an image as one dialog."""

from __future__ import annotations

import pytest
import torch

from bus_toolkit.errors import BusError
from bus_toolkit.models.causal.dialogs import Turn, joined
from bus_toolkit.models.causal.tasks import AnswerTask
from tests.models.causal.tiny import LANGUAGE_MODEL, TSPS, batch, model

SOFTMAX = {"form": "softmax"}


def of_one_image(images: torch.Tensor, samples: list) -> torch.Tensor:
    """Say of all samples that they show the first image."""
    for sample in samples:
        sample.set_field(0, "image_id", dtype=None)
    return images[:1]


def eager_shares(built, dialogs: list[list[Turn]], images: torch.Tensor, layer: int) -> list[torch.Tensor]:
    """Return what the end of each question gives to the 16 visual tokens, of the whole map of a layer."""
    llama = built.language_model.model
    llama.set_attn_implementation("eager")
    shares = []
    for number, dialog in enumerate(dialogs):
        (row,) = built.dialogs.rows([dialog])
        words = llama.get_input_embeddings()(torch.tensor(row.ids))
        visual = built.look(images[number : number + 1]).free(1).tokens[0]
        sequence = torch.cat([words[: row.image_at], visual, words[row.image_at :]]).unsqueeze(0)
        (given,) = llama(inputs_embeds=sequence, output_attentions=True).attentions[layer - 1].mean(dim=1)
        for end in row.question_ends:
            share = given[16 + end, row.image_at : row.image_at + 16]
            shares.append(share / share.sum())
    llama.set_attn_implementation("sdpa")
    return shares


def test_the_loss_is_that_of_the_shares_of_attention_against_the_boxes() -> None:
    built = model(attention_layers=[2], patch_text={**SOFTMAX, "weight": 2.0})
    images, samples = batch()
    value = built.loss(images, samples)["loss_answer_ptm"]
    dialogs = [[Turn(sample.text, "red")] for sample in samples]
    shares = torch.stack(eager_shares(built, dialogs, images, 2))
    # The named box covers the four patches of 8 px at the top left, and nothing else.
    truth = torch.zeros(4, 4)
    truth[:2, :2] = 0.25
    torch.testing.assert_close(value, 2.0 * -(truth.flatten() * shares.log()).sum(dim=1).mean())


def test_each_question_of_a_dialog_has_its_own_attention() -> None:
    tasks = {"answer": {"kind": "answer", "texts_per_dialog": 3}}
    built = model(attention_layers=[1, 2], patch_text=SOFTMAX, tasks=tasks)
    images, samples = batch()
    images = of_one_image(images, samples)
    samples[1].set_field(torch.tensor([[16.0, 16.0, 32.0, 32.0]]), "gt_boxes", dtype=None)
    samples[1].set_field(torch.tensor([True]), "named", dtype=None)
    value = built.loss(images, samples)["loss_answer_ptm"]
    dialog = [Turn(sample.text, "red") for sample in samples]
    corner = torch.zeros(4, 4)
    corner[:2, :2] = 0.25
    truths = torch.stack([corner, corner.flip(0, 1), corner]).flatten(1)
    terms = [-(truths * torch.stack(eager_shares(built, [dialog], images, n)).log()).sum(dim=1).mean() for n in (1, 2)]
    torch.testing.assert_close(value, torch.stack(terms).mean())


def test_a_dialog_of_several_texts_has_the_loss_of_all_their_answers() -> None:
    tasks = {"answer": {"kind": "answer", "texts_per_dialog": 8}}
    built = model(tasks=tasks)
    images, samples = batch()
    images = of_one_image(images, samples)
    rows = built.dialogs.rows([[Turn(sample.text, "red") for sample in samples]])
    assert rows[0].is_answer.count(True) == 6 and len(rows[0].question_ends) == 3
    sight = built.sight(built.look(images), rows)
    prompts = built.prompts(rows, sight)
    by_hand = torch.nn.functional.cross_entropy(built.reader.logits(prompts, sight), prompts.targets[2])
    torch.testing.assert_close(built.loss(images, samples)["loss_answer"], by_hand)
    # It is asked one by one in an evaluation.
    one_by_one = model()
    assert [s.pred_answer for s in built.predict(images, samples)] == [
        s.pred_answer for s in one_by_one.predict(images, samples)
    ]


def test_a_selector_learns_from_the_first_text_of_a_dialog() -> None:
    tasks = {"answer": {"kind": "answer", "texts_per_dialog": 3}}
    built, alone = model(tasks=tasks, selectors=[TSPS], patch_text=SOFTMAX), model(selectors=[TSPS], patch_text=SOFTMAX)
    images, samples = batch()
    images = of_one_image(images, samples)
    together = built.loss(images, samples)["loss_answer_ptm"]
    torch.testing.assert_close(together, alone.loss(images, samples[:1])["loss_answer_ptm"])


def test_attention_is_read_in_training_alone_and_leaves_the_answers_as_they_are() -> None:
    built, plain = model(attention_layers=[1, 3], patch_text=SOFTMAX), model()
    images, samples = batch()
    torch.testing.assert_close(
        built.loss(images, samples)["loss_answer"], plain.loss(images, samples)["loss_answer"], rtol=0, atol=0
    )
    assert not any(layer._forward_pre_hooks for layer in built.language_model.decoder.layers)
    value = built.train().loss(images, samples)["loss_answer_ptm"]
    value.backward()
    attention = built.language_model.decoder.layers[0].self_attn
    assert attention.q_proj.weight.grad.abs().sum() > 0 and attention.k_proj.weight.grad.abs().sum() > 0


def test_questions_that_do_not_fit_have_no_part() -> None:
    tasks = {"answer": {"kind": "answer", "texts_per_dialog": 3}}
    short = {**LANGUAGE_MODEL, "max_text_length": 34}  # 16 visual tokens, and 17 ids
    built = model(attention_layers=[2], patch_text=SOFTMAX, tasks=tasks, language_model=short)
    images, samples = batch()
    images = of_one_image(images, samples)
    dialog = [Turn(sample.text, "red") for sample in samples]
    (row,) = built.dialogs.rows([dialog])
    assert 1 <= len(row.question_ends) < 3
    truth = torch.zeros(4, 4)
    truth[:2, :2] = 0.25
    shares = torch.stack(eager_shares(built, [dialog], images, 2))
    by_hand = -(truth.flatten() * shares.log()).sum(dim=1).mean()
    torch.testing.assert_close(built.loss(images, samples)["loss_answer_ptm"], by_hand)


def test_attention_of_a_dialog_is_that_of_its_first_question() -> None:
    built = model(attention_layers=[2], patch_text=SOFTMAX, tasks={"chat": {"kind": "chat"}})
    images, samples = batch()
    for number, sample in enumerate(samples):
        turns = [("what color is it", "red"), ("and this", "blue")][: 1 + number % 2]
        sample.set_field(turns, "conversation", dtype=None)
    dialogs = [[Turn("what color is it", "red")]] * 3
    shares = torch.stack(eager_shares(built, dialogs, images, 2))
    truth = torch.zeros(4, 4)
    truth[:2, :2] = 0.25
    by_hand = -(truth.flatten() * shares.log()).sum(dim=1).mean()
    torch.testing.assert_close(built.loss(images, samples)["loss_chat_ptm"], by_hand)


def test_region_rows_train_attention_without_an_answer() -> None:
    built = model(attention_layers=[2], patch_text=SOFTMAX)
    images, samples = batch()
    whole = built.loss(images, samples)["loss_answer_ptm"]
    for sample in samples:
        sample.set_field(True, "region_only", dtype=None)
    values = built.loss(images, samples)
    assert values["loss_answer"].item() == 0.0
    torch.testing.assert_close(values["loss_answer_ptm"], whole)


def test_dialogs_are_joined_in_their_order() -> None:
    asked = [[Turn(name)] for name in "abcd"]
    assert joined(asked, 2) == [[Turn("a"), Turn("b")], [Turn("c"), Turn("d")]]


def test_texts_that_cannot_be_shared_out_are_refused() -> None:
    assert [AnswerTask(texts_per_dialog=4).turns(texts) for texts in (1, 2, 4, 8)] == [1, 2, 4, 4]
    with pytest.raises(BusError, match="texts_per_dialog must share the 6 texts of an image evenly, got 4"):
        AnswerTask(texts_per_dialog=4).turns(6)
    with pytest.raises(ValueError, match="texts_per_dialog: must be at least 1, got 0"):
        AnswerTask(texts_per_dialog=0)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"attention_layers": [4], "patch_text": SOFTMAX}, r"must name layers .* 1 to 3, got \[4\]"),
        ({"attention_layers": [2], "patch_text": SOFTMAX, "selectors": [TSPS]}, r"1 to 1, got \[2\]"),
        ({"attention_layers": [1]}, "model.attention_layers: patch_text trains them, .* got none"),
        ({"attention_layers": [1], "patch_text": {}}, "got form: binary. Set patch_text: {form: softmax}"),
    ],
)
def test_layers_that_cannot_be_trained_are_refused(parts: dict, message: str) -> None:
    with pytest.raises(BusError, match=message):
        model(**parts)
