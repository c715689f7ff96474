"""Momentum copies and the queue of the contrastive head."""

from __future__ import annotations

import pytest
import torch

from tests.tiny import images
from tests.tiny_model import samples, tiny_heads, tiny_model


def momentum_model(**itc: object):  # noqa: ANN201
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
    step_image = head.image_feats(
        model.encode_visual(
            model.encode_prefix(images(4)), text := model.encode_text(model.tokenize(["abcd", "ef", "ghijk", "lmn"]))
        )
    )
    visual_m, text_m, projections = model.momentum(images(4), model.tokenize(["abcd", "ef", "ghijk", "lmn"]))
    all_images, all_texts = head.image_feats(visual_m, projections), head.text_feats(text_m, projections)
    target = torch.arange(4)
    i2t = torch.nn.functional.cross_entropy(head.scale() * step_image @ all_texts.T, target)
    t2i = torch.nn.functional.cross_entropy(head.scale() * head.text_feats(text) @ all_images.T, target)
    torch.testing.assert_close(loss, (i2t + t2i) / 2)


@pytest.mark.parametrize("kwargs", [{"decay": 1.0}, {"selection": "text"}])
def test_bad_settings_are_refused(kwargs: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"decay must be in \[0, 1\) and selection none or same"):
        tiny_model(momentum=kwargs)
