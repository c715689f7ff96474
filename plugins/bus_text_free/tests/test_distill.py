"""The distillation head against slow versions of its two losses, on whole models at width 32."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from bus_text_free.distill import TeacherDistillHead, patches_let_through, prediction_divergence, token_distance
from torch import Tensor

from bus_toolkit.errors import ConfigError
from bus_toolkit.models import VLPModel
from bus_toolkit.ops import TokenPlan, compose, keep_plan, merge_plan
from bus_toolkit.structures import Decision, Selection, VisualTokens
from bus_toolkit.testing import check_head, tiny_batch, tiny_model

DYNAMIC = ({"type": "DynamicViT", "blocks": [1]}, {"type": "DynamicViT", "blocks": [3]})
SELECTORS = {
    "masks": DYNAMIC,
    "gathers": ({"type": "EViT", "blocks": [1, 3], "keep_ratio": 0.6},),
    "merges": ({"type": "ToMe", "blocks": [1, 2], "num_merged": 4},),
    "text-aware": ({"type": "TSPS", "blocks": [2], "keep_ratio": 0.5},),
    "nothing": (),
}


def model_of(selectors: Any = DYNAMIC, momentum: dict[str, Any] | None = None, **head: Any) -> VLPModel:
    """Return a model in training whose student and teacher have large and different weights."""
    decoder = head.pop("decoder", {"type": "Identity"})
    heads = {"itc": {"type": "ITCHead"}, "distill": {"type": "TeacherDistillHead", **head}}
    model = tiny_model(heads, selectors=list(selectors), decoder=decoder, momentum=momentum or {})
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number))
    return model.train()


def watched(model: VLPModel) -> tuple[dict[str, Tensor], VisualTokens]:
    """Return the losses of the tiny batch, and the student's tokens that they come from."""
    seen: list[VisualTokens] = []
    hook = model.decoder.register_forward_hook(lambda module, args, out: seen.append(out))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        losses = model.loss(*tiny_batch())
    hook.remove()
    return losses, seen[0]


def visual_of(embeds: Tensor, *plans: TokenPlan) -> VisualTokens:
    """Return tokens after one CLS token on a grid of 1 x 4 patches, with plans over all four patches."""
    origin = torch.arange(4).expand(embeds.shape[0], 4)
    chosen = [Selection(Decision(plan, plan.weights), block, origin) for block, plan in enumerate(plans, 1)]
    return VisualTokens(embeds, 1, (1, 4), chosen, origin)


def masks(*rows: list[float]) -> TokenPlan:
    """Return the plan of a selector that keeps all and masks."""
    mask = torch.tensor(rows)
    return replace(keep_plan(mask, 4), key_weights=mask)


@pytest.mark.parametrize("selectors", SELECTORS.values(), ids=SELECTORS)
def test_equals_a_slow_version(selectors: Any) -> None:
    model = model_of(selectors, token_weight=0.3, prediction_weight=0.8, temperature=0.1, weight=2.0)
    losses, student = watched(model)
    images, samples = tiny_batch()
    assert model.momentum is not None and student.origin is not None
    momentum = model.passes(images, samples).momentum
    assert momentum is not None
    teacher, texts, projections = momentum.visual, momentum.text, momentum.projections
    assert not teacher.selections and teacher.embeds.shape[1] == 17

    gaps = []
    for row in range(3):
        for patch in range(16):
            # The patch's own token: it founded the slot at every stage, and no mask hides it.
            slot, own = patch, True
            for selection in student.selections:
                plan = selection.decision.plan
                before, slot = slot, int(plan.slots[row, slot])
                own = own and before in plan.keep_indices[row].tolist()
                own = own and (plan.key_weights is None or plan.key_weights[row, slot].item() > 0.5)
                if not own:
                    break
            if own:
                gaps.append(((student.embeds[row, 1 + slot] - teacher.embeds[row, 1 + patch]) ** 2).mean().item())
    tokens = sum(gaps) / len(gaps)
    assert losses["distill_tokens"].item() == pytest.approx(tokens, rel=1e-4)

    def predictions(visual: VisualTokens) -> list[list[float]]:
        rows = []
        for cls in visual.cls:
            image = projections["image"](cls)
            captions = [projections["text"](pooled) for pooled in texts.pooled]
            cosines = [torch.cosine_similarity(image, caption, dim=0) / 0.1 for caption in captions]
            rows.append(torch.stack(cosines).softmax(dim=0).tolist())
        return rows

    pairs = list(zip(predictions(student), predictions(teacher), strict=True))
    divergences = [sum(t * torch.tensor(t / s).log().item() for s, t in zip(*pair, strict=True)) for pair in pairs]
    divergence = sum(divergences) / 3
    assert losses["distill_predictions"].item() == pytest.approx(divergence, rel=1e-3)
    assert losses["loss_distill"].item() == pytest.approx(2.0 * (0.3 * tokens + 0.8 * divergence), rel=1e-3)


