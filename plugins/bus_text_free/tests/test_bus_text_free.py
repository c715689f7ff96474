"""Each method against the figures of its published code, run in float64 with the same weights and inputs."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from bus_text_free import register_components
from bus_text_free.dynamic_vit import DynamicViTSelector, KeepRatioHead
from bus_text_free.evit import EViTSelector
from bus_text_free.tome import ToMeSelector
from bus_text_free.turbo import TurboSelector
from mmpretrain import models
from torch import Tensor

from bus_toolkit.backbones import (
    TokenPositions,
    TokenReducingBackbone,
    ViTBlockAccess,
    adapter_of,
    attention_half,
    vision_transformer,
)
from bus_toolkit.errors import ConfigError
from bus_toolkit.ops import TokenPlan, apply_plan
from bus_toolkit.registry import new_registries
from bus_toolkit.selectors import BlockView


def fill(shape: tuple[int, ...], a: float, b: float) -> Tensor:
    """Return ``sin(a k + b)`` over the flattened index k, in float64."""
    return torch.sin(a * torch.arange(torch.Size(shape).numel(), dtype=torch.float64) + b).reshape(shape)


class GivenBlock:
    """A block whose keys and CLS attention are given."""

    def __init__(self, keys: Tensor, attention: Tensor | None = None) -> None:
        self._keys, self._attention = keys, attention

    def keys(self) -> Tensor:
        return self._keys.unsqueeze(2)

    def cls_attention(self) -> Tensor | None:
        return self._attention


def view(tokens: Tensor, block: object, number: int = 1, key_weights: Tensor | None = None) -> BlockView:
    origin = torch.arange(tokens.shape[1] - 1).expand(tokens.shape[0], -1)
    return BlockView(tokens[:, 1:], tokens[:, :1], None, origin, number, key_weights, block, (1, origin.shape[1]))  # type: ignore[arg-type]


X = fill((2, 17, 8), 0.73, 0.2)
KEYS = fill((2, 17, 4), 1.37, 0.5)[:, 1:]


def merged(plan: TokenPlan) -> tuple[Tensor, list[list[int]]]:
    """Return all tokens, CLS first, and their sizes."""
    out = torch.cat([X[:, :1], apply_plan(X[:, 1:], plan)], dim=1)
    sizes = torch.zeros(2, plan.num_slots).scatter_add(1, plan.slots, torch.ones(2, 16))
    return out, [[1, *row] for row in sizes.int().tolist()]


def test_tome_reproduces_its_published_code() -> None:
    """facebookresearch/ToMe at af95e4b1, four tokens merged once; several merges: tests/ops, tests/backbones."""
    plan = ToMeSelector(blocks=[1], num_merged=4)(view(X, GivenBlock(KEYS))).plan
    out, sizes = merged(plan)
    assert out.shape == (2, 13, 8)
    assert out.sum().item() == pytest.approx(1.701388503, abs=1e-8)
    assert out.abs().sum().item() == pytest.approx(101.778051410, abs=1e-8)
    assert sizes == [[1, 1, 1, 1, 1, 2, 1, 1, 2, 1, 2, 1, 2], [1, 1, 1, 1, 1, 2, 2, 1, 1, 2, 1, 2, 1]]
    assert plan.key_weights is not None and plan.key_weights.sum(dim=1).tolist() == [16, 16]
    torch.testing.assert_close((plan.key_weights.unsqueeze(-1) * out[:, 1:]).sum(dim=1), X[:, 1:].sum(dim=1))


def test_turbo_reproduces_its_published_code_and_is_tome_without_attention() -> None:
    """anakin-skywalker-Joseph/Turbo at 1e7e1081: alpha 5, beta 1, gamma 0; one merge."""
    attention = fill((2, 17), 2.1, 0.3).exp()
    block = GivenBlock(KEYS, (attention / attention.sum(dim=1, keepdim=True))[:, 1:])
    plan = TurboSelector(blocks=[1], num_merged=4, alpha=5.0)(view(X, block)).plan
    out, sizes = merged(plan)
    assert out.sum().item() == pytest.approx(2.051363554, abs=1e-8)
    assert out.abs().sum().item() == pytest.approx(102.339446425, abs=1e-8)
    assert sizes == [[1, 1, 1, 1, 1, 1, 2, 1, 3, 1, 1, 1, 2], [1, 1, 1, 1, 1, 1, 2, 2, 1, 1, 2, 2, 1]]
    plain = TurboSelector(blocks=[1], num_merged=4, alpha=0.0)(view(X, block)).plan
    tome = ToMeSelector(blocks=[1], num_merged=4)(view(X, block)).plan
    assert torch.equal(plain.slots, tome.slots)
    faded = TurboSelector(blocks=[3], num_merged=4, alpha=20.0, beta=0.5, gamma=0)(view(X, block, number=3)).plan
    assert torch.equal(faded.slots, plan.slots), "20 x 0.5^2 = 5"


def test_evit_reproduces_its_published_code() -> None:
    """A block of youweiliang/evit at 5ca95a7c: width 8, two heads, 0.7 of 16 patches.

    Parameter j is 0.3 sin(0.37 k + 0.11 j), norm weights plus 1.
    """
    arch = {"embed_dims": 8, "num_layers": 1, "num_heads": 2, "feedforward_channels": 32}
    adapter, positions = (
        adapter_of(vision_transformer(arch=arch, norm_cfg={"type": "LN", "eps": 1e-5})),
        TokenPositions((4, 4)),
    )
    layer = adapter.layers[0].double()
    layer.eval()
    names = "ln1.{0} attn.qkv.{0} attn.proj.{0} ln2.{0} ffn.layers.0.0.{0} ffn.layers.1.{0}".split()
    order = [name.format(kind) for name in names for kind in ("weight", "bias")]
    parameters = dict(layer.named_parameters())
    assert set(order) == set(parameters)
    with torch.no_grad():
        for j, name in enumerate(order):
            is_norm = name in ("ln1.weight", "ln2.weight")
            parameters[name].copy_(0.3 * fill(tuple(parameters[name].shape), 0.37, 0.11 * j) + float(is_norm))
        tokens, used = attention_half(adapter, layer, X, positions)
        access = ViTBlockAccess(
            adapter, 1, positions=positions, tokens=tokens, block_input=X, key_weights=None, used=used
        )
        plan, scores, *_ = EViTSelector(blocks=[1])(view(tokens, access))
        out = adapter.feed_forward_half(layer, torch.cat([tokens[:, :1], apply_plan(tokens[:, 1:], plan)], dim=1))
    assert out.shape == (2, 14, 8)
    assert out.sum().item() == pytest.approx(61.587931079, abs=1e-8)
    assert out.abs().sum().item() == pytest.approx(188.592426676, abs=1e-8)
    ranked = scores.sort(dim=1, descending=True).indices[:, :12].tolist()
    assert ranked == [[0, 14, 15, 13, 1, 2, 12, 3, 4, 11, 5, 6], [3, 2, 4, 5, 1, 15, 6, 0, 14, 7, 8, 13]]


def test_evit_rounds_the_number_kept_up_without_float_error() -> None:
    assert EViTSelector(blocks=[1]).num_kept(view(X, None)) == 12
    assert EViTSelector(blocks=[1], keep_ratio=0.25).num_kept(view(X, None)) == 4


def test_tome_merges_at_most_half() -> None:
    assert ToMeSelector(blocks=[1], num_merged=100).num_kept(view(X, None)) == 8
    with pytest.raises(ValueError, match="num_merged: must be 0 or more tokens, got -1"):
        ToMeSelector(blocks=[1], num_merged=-1)


def test_turbo_refuses_what_makes_no_sense() -> None:
    with pytest.raises(ValueError, match=r"alpha and beta: must be 0 or more and in \(0, 1\], got -1.0 and 1.0"):
        TurboSelector(blocks=[1], alpha=-1.0)


def test_dynamic_vit_masks_with_gradient_in_training_and_gathers_in_evaluation() -> None:
    torch.manual_seed(0)
    selector = DynamicViTSelector(blocks=[1], embed_dim=8, keep_ratio=0.5).double()
    plan, scores, *_ = selector(view(X, None))
    assert plan.is_identity and plan.key_weights is not None
    assert set(plan.key_weights.unique().tolist()) <= {0.0, 1.0}
    plan.key_weights[:, :3].sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in selector.parameters())
    earlier = torch.zeros(2, 16, dtype=torch.float64)
    assert not selector(view(X, None, key_weights=earlier))[0].key_weights.any(), "what was dropped stays dropped"
    selector.eval()
    plan, scores, *_ = selector(view(X, None))
    assert plan.key_weights is None and plan.keep_indices.shape == (2, 8)
    best = scores.sort(dim=1, descending=True).indices[:, :8].sort(dim=1).values
    assert torch.equal(plan.keep_indices, best)


def test_the_ratio_loss_is_the_squared_distance_of_the_mean_mask() -> None:
    class OneStep:
        def __init__(self, masks: list[Tensor]) -> None:
            plans = [TokenPlan(torch.zeros(2, 4), torch.zeros(2, 4), torch.zeros(2, 4), key_weights=m) for m in masks]
            stages = [SimpleNamespace(decision=SimpleNamespace(plan=plan)) for plan in plans]
            self.visual = lambda condition: type("V", (), {"selections": stages})()

    full, half = torch.ones(2, 4), torch.tensor([[1.0, 1.0, 0.0, 0.0]] * 2)
    loss = KeepRatioHead(keep_ratio=0.5).loss(OneStep([full, half]))  # type: ignore[arg-type]
    assert loss.losses["keep_ratio"].item() == pytest.approx((0.5**2 + 0.25**2) / 2)
    assert loss.logs["kept_by_mask"].item() == 0.5
    with pytest.raises(ConfigError, match="2 stages mask patches, got 1 shares"):
        KeepRatioHead(keep_ratio=[0.5]).loss(OneStep([full, half]))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"each share must be in \(0, 1\], got 1.5"):
        KeepRatioHead(keep_ratio=1.5)


def test_registers_all_four_and_the_heads() -> None:
    registries = new_registries()
    register_components(registries)
    assert registries.selectors.names() == ["DynamicViT", "EViT", "ToMe", "Turbo"]
    assert registries.heads.names() == ["KeepRatioHead", "TeacherDistillHead"]


@pytest.mark.parametrize("cls", [ToMeSelector, TurboSelector])
@pytest.mark.parametrize("kind", ["VisionTransformer", "BEiTViT", "ViTEVA02"])
def test_with_nothing_to_merge_the_pass_is_the_plain_one_bit_for_bit(cls: type, kind: str) -> None:
    arch = {"embed_dims": 16, "num_layers": 2, "num_heads": 2, "feedforward_channels": 32}
    vit = getattr(models, kind)(arch=arch, img_size=32, patch_size=8, out_type="raw")
    vit.eval()
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    visual = TokenReducingBackbone(vit, [cls(blocks=[1, 2], num_merged=0)])(images)
    assert torch.equal(visual.embeds, vit(images)[0])
