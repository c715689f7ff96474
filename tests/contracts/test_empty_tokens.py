"""A token that holds no patch counts nowhere: in later blocks, in decoders, fusions and heads, row by row."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import pytest
import torch
from bus_vlm.prumerge import PruMergeSelector
from torch import Tensor, nn

from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone
from bus_toolkit.ops.apply_plans import apply_plan
from bus_toolkit.ops.follow_plans import carry_weights
from bus_toolkit.ops.make_plans import keep_plan, merge_plan
from bus_toolkit.ops.token_plan import TokenPlan
from bus_toolkit.registry import REGISTRIES
from bus_toolkit.selectors.base import PatchSelector, Site
from bus_toolkit.selectors.view import BlockView
from bus_toolkit.structures import Decision, TextTokens, VisualTokens
from bus_toolkit.testing import ConformanceError, check_selector, tiny, tiny_batch, tiny_model
from tests.tiny import images, tiny_vit

WIDTHS = {"embed_dim": tiny.WIDTH, "text_dim": tiny.WIDTH}
# SingleStreamFusion reads bare patches, of which none is empty yet.
FUSIONS = [name for name in REGISTRIES.fusions.names() if name != "SingleStreamFusion"]


class Absorbing(PatchSelector):
    """Keeps the first half; each of the others joins one of them, or in all rows but the first the fused token."""

    site: ClassVar[Site] = "inside_block"
    ranks: ClassVar[bool] = False
    fused: ClassVar[bool] = True
    says_so: ClassVar[bool] = True

    def num_left(self, view: BlockView) -> int:
        return view.patches.shape[1] // 2 + int(self.fused)

    def forward(self, view: BlockView) -> Decision:
        batch, count = view.patches.shape[:2]
        device = view.patches.device
        slots = torch.arange(count, device=device).remainder(count // 2).repeat(batch, 1)
        if self.fused:
            slots[1:, -3:] = count // 2
        keep = torch.arange(count // 2, device=device).expand(batch, -1)
        weights = torch.ones_like(view.patches[..., 0])
        plan = TokenPlan(keep, slots, weights, self.fused, merging=True, may_be_empty=self.fused and self.says_so)
        return Decision(plan, weights)


class WithoutExtra(Absorbing):
    fused = False


class Silent(Absorbing):
    says_so = False


def run(part: PatchSelector) -> VisualTokens:
    return TokenReducingBackbone(tiny_vit().double(), [part]).eval()(images().double())


def test_in_later_blocks_it_is_as_if_it_were_not_there() -> None:
    got, wanted = run(Absorbing(blocks=[1])), run(WithoutExtra(blocks=[1]))
    torch.testing.assert_close(got.embeds[0, :9], wanted.embeds[0], atol=1e-4, rtol=1e-4)
    still_read = run(Silent(blocks=[1]))
    assert (still_read.embeds[0, :9] - wanted.embeds[0]).abs().max() > 1e-2, "it would matter"
    assert got.unread is not None and got.unread.nonzero().tolist() == [[0, 9]]
    weights = carry_weights(None, got.selections[0].decision.plan)
    assert weights is not None and weights.tolist() == [[1.0] * 8 + [0.0], [1.0] * 9, [1.0] * 9]


def test_of_prumerge_only_images_that_absorb_everything_have_an_empty_token() -> None:
    part = PruMergeSelector(blocks=[2], keep_ratio=0.25, num_neighbors=16)
    visual = run(part)
    assert visual.unread is not None and visual.unread[:, -1].all() and not visual.unread[:, :-1].any()
    few = run(PruMergeSelector(blocks=[2], keep_ratio=0.25, num_neighbors=1))
    assert few.unread is not None and not few.unread.any()
    number = next(n for n in range(1, 17) if _some(part := PruMergeSelector(blocks=[2], num_neighbors=n)))
    together = run(PruMergeSelector(blocks=[2], num_neighbors=number))
    backbone = TokenReducingBackbone(tiny_vit().double(), [PruMergeSelector(blocks=[2], num_neighbors=number)]).eval()
    for row in range(3):
        alone = backbone(images()[row : row + 1].double())
        torch.testing.assert_close(alone.embeds[0], together.embeds[row], atol=1e-10, rtol=1e-8)
        assert alone.unread is not None and torch.equal(alone.unread[0], together.unread[row])  # type: ignore[index]


def _some(part: PatchSelector) -> bool:
    unread = run(part).unread
    return unread is not None and 0 < int(unread.any(dim=1).sum()) < 3


def test_without_such_plans_nothing_is_marked() -> None:
    assert run(WithoutExtra(blocks=[1])).unread is None


def test_a_later_stage_may_keep_fuse_or_merge_it() -> None:
    plan = Absorbing(blocks=[1])(_view(16)).plan
    weights = carry_weights(None, plan)
    assert weights is not None
    kept = keep_plan(torch.arange(9.0).expand(2, -1), 4, fuse=True)
    carried = carry_weights(weights, kept)
    assert carried is not None and carried.tolist() == [[1.0, 1.0, 1.0, 0.0, 5.0], [1.0, 1.0, 1.0, 1.0, 5.0]]
    sizes = torch.tensor([[2.0] * 8 + [0.0], [2.0] * 9])
    pairs = torch.tensor([[0, 1, 2, 3, 0, 1, 2, 3, 4]]).expand(2, -1)
    merged = merge_plan(torch.tensor([[0, 1, 2, 3, 8]]).expand(2, -1), pairs, sizes)
    assert torch.isfinite(merged.weights).all() and merged.weights[0, 8] == 0.0
    joined = merge_plan(torch.arange(8).expand(2, -1), torch.tensor([[*range(8), 7]]).expand(2, -1), sizes)
    tokens = torch.randn(2, 9, 4)
    torch.testing.assert_close(apply_plan(tokens, joined)[0], tokens[0, :8])


def _view(count: int) -> BlockView:
    patches = torch.randn(2, count, 4)
    origin = torch.arange(count).expand(2, -1)
    return BlockView(patches, patches[:, :1], None, origin, 1, None, inside=None, grid=(1, count))  # type: ignore[arg-type]


@pytest.mark.parametrize("normalize", [True, False])
def test_a_fused_token_without_any_weight_is_the_mean_of_its_tokens(normalize: bool) -> None:
    weights = torch.tensor([[0.5, 0.0, 0.0, 0.0], [0.5, 0.2, 0.2, 0.4]], requires_grad=True)
    scores = torch.tensor([[4.0, 3.0, 2.0, 1.0]] * 2)
    plan = keep_plan(scores, 2, fuse=True, fuse_weights_BN=weights, normalize=normalize)
    assert plan.weights[0].tolist() == [1.0, 1.0, 0.5, 0.5]
    plan.weights.sum().backward()
    assert weights.grad is not None and torch.isfinite(weights.grad).all()
    broken = keep_plan(scores, 2, fuse=True, fuse_weights_BN=torch.full((2, 4), torch.nan))
    assert torch.isnan(broken.weights[:, 2:]).all(), "NaN stays visible"


def visual(noise: float) -> VisualTokens:
    """Return 9 tokens of 16 patches; the last one of the first row holds none, and its value is ``noise``."""
    embeds = tiny.numbers(2, 1 + 9, tiny.WIDTH).double()
    embeds[0, 9] = noise
    origin = torch.arange(16).remainder(8).repeat(2, 1)
    origin[1, -3:] = 8
    unread = torch.zeros(2, 10, dtype=torch.bool)
    unread[0, 9] = True
    return VisualTokens(embeds, 1, (4, 4), origin=origin, scores=tiny.numbers(2, 9, seed=3).double(), unread=unread)


def text() -> TextTokens:
    tokens = tiny.text_tokens(tiny.text_inputs()).index(slice(0, 2))
    return TextTokens(tokens.embeds.double(), tokens.pooled.double(), tokens.attention_mask)


def built(registry: Any, name: str, **settings: Any) -> nn.Module:
    torch.manual_seed(0)
    arguments = registry.get(name, "part").signature.arguments
    sizes = {key: value for key, value in {**tiny.SIZES, **settings}.items() if key in arguments}
    known = {key: value for key, value in WIDTHS.items() if key in arguments}
    return registry.build({"type": name, **sizes}, path="part", **known).double().eval()


@pytest.mark.parametrize("name", REGISTRIES.decoders.names())
@pytest.mark.parametrize("scored", [True, False])
def test_decoders_do_not_read_it(name: str, scored: bool) -> None:
    decoder = built(REGISTRIES.decoders, name)
    given = [visual(noise) if scored else replace(visual(noise), scores=None) for noise in (0.0, 50.0)]
    plain, noisy = (decoder(tokens, text()) for tokens in given)
    if name == "Identity":
        assert noisy.unread is not None
    else:
        assert noisy.unread is None
        assert torch.equal(noisy.embeds, plain.embeds)


@pytest.mark.parametrize("name", FUSIONS)
def test_fusions_do_not_read_it_and_hand_its_mark_on(name: str) -> None:
    fusion = built(REGISTRIES.fusions, name, num_layers=4, stride=2)
    plain, noisy = (fusion(text(), visual(noise)) for noise in (0.0, 50.0))
    valid = text().attention_mask
    torch.testing.assert_close(noisy.text[valid], plain.text[valid], atol=1e-10, rtol=1e-8)
    torch.testing.assert_close(noisy.cls, plain.cls, atol=1e-10, rtol=1e-8)
    (states, seen), (wanted, _) = noisy.memory(), plain.memory()
    torch.testing.assert_close(states[seen], wanted[seen], atol=1e-10, rtol=1e-8)
    assert not seen[0, : noisy.visual.shape[1]].all() or noisy.visual.shape[1] < 10
    assert seen[1, : noisy.visual.shape[1]].all()


@pytest.mark.parametrize("name", FUSIONS)
def test_a_fusion_without_the_token_gives_the_same(name: str) -> None:
    fusion = built(REGISTRIES.fusions, name, num_layers=4, stride=2, prune_ratio=0.0, merge_ratio=0.0)
    row, first = visual(0.0), text().index(slice(0, 1))
    whole = VisualTokens(row.embeds[:1], 1, row.grid, unread=row.unread[:1])  # type: ignore[index]
    without = VisualTokens(row.embeds[:1, :9], 1, row.grid)
    got, wanted = fusion(first, whole), fusion(first, without)
    valid = first.attention_mask
    torch.testing.assert_close(got.text[valid], wanted.text[valid], atol=1e-10, rtol=1e-8)
    torch.testing.assert_close(got.visual[:, :9], wanted.visual, atol=1e-10, rtol=1e-8)


HEADS: dict[str, dict[str, Any]] = {
    "itc": {"type": "ITCHead"},
    "itm": {"type": "ITMHead"},
    "mlm": {"type": "MLMHead"},
    "prefix_lm": {"type": "PrefixLMHead"},
    "caption": {"type": "CaptionHead"},
}


def test_no_head_of_a_whole_model_reads_it() -> None:
    prumerge = {"type": "PruMerge", "blocks": [2], "keep_ratio": 0.25, "num_neighbors": 16}
    model = tiny_model(HEADS, selectors=[prumerge], decoder={"type": "Identity"}).eval()
    seen: list[int] = []

    def losses(noise: float) -> dict[str, Tensor]:
        def alter(part: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
            tokens, *rest = given
            seen.append(int(tokens.unread.sum()))
            return (replace(tokens, embeds=tokens.embeds.masked_fill(tokens.unread.unsqueeze(-1), noise)), *rest)

        handle = model.decoder.register_forward_pre_hook(alter)
        torch.manual_seed(0)
        pixels, samples = tiny_batch()
        with torch.no_grad():
            out = model.loss(pixels, samples)
        handle.remove()
        return out

    plain, noisy = losses(0.0), losses(50.0)
    assert seen and min(seen) == 3
    assert plain.keys() >= {f"loss_{name}" for name in HEADS}
    for name, value in plain.items():
        assert noisy[name] == pytest.approx(float(value), abs=1e-6), name


class AllAbsorbed(Absorbing):
    """The fused token is empty for every image."""

    def forward(self, view: BlockView) -> Decision:
        if self.keep_ratio == 1.0:
            scores = view.patches[..., 0]
            return Decision(keep_plan(scores, scores.shape[1]), scores)
        plan, weights, *_ = super().forward(view)
        count = view.patches.shape[1]
        slots = torch.arange(count, device=weights.device).remainder(count // 2).expand(len(weights), -1)
        return Decision(replace(plan, slots=slots), weights)

    def num_left(self, view: BlockView) -> int:
        return view.patches.shape[1] if self.keep_ratio == 1.0 else super().num_left(view)


class SilentlyAbsorbed(AllAbsorbed):
    says_so = False


@pytest.mark.slow
def test_the_kit_finds_a_plan_that_does_not_say_so() -> None:
    check_selector(AllAbsorbed)
    with pytest.raises(ConformanceError, match="an output token holds nothing, and the plan does not say may_be_empty"):
        check_selector(SilentlyAbsorbed)
