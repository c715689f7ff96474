"""PuMer: the plain fusion at ratios of 0, a slow obvious reduction, padding, the text at its original length."""

from __future__ import annotations

import pytest
import torch
from bus_cross_modal.pumer import PuMerFusion
from bus_cross_modal.reading_layer import attention_half, feed_forward_half
from bus_cross_modal.text_image_reduction import image_plans, text_plans
from torch import Tensor
from torch.nn import functional as F

from bus_toolkit.fusion import CoAttentionFusion, LayeredFusion
from bus_toolkit.ops import apply_plan
from bus_toolkit.structures import TextTokens, VisualTokens
from bus_toolkit.testing import tiny

SIZES = {"text_dim": tiny.WIDTH, "embed_dim": 24, "num_layers": 3, "num_heads": 4}


def fusion(**settings: object) -> PuMerFusion:
    torch.manual_seed(0)
    return PuMerFusion(**{**SIZES, **settings}).eval()  # type: ignore[arg-type]


def text(length: int = 12, lengths: tuple[int, ...] = (12, 7, 4)) -> TextTokens:
    """Return the same texts whatever the padded length."""
    embeds = F.pad(tiny.numbers(len(lengths), 12, tiny.WIDTH, seed=1), (0, 0, 0, length - 12))
    mask = torch.arange(length) < torch.tensor(lengths).unsqueeze(1)
    return TextTokens(embeds.masked_fill(~mask.unsqueeze(-1), 9.0), embeds[:, 0], mask)


def visual(num_patches: int = 20, width: int = 24) -> VisualTokens:
    return VisualTokens(tiny.numbers(3, 1 + num_patches, width, seed=2), 1, (4, 5))


@pytest.mark.parametrize("norm_first", [False, True])
def test_at_ratios_of_zero_it_is_the_plain_fusion(norm_first: bool) -> None:
    plain = CoAttentionFusion(**SIZES, norm_first=norm_first).eval()  # type: ignore[arg-type]
    zero = {"prune_ratio": 0.0, "merge_ratio": 0.0, "text_merge_ratio": 0.0}
    for settings in (zero, {"reduce_layers": []}):
        part = fusion(norm_first=norm_first, **settings)
        part.load_state_dict(plain.state_dict())
        got, wanted = part(text(), visual()), plain(text(), visual())
        assert torch.equal(got.text, wanted.text) and torch.equal(got.visual, wanted.visual)
        assert torch.equal(got.cls, wanted.cls)


@pytest.mark.parametrize("norm_first", [False, True])
def test_the_halves_make_a_whole_layer(norm_first: bool) -> None:
    stack = LayeredFusion(**SIZES, norm_first=norm_first).reading_layers()  # type: ignore[arg-type]
    layer = stack[0].eval()
    words, image = text(), visual(width=tiny.WIDTH).embeds
    read = attention_half(layer, words.embeds, image, words.attention_mask)
    wanted = layer(words.embeds, image, tgt_key_padding_mask=~words.attention_mask)
    valid = words.attention_mask
    torch.testing.assert_close(feed_forward_half(layer, read.states)[valid], wanted[valid])


def in_halves(tokens: Tensor, sizes: Tensor, metric: Tensor, count: int) -> tuple[Tensor, Tensor, list[int]]:
    """Merge ``count`` of the odd tokens into even ones; return tokens and sizes in ToMe's order, and all slots."""
    if count == 0:
        return tokens, sizes, list(range(len(tokens)))
    unit = (metric / metric.norm(dim=1, keepdim=True)).detach()
    best = {i: max(range(0, len(unit), 2), key=lambda j: float(unit[i] @ unit[j])) for i in range(1, len(unit), 2)}
    merged = sorted(best, key=lambda i: -float(unit[i] @ unit[best[i]]))[:count]
    order = [i for i in best if i not in merged] + list(range(0, len(unit), 2))
    groups = [[i, *(j for j in merged if best[j] == i)] for i in order]
    slots = [next(k for k, members in enumerate(groups) if i in members) for i in range(len(unit))]
    shares = [sizes[members].unsqueeze(1) / sizes[members].sum() for members in groups]
    left = [(tokens[members] * share).sum(dim=0) for members, share in zip(groups, shares, strict=True)]
    return torch.stack(left), torch.stack([sizes[members].sum() for members in groups]), slots


