"""The token-reducing backbone against the plain transformer, and the properties that every selection must have."""

from __future__ import annotations

import doctest
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from bus_toolkit.backbones import token_reducing_backbone
from bus_toolkit.backbones.adapters import adapter_of, blocks
from bus_toolkit.backbones.block_passes import attention_half
from bus_toolkit.backbones.key_bias import key_bias
from bus_toolkit.backbones.positions import TokenPositions
from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone
from bus_toolkit.errors import ComponentError, ConfigError
from bus_toolkit.ops.make_plans import keep_plan
from bus_toolkit.selectors.base import PatchSelector
from bus_toolkit.selectors.identity import IdentitySelector
from bus_toolkit.selectors.look_ahead import LookAheadSelector
from bus_toolkit.selectors.random import RandomSelector
from bus_toolkit.selectors.text_semantic import TextSemanticPatchSelector
from bus_toolkit.selectors.view import BlockView
from bus_toolkit.structures import Decision
from tests.tiny import WIDTH, images, text_tokens, tiny_backbone, tiny_vit


def tsps(*blocks: int, keep_ratio: float = 0.5, **kwargs: object) -> TextSemanticPatchSelector:
    torch.manual_seed(3)
    return TextSemanticPatchSelector(
        blocks=blocks,
        embed_dim=WIDTH,
        text_dim=WIDTH,
        keep_ratio=keep_ratio,
        **kwargs,  # type: ignore[arg-type]
    )


class NormSelector(PatchSelector):
    """Keeps the longest tokens; a site of its own for each test."""

    def score(self, view: BlockView) -> Tensor:
        return view.patches.norm(dim=-1)


class BeforeSelector(NormSelector):
    site = "before_block"


class InsideSelector(NormSelector):
    site = "inside_block"


class WeightSelector(PatchSelector):
    """Keeps everything, but lets every second patch count as a key by ``weight``."""

    weight = 1e-6

    def score(self, view: BlockView) -> Tensor:
        return view.patches.new_ones(view.patches.shape[:2])

    def forward(self, view: BlockView) -> Decision:
        scores = self.score(view)
        plan = keep_plan(scores, scores.shape[1])
        weights = scores.clone()
        weights[:, ::2] = self.weight
        return Decision(replace(plan, key_weights=weights), scores)


@pytest.mark.parametrize("selectors", [(), (IdentitySelector(blocks=[2]),), (tsps(2, keep_ratio=1.0),)])
def test_keeping_everything_is_the_plain_transformer_bit_for_bit(selectors: tuple[PatchSelector, ...]) -> None:
    vit = tiny_vit()
    vit.eval()
    backbone = TokenReducingBackbone(vit, selectors).eval()
    assert torch.equal(backbone(images(), text_tokens() if backbone.needs_text else None).embeds, vit(images())[-1])


def test_tokens_left_are_prefix_kept_and_fused() -> None:
    visual = tiny_backbone(tsps(2))(images(), text_tokens())
    assert visual.embeds.shape == (3, 1 + 8 + 1, WIDTH)
    assert visual.grid == (4, 4)
    assert visual.kept_patches().sum(dim=1).tolist() == [8, 8, 8]


@pytest.mark.parametrize("selector_class", [BeforeSelector, InsideSelector, NormSelector])
def test_every_site_reduces_at_its_position(selector_class: type[PatchSelector]) -> None:
    backbone = tiny_backbone(selector_class(blocks=[2], keep_ratio=0.5, fuse="none"))
    seen: list[int] = []
    for layer in backbone.vit.layers:
        layer.ln2.register_forward_hook(lambda module, args, out: seen.append(out.shape[1]))
    backbone(images())
    expected = {"before_block": [17, 9, 9, 9], "inside_block": [17, 9, 9, 9], "after_block": [17, 17, 9, 9]}
    assert seen == expected[selector_class.site]


def test_inside_block_attends_to_all_tokens_first() -> None:
    backbone = tiny_backbone(InsideSelector(blocks=[2], keep_ratio=0.5))
    lengths: list[int] = []
    backbone.vit.layers[1].ln1.register_forward_hook(lambda module, args, out: lengths.append(out.shape[1]))
    backbone(images())
    assert lengths == [17]


def test_one_sample_does_not_depend_on_its_batch() -> None:
    backbone = tiny_backbone(tsps(1), RandomSelector(blocks=[3], keep_ratio=0.5))
    text = text_tokens()
    together = backbone(images(), text).embeds
    for row in range(3):
        alone = backbone(images()[row : row + 1], text.index(torch.tensor([row]))).embeds
        torch.testing.assert_close(together[row : row + 1], alone, atol=1e-5, rtol=1e-5)


def test_a_patch_of_no_weight_as_a_key_is_as_good_as_dropped() -> None:
    class OddSelector(NormSelector):
        def score(self, view: BlockView) -> Tensor:
            return torch.arange(view.patches.shape[1]).remainder(2).expand(view.patches.shape[0], -1).float()

    weighted = tiny_backbone(WeightSelector(blocks=[2]))(images())
    dropped = tiny_backbone(OddSelector(blocks=[2], keep_ratio=0.5))(images())
    torch.testing.assert_close(weighted.embeds[:, 0], dropped.embeds[:, 0], atol=1e-4, rtol=1e-4)
    assert weighted.embeds.shape[1] == 17


