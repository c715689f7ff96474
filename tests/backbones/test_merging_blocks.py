"""ToMe and Turbo inside whole backbones, in several blocks, against slow versions; what an order of tokens may change.

In float64. The slow versions take one image at a time and loop over single tokens (``tests/slow_tome.py``); of the
library they use its linear layers and norms alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest
import torch
from bus_text_free.tome import ToMeSelector
from bus_text_free.turbo import TurboSelector
from torch import Tensor

from bus_toolkit.backbones.adapters.huggingface_parts import attention_parts, vit_blocks
from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone
from bus_toolkit.ops.apply_plans import apply_plan
from bus_toolkit.ops.follow_plans import carry_weights, patches_in_tokens, scatter_back
from bus_toolkit.ops.make_plans import merge_plan
from bus_toolkit.selectors.base import PatchSelector, Site
from bus_toolkit.selectors.view import BlockView
from bus_toolkit.structures import Decision
from tests.backbones.adapters.vit_like import VitLike, pictures
from tests.backbones.adapters.vit_likes import VIT_LIKES
from tests.slow_tome import slow_merge

HEADS = 4


@dataclass(frozen=True)
class Library:
    """How one library names what a block is made of."""

    embed: Callable[[Any, Tensor], Tensor]
    blocks: Callable[[Any], Any]
    norm1: Callable[[Any, Tensor], Tensor]
    states: Callable[[Any, Tensor], tuple[Tensor, ...]]
    project: Callable[[Any, Tensor], Tensor]
    feed_forward: Callable[[Any, Tensor], Tensor]
    final: Callable[[Any, Tensor], Tensor]


def openmmlab_tokens(vit: Any, images: Tensor) -> Tensor:
    patches = vit.patch_embed(images)[0]
    prefix = [getattr(vit, name) for name in ("cls_token", "dist_token") if getattr(vit, name, None) is not None]
    return torch.cat([*(token.expand(len(images), -1, -1) for token in prefix), patches], dim=1) + vit.pos_embed


OPENMMLAB = Library(
    embed=openmmlab_tokens,
    blocks=lambda vit: vit.layers,
    norm1=lambda block, x: block.ln1(x),
    states=lambda block, x: block.attn.qkv(x).chunk(3, dim=-1),
    project=lambda block, x: block.attn.proj(x),
    feed_forward=lambda block, x: block.ffn.layers(block.ln2(x)),
    final=lambda vit, x: vit.ln1(x),
)
TIMM = Library(
    embed=lambda vit, images: vit._pos_embed(vit.patch_embed(images)),
    blocks=lambda vit: vit.blocks,
    norm1=lambda block, x: block.norm1(x),
    states=lambda block, x: block.attn.qkv(x).chunk(3, dim=-1),
    project=lambda block, x: block.ls1(block.attn.proj(x)),
    feed_forward=lambda block, x: block.ls2(block.mlp(block.norm2(x))),
    final=lambda vit, x: vit.norm(x),
)


def fed_forward(block: Any, x: Tensor) -> Tensor:
    """Return what the feed-forward part of a ViT of transformers 5 or 4 gives for normed tokens."""
    return block.mlp(x) if hasattr(block, "mlp") else block.output.dense(block.intermediate(x))


HUGGING_FACE = Library(
    embed=lambda vit, images: vit.embeddings(images),
    blocks=vit_blocks,
    norm1=lambda block, x: block.layernorm_before(x),
    states=lambda block, x: tuple(linear(x) for linear in attention_parts(block).projections),
    project=lambda block, x: attention_parts(block).output(x),
    feed_forward=lambda block, x: fed_forward(block, block.layernorm_after(x)),
    final=lambda vit, x: vit.layernorm(x),
)
LIBRARIES = [
    ("ViT", OPENMMLAB),
    ("ViT without class token", OPENMMLAB),
    ("DeiT distilled", OPENMMLAB),
    ("timm ViT", TIMM),
    ("timm ViT with registers", TIMM),
    ("timm ViT that averages", TIMM),
    ("Hugging Face ViT", HUGGING_FACE),
]


@torch.no_grad()
def slow_pass(
    library: Library, vit: Any, image: Tensor, merges: dict[int, int], num_prefix: int, alpha: float
) -> tuple[Tensor, Tensor]:
    """Return tokens (P + S, D) of one image, and their sizes, with ``merges[block]`` tokens merged away in a block.

    ``alpha`` above 0 is Turbo's: the class token's attention, of the block's own logits with their sizes, is spared.
    """
    x = library.embed(vit, image.unsqueeze(0))[0]
    sizes = torch.ones(len(x)).double()
    for number, block in enumerate(library.blocks(vit), start=1):
        # (n, D) -> (n, H, E), each.
        queries, keys, values = (
            part[0].unflatten(-1, (HEADS, -1)) for part in library.states(block, library.norm1(block, x.unsqueeze(0)))
        )
        heads, asked = [], torch.zeros(len(x)).double()
        for head in range(HEADS):
            logits = queries[:, head] @ keys[:, head].T / queries.shape[-1] ** 0.5
            weights = (logits + sizes.log()).softmax(dim=1)  # proportional attention
            heads.append(weights @ values[:, head])
            asked += weights[0] / HEADS
        x = x + library.project(block, torch.cat(heads, dim=-1).unsqueeze(0))[0]
        value = 30.0 * alpha * asked if alpha else None
        x, sizes = slow_merge(x, sizes, keys.mean(dim=1), merges.get(number, 0), num_prefix, value)
        x = x + library.feed_forward(block, x.unsqueeze(0))[0]
    return library.final(vit, x.unsqueeze(0))[0], sizes


@pytest.mark.parametrize(("name", "library"), LIBRARIES, ids=[name for name, _ in LIBRARIES])
@pytest.mark.parametrize("merges", [{1: 4, 2: 4, 3: 4}, {1: 5, 3: 3}], ids=["three blocks", "first and third"])
@pytest.mark.parametrize("alpha", [0.0, 0.7], ids=["ToMe", "Turbo"])
def test_merging_in_several_blocks_equals_the_slow_pass(
    name: str, library: Library, merges: dict[int, int], alpha: float
) -> None:
    kind = VIT_LIKES[name]
    if alpha and not kind.num_prefix:
        pytest.skip("Turbo asks a class token; what replaces one is ours")
    vit, images = kind.fresh().double(), pictures().double()
    cls, settings = (TurboSelector, {"alpha": alpha}) if alpha else (ToMeSelector, {})
    parts = [cls(blocks=[block], num_merged=count, **settings) for block, count in merges.items()]
    visual = TokenReducingBackbone(vit, parts)(images)
    got = visual.embeds[:, kind.pools :]
    assert visual.origin is not None
    counted = patches_in_tokens(visual.origin, got.shape[1] - kind.num_prefix)
    for row, image in enumerate(images):
        wanted, sizes = slow_pass(library, vit, image, merges, kind.num_prefix, alpha)
        torch.testing.assert_close(got[row], wanted, atol=1e-8, rtol=1e-8)
        assert counted[row].tolist() == sizes[kind.num_prefix :].tolist()


def test_without_proportional_attention_the_matching_is_still_the_published_one() -> None:
    """The sets of the second block: the order after the first merge decides them, not the attention."""
    kind = VIT_LIKES["ViT"]
    parts = [ToMeSelector(blocks=[1, 2], num_merged=4, proportional=False)]
    first, second = TokenReducingBackbone(kind.fresh(), parts)(pictures()).selections
    places = torch.arange(16).expand(2, -1)
    unmerged = places[:, 1::2].masked_fill(first.decision.plan.slots[:, 1::2] >= 4, -1)
    for row in range(2):
        odd_left = [place for place in unmerged[row].tolist() if place >= 0]
        assert first.decision.plan.keep_indices[row].tolist() == [*odd_left, *range(0, 16, 2)]
        gone = set(range(12)) - set(second.decision.plan.keep_indices[row].tolist())
        assert len(gone) == 4 and all(place % 2 == 1 for place in gone)


class _Paired(PatchSelector):
    """Patches 2i and 2i + 1 become one token; the pairs are in order, and count twice from then on."""

    site: ClassVar[Site] = "after_block"
    ranks: ClassVar[bool] = False

    def forward(self, view: BlockView) -> Decision:
        batch, count = view.patches.shape[:2]
        founders = torch.arange(0, count, 2).expand(batch, -1)
        plan = merge_plan(founders, torch.arange(count).div(2, rounding_mode="floor").expand(batch, -1))
        plan = self.reordered(plan, torch.arange(count // 2).expand(batch, -1))
        return Decision(replace(plan, key_weights=carry_weights(view.sizes(), plan)), view.patches.mean(dim=-1))

    def reordered(self, plan: Any, order: Tensor) -> Any:
        """Return the plan with output slot k being what slot ``order[:, k]`` was."""
        keep = plan.keep_indices.gather(1, order)
        return replace(plan, keep_indices=keep, slots=order.argsort(dim=1).gather(1, plan.slots))


class _Shuffled(_Paired):
    """The same, with the pairs in another order for each image."""

    def reordered(self, plan: Any, order: Tensor) -> Any:
        generator = torch.Generator().manual_seed(5)
        shuffled = [torch.randperm(order.shape[1], generator=generator) for _ in order]
        return super().reordered(plan, torch.stack(shuffled))


def at(cls: type[PatchSelector], site: Site) -> type[PatchSelector]:
    return type(f"{cls.__name__}_{site}", (cls,), {"site": site})


@pytest.mark.parametrize("kind", VIT_LIKES.values(), ids=VIT_LIKES)
@pytest.mark.parametrize("site", ["before_block", "inside_block", "after_block"])
def test_another_order_of_a_plan_moves_the_tokens_and_changes_nothing_else(kind: VitLike, site: Site) -> None:
    vit, images = kind.fresh().double(), pictures().double()
    plain, moved = (TokenReducingBackbone(vit, [at(cls, site)(blocks=[1])])(images) for cls in (_Paired, _Shuffled))
    prefix = plain.num_prefix
    assert plain.origin is not None and moved.origin is not None
    assert not torch.equal(plain.origin, moved.origin)
    torch.testing.assert_close(moved.embeds[:, :prefix], plain.embeds[:, :prefix], atol=1e-8, rtol=1e-8)
    dense, other = (scatter_back(visual.embeds[:, prefix:], visual.origin) for visual in (plain, moved))
    torch.testing.assert_close(other, dense, atol=1e-8, rtol=1e-8)
    assert torch.equal(moved.kept_patches(), plain.kept_patches())
    weights = [visual.selections[0].decision.plan.key_weights for visual in (plain, moved)]
    assert all((weight == 2).all() for weight in weights if weight is not None)


def test_a_plan_may_reorder_all_tokens() -> None:
    order = torch.stack([torch.randperm(6, generator=torch.Generator().manual_seed(i)) for i in range(2)])
    tokens = torch.randn(2, 7, 4)
    plan = replace(
        merge_plan(torch.arange(6).expand(2, -1), torch.arange(6).expand(2, -1)),
        keep_indices=order,
        slots=order.argsort(dim=1),
        merging=True,
    )
    out = apply_plan(tokens, plan, num_prefix=1)
    for row in range(2):
        assert torch.equal(out[row], tokens[row, [0, *(1 + order[row])]])
