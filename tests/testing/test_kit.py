"""The kit names the fault of parts that are broken on purpose."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from bus_toolkit.errors import ComponentError
from bus_toolkit.heads import HeadOutput, Step, VLPHead
from bus_toolkit.ops import keep_plan
from bus_toolkit.priors import FusionPrior
from bus_toolkit.registry import REGISTRIES
from bus_toolkit.selectors.base import PatchSelector
from bus_toolkit.selectors.view import BlockView
from bus_toolkit.structures import Condition, Decision, FusedTokens, TextTokens, VisualTokens
from bus_toolkit.testing import (
    ConformanceError,
    check_backbone,
    check_decoder,
    check_fusion,
    check_head,
    check_prior,
    check_selector,
)
from bus_toolkit.testing.tiny import VISION_TRANSFORMER


class Norm(PatchSelector):
    """Keeps the longest patches; nothing wrong with it."""

    def score(self, view: BlockView) -> Tensor:
        return view.patches.norm(dim=-1)


class WrongShape(Norm):
    def forward(self, view: BlockView) -> Decision:
        decision = super().forward(view)
        return decision._replace(scores=decision.scores[:, :-1])


class Unsorted(Norm):
    def forward(self, view: BlockView) -> Decision:
        decision = super().forward(view)
        return decision._replace(plan=replace(decision.plan, keep_indices=decision.plan.keep_indices.flip(1)))


def _places(scores: Tensor) -> Tensor:
    return torch.arange(8, device=scores.device).expand(len(scores), -1)


class OwnOrder(Unsorted):
    """Says the order of its output, as plans that merge may."""

    def forward(self, view: BlockView) -> Decision:
        plan, scores, *_ = super().forward(view)
        if plan.is_identity:
            return Decision(plan, scores)
        slots = torch.zeros_like(plan.slots).scatter(1, plan.keep_indices, _places(scores))
        return Decision(replace(plan, slots=slots, weights=torch.ones_like(scores) / 9, merging=True), scores)


class Twice(OwnOrder):
    def forward(self, view: BlockView) -> Decision:
        plan, scores, *_ = super().forward(view)
        return Decision(replace(plan, keep_indices=plan.keep_indices.clamp(min=2)), scores)


class ReadsItsBatch(Norm):
    def score(self, view: BlockView) -> Tensor:
        return (view.patches - view.patches.mean(dim=0, keepdim=True)).norm(dim=-1)


class EditsItsInput(Norm):
    def score(self, view: BlockView) -> Tensor:
        with torch.no_grad():
            view.patches.mul_(1.01)
        return super().score(view)


class NoGradient(Norm):
    supervised = True

    def __init__(self, **settings: object) -> None:
        super().__init__(**settings)  # type: ignore[arg-type]
        self.scale = nn.Parameter(torch.ones(1))

    def score(self, view: BlockView) -> Tensor:
        return super().score(view) * self.scale.detach()


class Restless(Norm):
    def score(self, view: BlockView) -> Tensor:
        return torch.rand(view.patches.shape[:2])


class OnlyFloat32(Norm):
    def score(self, view: BlockView) -> Tensor:
        return torch.linalg.svdvals(view.patches.reshape(-1, 4, 8).detach()).sum(-1).reshape(view.patches.shape[:2])


class RoundsToFloat32(Norm):
    def score(self, view: BlockView) -> Tensor:
        return view.patches.float().norm(dim=-1).to(view.patches.dtype)


class MakesFloat32(Norm):
    def score(self, view: BlockView) -> Tensor:
        scores = torch.zeros(view.patches.shape[:2])
        scores[:, ::2] = 1.0
        return scores


class WrongCount(Norm):
    def num_kept(self, view: BlockView) -> int:
        return super().num_kept(view) - 3


class KeepsTheWorst(Norm):
    def forward(self, view: BlockView) -> Decision:
        decision = super().forward(view)
        return decision._replace(scores=-decision.scores)


class TakesAnything(Norm):
    def __init__(self, *, blocks: list[int], keep_ratio: float = 0.5) -> None:
        super().__init__(blocks=[2], keep_ratio=min(max(keep_ratio, 0.1), 1.0))


class NeedsText(Norm):
    needs_text = True

    def forward(self, view: BlockView) -> Decision:
        scores = self.score(view)  # the base asks the class token where there is no text
        return Decision(keep_plan(scores, self.num_kept(view)), scores)

    def score(self, view: BlockView) -> Tensor:
        return torch.einsum("bnd,bd->bn", view.patches, view.text.pooled)  # type: ignore[union-attr]


class Forgetful(Norm):
    def __init__(self, **settings: object) -> None:
        super().__init__(**settings)  # type: ignore[arg-type]
        self.direction = torch.randn(32)

    def score(self, view: BlockView) -> Tensor:
        return view.patches @ self.direction.to(view.patches.dtype)


@pytest.mark.parametrize("part", [Norm, OwnOrder])
def test_a_sound_selector_passes(part: type[PatchSelector]) -> None:
    check_selector(part)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "check", "what"),
    [
        (WrongShape, "plan", r"WrongShape.forward must return a score for each candidate, .*, got \(3, 15\)"),
        (Unsorted, "plan", "keep_indices are not ascending and unique"),
        (Twice, "plan", "keep_indices are not unique"),
        (ReadsItsBatch, "batch_independent", "sample 0 alone and within its batch"),
        (EditsItsInput, "patches_untouched", "the patches of the view were edited in place"),
        (NoGradient, "gradient", "parameter scale gets no gradient"),
        (Restless, "deterministic", "two runs on one input"),
        (OnlyFloat32, "bfloat16_weights", "it crashed with"),
        (RoundsToFloat32, "float64", r"a float64 tensor becomes float32 \(test_kit.py:\d+, in score\): half precision"),
        (MakesFloat32, "float64", "result 1 is float32 in a part in float64: .* bus_toolkit.ops.at_least_float32"),
        (WrongCount, "plan", "5 of 16 patches are kept at keep_ratio 0.5"),
        (KeepsTheWorst, "best_are_kept", "others than the best-scored patches are kept"),
        (TakesAnything, "bad_arguments", "'blocks': .* is accepted"),
        (NeedsText, "without_text", "it crashed with AttributeError"),
        (Forgetful, "state_dict", "after loading the state dict into another one"),
    ],
)
def test_a_broken_selector_is_caught_by_name(part: type[PatchSelector], check: str, what: str) -> None:
    with pytest.raises(ConformanceError, match=f"{part.__name__} breaks .*\n(.*\n)*- {check}: .*{what}.* Promised: "):
        check_selector(part)


class Widening(nn.Module):
    def forward(self, visual: VisualTokens, text: TextTokens | None = None) -> VisualTokens:
        return replace(visual, embeds=torch.cat([visual.embeds, visual.embeds], dim=1))


class SecretReader(nn.Module):
    def forward(self, visual: VisualTokens, text: TextTokens | None = None) -> VisualTokens:
        return visual if text is None else replace(visual, embeds=visual.embeds + text.pooled.unsqueeze(1))


class PaddingReader(nn.Module):
    def forward(self, text: TextTokens, visual: VisualTokens) -> FusedTokens:
        mean = text.embeds.mean(dim=1, keepdim=True) + visual.embeds.mean(dim=1, keepdim=True)
        return FusedTokens(text.embeds + mean, visual.embeds, text.attention_mask)


class PrefixPrior(FusionPrior):
    def forward(self, text: TextTokens, visual: VisualTokens) -> Tensor:
        return self.scale * visual.embeds[:, :, 0]


class BlindFusion(nn.Module):
    def forward(self, text: TextTokens, visual: VisualTokens) -> FusedTokens:
        return FusedTokens(text.embeds + visual.embeds[:, :1], visual.embeds, text.attention_mask)


def test_broken_decoders_and_fusions_are_caught_by_name() -> None:
    with pytest.raises(ConformanceError, match="fewer_tokens: 9 tokens went in, 18 came out"):
        check_decoder(Widening)
    with pytest.raises(ConformanceError, match="the text changes the result, but reads_text is not set"):
        check_decoder(SecretReader)
    with pytest.raises(ConformanceError, match="padding_unread: other padding"):
        check_fusion(PaddingReader)
    with pytest.raises(ConformanceError, match=r"image_read: visual tokens \[1, 2, .* are not read"):
        check_fusion(BlindFusion)
    with pytest.raises(ConformanceError, match="prior_shape: the prefix token has a prior"):
        check_prior(PrefixPrior)


class Mislabelled(VLPHead):
    def loss(self, step: Step) -> HeadOutput:
        total = step.text.pooled.sum()
        return HeadOutput({"mine": total}, {"best_loss": total.detach()})


class Unlearning(VLPHead):
    def __init__(self, *, text_dim: int, weight: float = 1.0) -> None:
        super().__init__(weight=weight)
        self.layer = nn.Linear(text_dim, 1)

    def loss(self, step: Step) -> HeadOutput:
        return HeadOutput({"mine": self.layer(step.text.pooled.detach()).detach().sum() + step.text.pooled.sum()})


class Guessing(VLPHead):
    def loss(self, step: Step) -> HeadOutput:
        return HeadOutput({"mine": step.text.pooled.sum()})

    def predict(self, step: Step) -> dict[str, object]:
        return {"guess": torch.rand(step.text.pooled.shape[0])}


class PerSample(VLPHead):
    sees = Condition.FREE

    def loss(self, step: Step) -> HeadOutput:
        return HeadOutput({"mine": step.text.pooled.sum(dim=1)})


class NotCalled(VLPHead):
    sees = Condition.FREE

    def __init__(self, *, weight: float = 1.0) -> None:
        self.factor = weight


class LastAxisLeft(PatchSelector):
    def score(self, view: BlockView) -> Tensor:
        return view.patches.norm(dim=-1, keepdim=True)


def test_a_fault_that_many_checks_meet_is_one_line() -> None:
    with pytest.raises(ConformanceError) as caught:
        check_head(PerSample)
    (line,) = str(caught.value).splitlines()[1:]
    assert "PerSample.loss must return scalar tensors, got Tensor float32 (3,) for 'mine'. Reduce it" in line
    with pytest.raises(ConformanceError) as caught:
        check_selector(LastAxisLeft)
    (line,) = str(caught.value).splitlines()[1:]
    assert "(B, N) = (3, 16), got (3, 16, 1)" in line


def test_a_module_that_was_never_initialised_is_refused_where_it_is_built() -> None:
    with pytest.raises(ComponentError, match=r"heads.checked: NotCalled.__init__ does not call super\(\).__init__"):
        check_head(NotCalled)


class Detached(VLPHead):
    sees = Condition.FREE

    def loss(self, step: Step) -> HeadOutput:
        return HeadOutput({"mine": step.text.pooled.detach().sum()})


class Rounding(VLPHead):
    sees = Condition.FREE

    def loss(self, step: Step) -> HeadOutput:
        return HeadOutput({"mine": step.text.pooled.float().square().mean()})


@pytest.mark.slow
def test_broken_heads_are_caught_by_name() -> None:
    with pytest.raises(ConformanceError, match=r"float64: a float64 tensor becomes float32 \(test_kit.py:\d+, in loss"):
        check_head(Rounding)
    with pytest.raises(ConformanceError, match="gradient: loss_mine has no gradient: it was detached"):
        check_head(Detached)
    with pytest.raises(
        ConformanceError,
        match="losses: .*only losses may have 'loss' in their name, got .*best_loss",
    ):
        check_head(Mislabelled)
    with pytest.raises(ConformanceError, match="gradient: parameter layer.weight gets no gradient"):
        check_head(Unlearning)
    with pytest.raises(ConformanceError, match="predictions: two runs predict different guess"):
        check_head(Guessing)


def test_a_head_must_declare_what_it_may_see() -> None:
    with pytest.raises(ConformanceError, match="strict: model.heads.checked.* Promised: It declares by ``sees``"):
        check_head(Guessing)


def mixing_vit() -> nn.Module:
    """Return a transformer whose second block lets the samples of a batch meet."""
    vit = REGISTRIES.backbones.build(VISION_TRANSFORMER, path="model.backbone")
    vit.layers[1].ln1 = BatchMean()
    return vit


class BatchMean(nn.Module):
    def forward(self, tokens: Tensor) -> Tensor:
        return tokens - tokens.mean(dim=0, keepdim=True)


def test_a_broken_backbone_is_caught_by_name() -> None:
    with pytest.raises(ConformanceError, match="batch_independent: sample 0 alone and within its batch"):
        check_backbone(mixing_vit)
    with pytest.raises(ConformanceError, match="it crashed with ComponentError: model.backbone: LeNet5 cannot be used"):
        check_backbone("mmpretrain.LeNet5")


def test_what_cannot_be_built_is_reported_as_such() -> None:
    with pytest.raises(ComponentError, match="no patch selector named 'TSSP'. Did you mean 'TSPS'"):
        check_selector("TSSP")
    with pytest.raises(ComponentError, match="Random has no argument 'ratio'"):
        check_selector("Random", ratio=0.3)