def test_a_key_of_weight_two_counts_like_two_keys() -> None:
    adapter, tokens, positions = adapter_of(tiny_vit()), torch.randn(2, 5, WIDTH), TokenPositions((2, 2))
    layer = adapter.layers[0]
    twice = attention_half(adapter, layer, torch.cat([tokens, tokens[:, 3:4]], dim=1), positions)[0][:, :5]
    weights = torch.tensor([1.0, 1.0, 2.0, 1.0]).expand(2, -1)
    torch.testing.assert_close(attention_half(adapter, layer, tokens, positions, key_bias(1, weights))[0], twice)


def test_weights_of_keys_outlive_a_later_selection() -> None:
    later = NormSelector(blocks=[2], keep_ratio=0.5)
    weighted = tiny_backbone(WeightSelector(blocks=[1]), later)
    kept = weighted(images(), None)
    WeightSelector.weight, before = 1.0, WeightSelector.weight
    try:
        even = weighted(images(), None)
    finally:
        WeightSelector.weight = before
    assert kept.embeds.shape == even.embeds.shape == (3, 9, WIDTH)
    assert not torch.allclose(kept.embeds[:, 0], even.embeds[:, 0])


def test_permuting_patches_with_their_positions_leaves_cls_unchanged() -> None:
    backbone = tiny_backbone(tsps(1)).double()
    prefix = backbone.forward_shared(images().double())
    text = text_tokens()
    text = type(text)(text.embeds.double(), text.pooled.double(), text.attention_mask)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(5))
    moved = torch.cat([prefix.tokens[:, :1], prefix.tokens[:, 1:][:, order]], dim=1)
    permuted = type(prefix)(moved, prefix.grid, prefix.num_blocks, moved)
    ours, wanted = (backbone.forward_conditioned(shared, text).embeds[:, 0] for shared in (permuted, prefix))
    torch.testing.assert_close(ours, wanted)


def test_text_changes_the_selection_and_text_free_mode_ignores_it() -> None:
    backbone = tiny_backbone(tsps(2))
    one, two = backbone(images(), text_tokens(seed=1)), backbone(images(), text_tokens(seed=9))
    assert not torch.equal(one.origin, two.origin)
    assert torch.equal(backbone(images(), None).embeds, backbone(images(), None).embeds)
    assert not backbone(images(), None).selections[0].decision.supervised


