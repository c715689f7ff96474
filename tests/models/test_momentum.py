"""Momentum copies and the queue of the contrastive head."""

from __future__ import annotations

import pytest
import torch

from bus_toolkit.models.momentum import MomentumBranch
from tests.tiny import images
from tests.tiny_model import sample, samples, tiny_heads, tiny_model


def momentum_model(**itc: object):  # noqa: ANN201
    torch.manual_seed(0)
    return tiny_model(heads=tiny_heads(**itc), momentum={"decay": 0.9})


def test_copies_move_a_tenth_of_the_way_at_decay_0_9() -> None:
    model = momentum_model()
    assert model.momentum is not None
    before = model.momentum.copies["text_encoder"].bert.embeddings.word_embeddings.weight.clone()
    with torch.no_grad():
        model.text_encoder.bert.embeddings.word_embeddings.weight.add_(1.0)
    model.after_step()
    after = model.momentum.copies["text_encoder"].bert.embeddings.word_embeddings.weight
    torch.testing.assert_close(after, before + 0.1)


@pytest.mark.parametrize(("dtype", "count"), [(torch.bfloat16, 1), (torch.float16, 1), (torch.float32, 0)])
def test_copies_whose_steps_are_rounded_away_are_warned_of_once(
    dtype: torch.dtype, count: int, caplog: pytest.LogCaptureFixture
) -> None:
    parts = torch.nn.ModuleDict({name: torch.nn.Linear(4, 4) for name in ("text_encoder", "backbone")}).to(dtype)
    branch = MomentumBranch(parts, {name: name for name in parts})
    for _ in range(3):
        branch.update(parts)
    said = [record.getMessage() for record in caplog.records]
    name = str(dtype).removeprefix("torch.")
    assert len(said) == count and all(
        f"copies of {name} weights hardly move, since steps of 0.005 of" in s for s in said
    )


def test_copies_get_no_gradient_and_stay_in_eval_mode() -> None:
    model = momentum_model().train()
    assert model.momentum is not None
    model.loss(images(4), samples())["loss_itc"].backward()
    assert all(p.grad is None for p in model.momentum.parameters())
    assert not model.momentum.copies["backbone"].training


def test_momentum_images_are_unpruned_and_text_free() -> None:
    model = momentum_model()
    assert model.momentum is not None
    seen: list[int] = []
    model.momentum.copies["backbone"].vit.layers[3].register_forward_hook(lambda m, a, out: seen.append(out.shape[1]))
    model.loss(images(4), samples())
    assert seen == [17]


def test_the_queue_is_a_ring_of_any_length() -> None:
    model = momentum_model(queue_size=6)
    head = model.heads["itc"]
    for _ in range(2):
        model.loss(images(4), samples())
        model.after_step()
    assert head.queue_ids.tolist() == [2, 3, 2, 3, 0, 1]
    assert head.queue_next.item() == 2
    torch.testing.assert_close(head.image_queue.norm(dim=1), torch.ones(6))


def test_empty_places_of_the_queue_count_as_nothing() -> None:
    without, with_queue = momentum_model(queue_size=0), momentum_model(queue_size=8)
    torch.testing.assert_close(
        without.loss(images(4), samples())["loss_itc"], with_queue.loss(images(4), samples())["loss_itc"]
    )


def test_without_soft_targets_the_first_step_equals_plain_contrast_against_momentum_features() -> None:
    model = momentum_model(alpha=0.0)
    head = model.heads["itc"]
    loss = model.loss(images(4), samples())["loss_itc"]
    texts = ["abcd", "ef", "ghijk", "lmn"]
    tokens = model.encoders.tokenize(texts)
    step_image, text = head.image_feats(model.encode(images(4), texts)), model.encoders.encode_text(tokens)
    visual_m, text_m = model.momentum.encode_visual(images(4), None), model.momentum.encode_text(tokens)
    projections = model.momentum.projections
    all_images, all_texts = head.image_feats(visual_m, projections), head.text_feats(text_m, projections)
    target = torch.arange(4)
    i2t = torch.nn.functional.cross_entropy(head.scale() * step_image @ all_texts.T, target)
    t2i = torch.nn.functional.cross_entropy(head.scale() * head.text_feats(text) @ all_images.T, target)
    torch.testing.assert_close(loss, (i2t + t2i) / 2)


@pytest.mark.parametrize("kwargs", [{"decay": 1.0}, {"selection": "text"}])
def test_bad_settings_are_refused(kwargs: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"decay must be in \[0, 1\) and selection none or same"):
        tiny_model(momentum=kwargs)


def test_samples_without_an_image_id_are_images_of_their_own() -> None:
    model = momentum_model(queue_size=6)
    batch = samples()
    for row in batch:
        del row.image_id
    with_ids = momentum_model(queue_size=6).loss(images(4), samples())["loss_itc"]
    torch.testing.assert_close(model.loss(images(4), batch)["loss_itc"], with_ids)


def test_a_text_free_copy_hides_the_caption_from_a_decoder_that_reads_text() -> None:
    torch.manual_seed(0)
    model = tiny_model(heads=tiny_heads(), momentum={"decay": 0.9})
    model.momentum.copies["decoder"].reads_text = True
    one = model.passes(images(2), [sample("ab", 0), sample("cd", 1)]).momentum.visual
    two = model.passes(images(2), [sample("xy", 0), sample("zz", 1)]).momentum.visual
    assert torch.equal(one.embeds, two.embeds)


def test_copies_follow_the_schedule_of_the_keep_ratio() -> None:
    model = tiny_model(momentum={"selection": "same"})
    model.momentum.copies["backbone"].selectors[0].keep_ratio = 0.9
    model.set_progress(0.0, 0)
    assert model.momentum.copies["backbone"].selectors[0].keep_ratio == 0.5


def test_weights_without_a_momentum_branch_start_both_branches() -> None:
    source = tiny_model()
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.add_(0.5)
    target = momentum_model()
    result = target.load_state_dict(source.state_dict(), strict=False)
    assert not [key for key in result.missing_keys if key.startswith("momentum.")]
    copied = target.momentum.copies["backbone"].vit.pos_embed
    assert torch.equal(copied, source.backbone.vit.pos_embed)
