"""The temperature of the contrastive head."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from bus_toolkit.heads.itc import ITCHead
from bus_toolkit.heads.itc_candidates import FeatureRows
from bus_toolkit.losses.contrastive import positive_targets
from bus_toolkit.step.image_ids import EMPTY, UNKNOWN, id_number


def head(**kwargs: object) -> ITCHead:
    return ITCHead(embed_dim=8, text_dim=8, **kwargs)  # type: ignore[arg-type]


def test_the_scale_is_one_over_the_temperature() -> None:
    assert head(temperature=0.05).scale().item() == pytest.approx(20.0, rel=1e-5)


@pytest.mark.parametrize(("start", "back"), [(10.0, 1000.0), (-10.0, 2.0)])
def test_a_temperature_that_left_its_range_is_put_back_and_can_learn_again(start: float, back: float) -> None:
    itc = head()
    with torch.no_grad():
        itc.logit_scale.fill_(start)
    itc.after_step([])
    assert itc.scale().item() == pytest.approx(back, rel=1e-4)
    itc.scale().backward()
    assert itc.logit_scale.grad is not None
    assert itc.logit_scale.grad.item() != 0


@pytest.mark.parametrize("kwargs", [{"temperature": 1.0}, {"alpha": 1.5}, {"queue_size": -1}])
def test_values_outside_their_range_are_refused(kwargs: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"alpha must be in \[0, 1\], queue_size 0 or more and temperature in"):
        head(**kwargs)


def test_images_without_ids_match_nothing_that_the_queue_keeps() -> None:
    itc = head(queue_size=4)
    rows = torch.zeros(3, itc.image_queue.shape[1])
    itc.after_step([FeatureRows(rows, rows, torch.tensor([id_number(None, 0), id_number(None, 1), 5]))])
    assert itc.queue_ids.tolist() == [UNKNOWN, UNKNOWN, 5, EMPTY]
    next_batch = torch.tensor([id_number(None, 0), id_number(None, 1), 5])
    targets = positive_targets(next_batch, torch.cat([next_batch, itc.queue_ids]))
    assert targets[:2].tolist() == [[1, 0, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0, 0]]
    assert targets[2].tolist() == [0, 0, 0.5, 0, 0, 0.5, 0]


def test_an_image_without_id_is_known_again_by_its_row_of_the_data_and_no_other_image_is_it() -> None:
    itc = head(queue_size=4)
    rows = torch.zeros(3, itc.image_queue.shape[1])
    itc.after_step([FeatureRows(rows, rows, torch.tensor([id_number(None, place, 10 + place) for place in range(3)]))])
    next_batch = torch.tensor([id_number(None, 0, 11), id_number(None, 1, 20)])  # row 11 comes again at another place
    assert positive_targets(next_batch, itc.queue_ids).tolist() == [[0, 1, 0, 0], [0, 0, 0, 0]]


def test_a_row_that_is_not_finite_leaves_its_place_in_the_queue_empty() -> None:
    itc = head(queue_size=4)
    images = F.normalize(torch.rand(3, itc.image_queue.shape[1]), dim=1)
    texts = images.clone()
    images[0, 0], texts[2, 1] = float("nan"), float("inf")
    itc.after_step([FeatureRows(images, texts, torch.tensor([7, 8, 9]))])
    assert itc.queue_ids.tolist() == [EMPTY, 8, EMPTY, EMPTY]
    assert itc.image_queue.isfinite().all() and itc.text_queue.isfinite().all()
    assert torch.equal(itc.text_queue[1], texts[1])


def test_the_sigmoid_form_has_a_bias_and_takes_no_queue() -> None:
    assert head(form="sigmoid").logit_bias.item() == -10.0 and "logit_bias" not in dict(head().named_parameters())
    with pytest.raises(ValueError, match=r"queue_size: must be 0 with form: sigmoid, .*, got 4\. Set queue_size: 0"):
        head(form="sigmoid", queue_size=4)
    with pytest.raises(ValueError, match="form: must be softmax or sigmoid, got 'hinge'"):
        head(form="hinge")


def test_images_of_one_id_belong_together_in_the_sigmoid_form() -> None:
    itc, (images, texts) = head(form="sigmoid", temperature=0.1), F.normalize(torch.randn(2, 3, 4), dim=2)
    ids = torch.tensor([7, 7, 9])
    signs = torch.tensor([[1.0, 1, -1], [1, 1, -1], [-1, -1, 1]])
    loss = itc._against_batch(FeatureRows(images, texts, ids), ids).losses["itc"]
    torch.testing.assert_close(loss, -F.logsigmoid(signs * (10.0 * images @ texts.T - 10.0)).sum() / 3)


def test_nothing_as_large_as_the_queue_is_kept_for_the_backward_pass_but_the_queue() -> None:
    itc = head(queue_size=512, feature_dim=16)
    own, own_m = (FeatureRows(*torch.randn(2, 3, 16, requires_grad=True), torch.arange(3)) for _ in range(2))
    kept: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        output = itc._against_momentum(own, FeatureRows(*(part.detach() for part in own_m)), own.ids, alpha=0.4)
    large = [tensor for tensor in kept if tensor.numel() >= 512 * 16]
    queues = {itc.image_queue.data_ptr(), itc.text_queue.data_ptr()}
    assert len(large) == 2 and {tensor.data_ptr() for tensor in large} == queues
    output.losses["itc"].backward()