def test_text_free_pass_follows_the_exact_cls_attention() -> None:
    backbone = tiny_backbone(tsps(2))
    visual = backbone(images(), None)
    tokens = backbone.forward_shared(images()).block_input
    layer = backbone.vit.layers[1]
    normed = layer.ln1(tokens)
    q, k, _ = layer.attn.qkv(normed).reshape(3, 17, 3, 4, WIDTH // 4).permute(2, 0, 3, 1, 4)
    full = (q @ k.transpose(-1, -2) / (WIDTH // 4) ** 0.5).softmax(dim=-1)
    torch.testing.assert_close(visual.selections[0].decision.scores, full.mean(dim=1)[:, 0, 1:])


def test_prefix_and_suffix_equal_the_whole_bit_for_bit() -> None:
    backbone, text = tiny_backbone(tsps(2)), text_tokens()
    prefix = backbone.forward_shared(images())
    rows = torch.tensor([2, 0, 2])
    ours = backbone.forward_conditioned(prefix.index(rows).to("cpu"), text.index(rows)).embeds
    assert torch.equal(ours, backbone(images(), text).embeds[rows])
    assert torch.equal(backbone.forward_conditioned(prefix, text).embeds, backbone(images(), text).embeds)


def test_progressive_stages_compose_the_origin_of_every_patch() -> None:
    visual = tiny_backbone(tsps(1), tsps(3))(images(), text_tokens())
    # 16 -> 8 kept + 1 fused = 9 -> 4 kept + 1 fused.
    assert visual.embeds.shape[1] == 1 + 4 + 1
    assert visual.origin is not None
    assert visual.origin.min() >= 0
    assert visual.origin.max() == 4
    for row in range(3):
        for slot in range(4):
            assert (visual.origin[row] == slot).sum() >= 1


def test_scores_alone_stop_after_the_last_selector() -> None:
    backbone = tiny_backbone(tsps(2))
    calls: list[int] = []
    for index, layer in enumerate(backbone.vit.layers):
        layer.register_forward_hook(lambda module, args, out, index=index: calls.append(index + 1))
    prefix = backbone.forward_shared(images())
    visual = backbone.forward_conditioned(prefix, text_tokens(), num_blocks=backbone.num_scored_blocks)
    assert calls == [1, 2]
    assert visual.selections[0].decision.scores.shape == (3, 16)


def test_bare_checkpoints_load_without_renaming() -> None:
    source = tiny_vit()
    target = tiny_backbone(IdentitySelector(blocks=[2]))
    for parameter in target.parameters():
        nn.init.zeros_(parameter)
    result = target.load_state_dict(source.state_dict())
    assert not result.missing_keys
    source.eval()
    assert torch.equal(target(images()).embeds, source(images())[-1])


def test_no_attention_map_is_built_to_score_patches(monkeypatch: pytest.MonkeyPatch) -> None:
    """With fused attention on, nothing of size N x N may pass through a softmax, with or without text."""
    backbone = tiny_backbone(tsps(2))
    shapes: list[torch.Size] = []
    original = Tensor.softmax

    def recording(self: Tensor, *args: object, **kwargs: object) -> Tensor:
        shapes.append(self.shape)
        return original(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Tensor, "softmax", recording)
    backbone(images(), text_tokens())
    assert shapes == []
    backbone(images(), None)
    assert shapes == [torch.Size([3, 4, 17])]


def test_a_block_that_does_not_exist_is_named() -> None:
    with pytest.raises(ConfigError, match=r"model.selectors.0.blocks: the backbone has 4 blocks, got \[7\]"):
        tiny_backbone(IdentitySelector(blocks=[7]))


def test_a_selector_that_looks_beyond_the_last_block_is_refused() -> None:
    ahead = {"embed_dim": 32, "text_dim": 32, "keep_ratio": 0.5}
    tiny_backbone(LookAheadSelector(blocks=[3], look_ahead=2, **ahead))
    with pytest.raises(
        ConfigError, match=r"model.selectors.0: LookAheadSelector at block 3 reads up to block 5, the back"
    ):
        tiny_backbone(LookAheadSelector(blocks=[1, 3], look_ahead=3, **ahead))


class _Unannounced(IdentitySelector):
    def forward(self, view: BlockView) -> Decision:
        view.inside.look_ahead(view.prefix, 9)
        return super().forward(view)


def test_looking_beyond_the_last_block_unannounced_is_refused_in_the_pass() -> None:
    with pytest.raises(ComponentError, match="9 blocks from block 2 on are asked for, got a backbone of 4"):
        tiny_backbone(_Unannounced(blocks=[2]))(images())


def test_two_selectors_at_one_block_are_refused() -> None:
    with pytest.raises(ConfigError, match="block 2 already has selector 0"):
        tiny_backbone(IdentitySelector(blocks=[2]), IdentitySelector(blocks=[2]))


def test_a_backbone_without_a_token_sequence_is_refused() -> None:
    with pytest.raises(ComponentError, match="Linear is no transformer that is known here, and has no token_adapter"):
        TokenReducingBackbone(nn.Linear(2, 2))


class _Tuple(IdentitySelector):
    def forward(self, view: BlockView) -> Decision:
        return tuple(super().forward(view))  # type: ignore[return-value]


def test_a_selector_that_returns_no_decision_is_named() -> None:
    with pytest.raises(ComponentError, match=r"_Tuple.forward must return a Decision, got tuple. Return .*Decision\("):
        tiny_backbone(_Tuple(blocks=[2]))(images())


class _TooFew(IdentitySelector):
    def forward(self, view: BlockView) -> Decision:
        decision = super().forward(view)
        return decision._replace(scores=decision.scores[:, 1:])


def test_a_selector_that_leaves_out_scores_is_named() -> None:
    with pytest.raises(ComponentError, match=r"_TooFew.forward must return a score for each candidate, .*16\), got "):
        tiny_backbone(_TooFew(blocks=[2]))(images())


def test_all_selectors_that_cannot_work_are_named_together_at_their_path() -> None:
    parts = [IdentitySelector(blocks=[7]), IdentitySelector(blocks=[2]), IdentitySelector(blocks=[2])]
    with pytest.raises(ConfigError) as caught:
        TokenReducingBackbone(tiny_vit(), parts, path="model.backbone")
    assert [problem.path for problem in caught.value.problems] == [
        "model.backbone.selectors.0.blocks",
        "model.backbone.selectors.2.blocks",
    ]


def test_every_selector_sees_the_grid_of_the_original_patches() -> None:
    grids = []
    part = RandomSelector(blocks=[1, 3], keep_ratio=0.5)
    part.register_forward_pre_hook(lambda module, inputs: grids.append(inputs[0].grid))
    tiny_backbone(part)(torch.zeros(1, 3, 32, 32))
    assert grids == [(4, 4), (4, 4)]


def test_each_selection_is_opened_and_closed_once() -> None:
    seen = []

    @contextmanager
    def around() -> Iterator[None]:
        seen.append("open")
        yield
        seen.append("close")

    backbone = tiny_backbone(RandomSelector(blocks=[1, 3], keep_ratio=0.5))
    backbone.forward_conditioned(backbone.forward_shared(images()), around_selection=around)
    assert seen == ["open", "close"] * 2


@pytest.mark.parametrize("documented", [token_reducing_backbone, blocks], ids=["any tower", "a module of one's own"])
def test_the_examples_of_the_docstrings_run(documented: ModuleType) -> None:
    assert doctest.testmod(documented).attempted > 5
    assert doctest.testmod(documented).failed == 0