def test_gradient_reaches_the_images_of_the_student_only() -> None:
    model = model_of()
    watched(model)[0]["loss_distill"].backward()
    assert model.momentum is not None and all(p.grad is None for p in model.momentum.parameters())
    assert all(p.grad is None for part in (model.text_encoder, model.heads) for p in part.parameters())
    missing = [name for name, p in model.backbone.named_parameters() if p.grad is None or not p.grad.any()]
    assert missing == [], "the predictors learn through the masks in attention"


def test_a_student_that_drops_nothing_and_equals_its_teacher_has_nothing_to_learn() -> None:
    heads = {"itc": {"type": "ITCHead"}, "distill": {"type": "TeacherDistillHead"}}
    model = tiny_model(heads, selectors=[], decoder={"type": "Identity"}, momentum={}).eval()
    assert model.loss(*tiny_batch())["loss_distill"].item() == pytest.approx(0.0, abs=1e-6)


def test_only_patches_let_through_are_compared() -> None:
    student, teacher = torch.zeros(2, 5, 3), torch.ones(2, 5, 3)
    teacher[0, 1] = 3.0
    teacher[:, 0] = 100.0
    first, later = masks([1, 1, 1, 0], [1, 1, 1, 1]), masks([1, 1, 0, 0], [0, 0, 1, 0])
    distance = token_distance(visual_of(student, first, later), visual_of(teacher))
    assert distance.item() == pytest.approx((9 + 1 + 1) / 3), "patches 0 and 1 of the first, 2 of the second"


def test_with_every_patch_dropped_the_tokens_say_nothing_and_with_none_all_count() -> None:
    student = torch.zeros(2, 5, 3, requires_grad=True)
    none = token_distance(visual_of(student, masks([0] * 4, [0] * 4)), visual_of(torch.ones(2, 5, 3)))
    none.backward()
    assert none.item() == 0.0 and student.grad is not None and not student.grad.any()
    every = token_distance(visual_of(student, masks([1] * 4, [1] * 4)), visual_of(torch.full((2, 5, 3), 2.0)))
    assert every.item() == pytest.approx(4.0)


def test_a_merged_token_counts_once_and_its_size_is_no_mask() -> None:
    merged = merge_plan(torch.tensor([[0, 2]]), torch.tensor([[0, 0, 1, 1]]))
    sized = replace(merged, key_weights=torch.tensor([[2.0, 2.0]]))
    assert patches_let_through(visual_of(torch.zeros(1, 3, 2), sized)).tolist() == [[True, False, True, False]]


def test_a_fused_token_is_not_compared() -> None:
    plan = keep_plan(torch.tensor([[0.0, 3.0, 2.0, 1.0]]), 2, fuse=True)
    assert patches_let_through(visual_of(torch.zeros(1, 4, 2), plan)).tolist() == [[False, True, True, False]]