def keys_of(attention: torch.nn.MultiheadAttention, tokens: Tensor) -> Tensor:
    weight, bias = attention.in_proj_weight.chunk(3)[1], attention.in_proj_bias.chunk(3)[1]
    return F.linear(tokens, weight, bias).unflatten(-1, (4, -1)).mean(dim=-2)


@pytest.mark.parametrize("num_layers", [1, 3])
def test_reducing_layers_are_the_obvious_ones(num_layers: int) -> None:
    """Layers in METER's order, all reducing, each text alone and without padding."""
    ratios = {"prune_ratio": 0.2, "merge_ratio": 0.3, "text_merge_ratio": 0.25}
    part = fusion(num_layers=num_layers, embed_dim=tiny.WIDTH, reduce_layers=[*range(1, num_layers + 1)], **ratios)
    part.double()
    words, image = text(), visual(width=tiny.WIDTH)
    words = TextTokens(words.embeds.double(), words.pooled.double(), words.attention_mask)
    fused = part(words, VisualTokens(image.embeds.double(), 1, (4, 5)))
    for row, length in enumerate((12, 7, 4)):
        states, tokens = words.embeds[row : row + 1, :length], image.embeds[row : row + 1].double()
        text_sizes, sizes = torch.ones(length - 1).double(), torch.ones(20).double()
        origin = list(range(length - 1))
        for read_image, read_text in zip(part.text_layers, part.image_layers, strict=True):
            own_keys = keys_of(read_image.self_attn, states)[0, 1:]
            after = read_image.norm1(states + read_image.self_attn(states, states, states)[0])
            out, attention = read_image.multihead_attn(after, tokens, tokens)
            after = read_image.norm2(after + out)
            present = len(sizes)
            kept = attention[0].mean(dim=0)[1:].topk(present - int(0.2 * present)).indices.sort().values
            patches, keys = tokens[0, 1:][kept], keys_of(read_image.multihead_attn, tokens)[0, 1:][kept]
            patches, sizes, _ = in_halves(patches, sizes[kept], keys, int(0.3 * present + 1e-9))
            tokens = read_text(torch.cat([tokens[:, :1], patches.unsqueeze(0)], dim=1), states)
            merged, text_sizes, slots = in_halves(after[0, 1:], text_sizes, own_keys, len(text_sizes) // 4)
            origin = [slots[place] for place in origin]
            short = torch.cat([after[:, :1], merged.unsqueeze(0)], dim=1)
            states = read_image.norm3(short + read_image.linear2(F.gelu(read_image.linear1(short))))
        torch.testing.assert_close(fused.visual[row : row + 1], tokens, atol=1e-8, rtol=1e-8)
        wanted = states[0][[0, *(1 + place for place in origin)]]
        torch.testing.assert_close(fused.text[row, :length], wanted, atol=1e-8, rtol=1e-8)
    assert fused.text.shape == (3, 12, tiny.WIDTH)
    assert fused.visual.shape == (3, 1 + {1: 10, 3: 3}[num_layers], tiny.WIDTH)
    assert torch.equal(fused.attention_mask, words.attention_mask)


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("ratio", [0.1, 0.29, 0.5])
def test_neither_padding_nor_batch_mates_change_a_pair(norm_first: bool, ratio: float) -> None:
    part = fusion(norm_first=norm_first, text_merge_ratio=ratio, merge_ratio=ratio)
    fused, image = part(text(), visual()), visual().embeds
    longer = part(text(length=31), visual())
    for row, length in enumerate((12, 7, 4)):
        alone = text(lengths=(12, 7, 4)).index(slice(row, row + 1))
        short = TextTokens(alone.embeds[:, :length], alone.pooled, alone.attention_mask[:, :length])
        once = part(short, VisualTokens(image[row : row + 1], 1, (4, 5)))
        for other, place in ((fused, row), (longer, row)):
            torch.testing.assert_close(other.text[place, :length], once.text[0], atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(other.cls[place], once.cls[0], atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(other.visual[place], once.visual[0], atol=1e-5, rtol=1e-5)


def test_merged_words_share_a_token_and_the_first_is_its_own() -> None:
    fused = fusion(reduce_layers=[1], text_merge_ratio=0.5)(text(), visual())
    for row, length in enumerate((12, 7, 4)):
        different = torch.unique(fused.text[row, :length], dim=0)
        assert len(different) == length - (length - 1) // 2
        assert (fused.text[row, 1:length] != fused.text[row, 0]).any(dim=1).all()


@pytest.mark.parametrize("ratio", [0.1, 0.2, 0.29, 1 / 3, 0.5])
def test_texts_get_short_together_and_lose_no_word(ratio: float) -> None:
    """For all lengths: every word is in one new token, weighed by its size, and padding is in none that counts."""
    lengths = torch.arange(31)
    mask = torch.arange(30) < lengths.unsqueeze(1)
    words = tiny.numbers(31, 30, 8).double()
    sizes = torch.randint(1, 4, (31, 30), generator=torch.Generator().manual_seed(0)).double() * mask
    (plan,) = text_plans(words, mask, sizes, ratio)
    left = mask.gather(1, plan.keep_indices)
    assert plan.num_slots == 30 - int(30 * ratio + 1e-9)
    assert left.sum(dim=1).tolist() == [n - int(n * ratio + 1e-9) for n in range(31)]
    totals = torch.zeros(31, plan.num_slots).double().scatter_add(1, plan.slots, sizes)
    out = apply_plan(words, plan) * totals.unsqueeze(-1)
    torch.testing.assert_close(out.sum(dim=1), (words * sizes.unsqueeze(-1)).sum(dim=1))
    noisy = torch.where(mask.unsqueeze(-1), words, 1e6)
    (same,) = text_plans(noisy, mask, sizes, ratio)
    assert torch.equal(apply_plan(noisy, same)[left], apply_plan(words, plan)[left])


def test_images_lose_the_tokens_that_no_word_attends_to() -> None:
    scores = torch.tensor([[0.5, 0.1, 0.4, 0.3, 0.2]])
    (prune,) = image_plans(
        scores, torch.ones(1, 5, 2), torch.ones(1, 5), prune_ratio=0.4, merge_ratio=0.0, num_prefix=1
    )
    assert prune.keep_indices.tolist() == [[0, 2, 3]]
    few = {"prune_ratio": 0.1, "merge_ratio": 0.1, "num_prefix": 1}
    assert image_plans(scores, torch.ones(1, 5, 2), torch.ones(1, 5), **few) == []


def test_a_lone_global_token_stays() -> None:
    lone = VisualTokens(visual().embeds[:, :1], 1, (4, 5))
    assert fusion()(text(), lone).visual.shape == (3, 1, tiny.WIDTH)
    single = fusion()(text(lengths=(1, 1, 1)), visual())
    assert torch.isfinite(single.text[:, 0]).all() and torch.isfinite(single.cls).all()


def test_reduces_in_the_first_two_thirds_by_default() -> None:
    assert [fusion(num_layers=n).reduce_layers for n in (1, 2, 6)] == [[1], [1, 2], [1, 2, 3, 4]]
    # Of 20: 2 pruned and 6 merged; of 12: 1 and 3.
    assert fusion()(text(), visual()).visual.shape[1] == 1 + 8


def test_every_word_can_be_trained_through() -> None:
    words = text()
    words.embeds.requires_grad_()
    fusion()(words, visual()).text[words.attention_mask].square().sum().backward()
    assert words.embeds.grad is not None
    assert (words.embeds.grad[words.attention_mask].abs().sum(dim=1) > 0).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"reduce_layers": [0]}, r"reduce_layers: must be different layers from 1 to 3, got \[0\]"),
        ({"reduce_layers": [2, 2]}, r"reduce_layers: must be different layers from 1 to 3, got \[2, 2\]"),
        ({"prune_ratio": 1.0}, r"prune_ratio: must be in \[0, 1\), got 1.0"),
        ({"merge_ratio": 0.6}, r"must be in \[0, 0.5\], got 0.6 and 0.2. One layer can at most halve"),
        ({"text_merge_ratio": -0.1}, r"must be in \[0, 0.5\], got 0.3 and -0.1"),
        ({"num_layers": 0}, "num_layers: must be 1 or more, got 0"),
    ],
)
def test_refuses_what_makes_no_sense(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fusion(**settings)