def test_predictions_diverge_as_worked_out_by_hand() -> None:
    axes = torch.eye(2)
    # Student 1/2, 1/2; teacher e / (e + 1) = 0.7311, 0.2689: 0.7311 ln 1.4621 + 0.2689 ln 0.5379 = 0.1109.
    student = torch.tensor([[0.5**0.5, 0.5**0.5]])
    assert prediction_divergence(student, axes[:1], axes, 1.0).item() == pytest.approx(0.1109, abs=1e-4)
    assert prediction_divergence(student, axes[:1], axes[:1], 1.0).item() == 0.0, "one caption leaves no choice"


def test_a_factor_of_zero_leaves_its_part_out() -> None:
    assert "distill_tokens" not in watched(model_of(token_weight=0.0))[0]
    assert "distill_predictions" not in watched(model_of(prediction_weight=0.0))[0]


@pytest.mark.parametrize("queries", [{"query_init": "learned", "num_queries": 4}, {"num_queries": None}])
@pytest.mark.parametrize("epoch", [0.0, 0.5, 1.0])
def test_with_queries_the_tokens_that_the_decoder_reads_are_compared(queries: dict[str, Any], epoch: float) -> None:
    """From 16 patches to 8, which a decoder turns into 8 to 4 queries: the loss is that of a model without it."""
    ratio = {"start": 1.0, "end": 0.5, "epochs": 1}
    selectors = [{"type": "EViT", "blocks": [2], "keep_ratio": ratio}]
    decoder = {"type": "PAD", "num_layers": 1, "num_heads": 4, **queries}
    decoded, plain = (model_of(selectors, decoder=one, token_weight=1.0) for one in (decoder, {"type": "Identity"}))
    plain.load_state_dict(decoded.state_dict(), strict=False)
    losses = []
    for model in (decoded, plain):
        model.set_progress(epoch, 0)
        losses.append(watched(model)[0]["distill_tokens"])
    assert losses[0].item() > 0
    torch.testing.assert_close(*losses)


def test_asks_for_a_teacher_that_sees_every_patch() -> None:
    with pytest.raises(ConfigError, match=r"there is none\. Add model\.momentum: \{decay: 0\.995\}"):
        tiny_model({"distill": {"type": "TeacherDistillHead"}})
    pruned = model_of(SELECTORS["gathers"], {"selection": "same"})
    with pytest.raises(ConfigError, match=r"model\.momentum\.selection is 'same'\. Write selection: none"):
        pruned.loss(*tiny_batch())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"token_weight": -0.1}, "must be 0 or more and not both 0, got -0.1 and 0.5"),
        ({"token_weight": 0.0, "prediction_weight": 0.0}, "not both 0, got 0.0 and 0.0. Leave the head out"),
        ({"temperature": 0.0}, "temperature: must be above 0, got 0.0"),
    ],
)
def test_refuses_what_makes_no_sense(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TeacherDistillHead(**wrong)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"token_weight": 0.0}, {"prediction_weight": 0.0}])
def test_keeps_the_promises_of_its_kind(settings: dict[str, float]) -> None:
    check_head("TeacherDistillHead", **settings)


def test_gradients_are_those_of_finite_differences() -> None:
    student, teacher, captions = (torch.randn(*shape, dtype=torch.float64) for shape in ((3, 4), (3, 4), (5, 4)))
    assert torch.autograd.gradcheck(
        lambda s, t: prediction_divergence(s, t, captions, 0.07), (student.requires_grad_(), teacher.requires_grad_())
    )
    plan = keep_plan(torch.tensor([[1.0, 4.0, 3.0, 2.0]], dtype=torch.float64), 2)
    kept, every = (torch.randn(1, count, 3, dtype=torch.float64, requires_grad=True) for count in (3, 5))

    def distance(tokens: Tensor, tokens_m: Tensor) -> Tensor:
        origin = compose(torch.arange(4).expand(1, 4), plan)
        return token_distance(replace(visual_of(tokens, plan), origin=origin), visual_of(tokens_m))

    assert torch.autograd.gradcheck(distance, (kept, every))
