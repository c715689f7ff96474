"""Each method against a slow version of its description."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from bus_vlm.density_peaks import density_peaks
from bus_vlm.fastv import FastVSelector
from bus_vlm.prumerge import PruMergeSelector
from bus_vlm.sparsevlm import SparseVLMSelector
from bus_vlm.visionzip import VisionZipSelector
from torch import Tensor

from bus_toolkit.ops import apply_plan
from bus_toolkit.selectors import BlockView, PatchSelector
from bus_toolkit.structures import TextTokens
from bus_toolkit.testing import tiny

B, N, D, H = 3, 40, 8, 2
WIDTHS = {"embed_dim": D, "text_dim": D}


class GivenBlock:
    """A block whose keys, queries and CLS attention are given; its query projection doubles."""

    def __init__(self, seed: int = 0) -> None:
        self._keys = tiny.numbers(B, N, H, D // H, seed=seed + 10)
        self._query = tiny.numbers(B, H, D // H, seed=seed + 11)
        self.attention = tiny.numbers(B, N, seed=seed + 12).softmax(dim=1)

    def keys(self) -> Tensor:
        return self._keys

    def cls_query(self) -> Tensor:
        return self._query

    def cls_attention(self) -> Tensor:
        return self.attention

    def project_query(self, vectors: Tensor) -> Tensor:
        return 2.0 * vectors


def text_tokens() -> TextTokens:
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]], dtype=torch.bool)
    embeds = tiny.numbers(B, 5, D, seed=3)
    return TextTokens(embeds, embeds[:, 0], mask)


def view(text: TextTokens | None = None, block: GivenBlock | None = None) -> BlockView:
    origin = torch.arange(N).expand(B, -1)
    patches = tiny.numbers(B, N, D, seed=1)
    return BlockView(patches, patches[:, :1], text, origin, 1, None, block or GivenBlock(), (1, origin.shape[1]))  # type: ignore[arg-type]


def cosine(a: Tensor, b: Tensor) -> float:
    return torch.nn.functional.cosine_similarity(a, b, dim=0).item()


def best(scores: Tensor, count: int) -> list[int]:
    return sorted(range(len(scores)), key=lambda i: -scores[i])[:count]


def test_visionzip_adds_the_mean_of_what_is_nearest_to_each_strided_target() -> None:
    """20 of 40 at a share of 0.2: 16 dominant, 24 left, 4 targets, every 6th of them."""
    seen = view()
    plan, scores, *_ = VisionZipSelector(blocks=[1], keep_ratio=0.5, contextual_share=0.2)(seen)
    out, keys = apply_plan(seen.patches, plan), seen.inside.keys().mean(dim=2)
    for row in range(B):
        dominant = best(scores[row], 16)
        rest = [i for i in range(N) if i not in dominant]
        targets, x = rest[::6], seen.patches[row]
        wanted = {i: x[i] for i in dominant}
        others = [i for i in rest if i not in targets]
        goes_to = {i: max(targets, key=lambda t: cosine(keys[row, i], keys[row, t])) for i in others}
        for target in targets:
            own = [x[i] for i in others if goes_to[i] == target]
            wanted[target] = x[target] + (torch.stack(own).mean(dim=0) if own else 0.0)
        assert plan.keep_indices[row].tolist() == sorted(wanted)
        torch.testing.assert_close(out[row], torch.stack([wanted[i] for i in sorted(wanted)]))
        followed = [plan.keep_indices[row, plan.slots[row, i]].item() for i in others]
        assert followed == [goes_to[i] for i in others]


def test_visionzip_counts_contextual_tokens_as_its_share_says() -> None:
    selector = VisionZipSelector(blocks=[1])
    assert [selector.num_contextual(count) for count in (1, 2, 12, 13, 64)] == [0, 1, 1, 2, 10]
    plan = VisionZipSelector(blocks=[1], contextual_share=0.0)(view()).plan
    assert not plan.merging and (plan.slots < 0).sum().item() == B * (N - plan.num_slots)


@pytest.mark.parametrize("plus", [False, True])
def test_prumerge_absorbs_near_keys_and_fuses_the_others(plus: bool) -> None:
    """10 of 40 absorb, and the extra token comes last; with samples 5 of the 10 are the middles of fifths."""
    seen = view()
    plan, scores, *_ = PruMergeSelector(blocks=[1], keep_ratio=0.25, num_neighbors=6, plus=plus)(seen)
    out, keys = apply_plan(seen.patches, plan), seen.inside.keys().flatten(2)
    num_fused = 0
    for row in range(B):
        logits = keys[row] @ seen.inside.cls_query()[row].flatten() / D**0.5
        attention = logits.softmax(dim=0)
        torch.testing.assert_close(scores[row], attention)
        samples, extra = [4, 12, 20, 28, 36] if plus else [], N
        ranked = [i for i in best(attention, N) if i not in samples]
        absorbing = sorted(samples + ranked[: 10 - len(samples)])
        x = seen.patches[row]
        wanted = {i: x[i].clone() for i in absorbing} | {extra: torch.zeros(D)}
        near = {
            a: sorted((i for i in range(N) if i != a), key=lambda i: -cosine(keys[row, a], keys[row, i]))[:6]
            for a in absorbing
        }
        for i in (i for i in range(N) if i not in wanted):
            reached = [a for a in absorbing if i in near[a]]
            goes_to = max(reached, key=lambda a: cosine(keys[row, a], keys[row, i])) if reached else extra
            wanted[goes_to] += attention[i] * x[i]
            num_fused += goes_to == extra
        assert plan.keep_indices[row].tolist() == absorbing
        torch.testing.assert_close(out[row], torch.stack([wanted[i] for i in sorted(wanted)]))
    assert num_fused > 0, "the extra token is tested too"


def test_prumerge_with_one_kept_token_loses_none() -> None:
    seen = view()
    plan, scores, *_ = PruMergeSelector(blocks=[1], keep_ratio=1 / N, num_neighbors=2)(seen)
    weights = scores.scatter(1, plan.keep_indices, 1.0)
    out = apply_plan(seen.patches, plan).sum(dim=1)
    torch.testing.assert_close(out, (weights.unsqueeze(2) * seen.patches).sum(dim=1))


def attention_of(token: Tensor, keys: Tensor) -> Tensor:
    """Return the mean-head attention (N,) of a token (D,) to keys (N, H, E), by ``GivenBlock``'s projection."""
    heads = (2.0 * token).reshape(H, -1)
    return torch.stack([(keys[:, h] @ heads[h] / (D / H) ** 0.5).softmax(dim=0) for h in range(H)]).mean(dim=0)


def test_fastv_ranks_by_the_last_token_that_is_no_padding() -> None:
    text, seen = text_tokens(), view(text_tokens())
    plan, scores, *_ = FastVSelector(blocks=[1], **WIDTHS)(seen)
    for row, last in enumerate([4, 2, 0]):
        torch.testing.assert_close(scores[row], attention_of(text.embeds[row, last], seen.inside.keys()[row]))
        assert plan.keep_indices[row].tolist() == sorted(best(scores[row], 20))


def test_fastv_rounds_the_number_kept_to_the_nearest() -> None:
    assert FastVSelector(blocks=[1], keep_ratio=0.44, **WIDTHS).num_kept(view()) == 18
    assert FastVSelector(blocks=[1], keep_ratio=0.43, **WIDTHS).num_kept(view()) == 17
    assert FastVSelector(blocks=[1], keep_ratio=0.001, **WIDTHS).num_kept(view()) == 1


def test_key_weights_count_in_the_attention_of_the_text() -> None:
    seen = replace(view(text_tokens()), key_weights=torch.ones(B, N).index_fill(1, torch.tensor([7]), 0.0))
    assert FastVSelector(blocks=[1], **WIDTHS).score(seen)[:, 7].max() < 1e-4, "what was masked stays masked"


def rated(patches: Tensor, embeds: Tensor, keys: Tensor) -> Tensor:
    """Return SparseVLM's score (N,) for patches (N, D) and the tokens (L, D) of one text without padding."""
    relevance = (patches @ embeds.T).softmax(dim=1).mean(dim=0)
    raters = [t for t in range(len(embeds)) if relevance[t] > relevance.mean()] or range(len(embeds))
    return torch.stack([attention_of(embeds[t], keys) for t in raters]).mean(dim=0)


def test_sparsevlm_is_rated_by_relevant_tokens_and_recycles_the_best_of_the_dropped() -> None:
    """20 of 40: int(0.3 x 20) + 1 = 7 make int(0.4 x 7) + 1 = 3 clusters; 17 stay, int(0.3 x 23) + 1 are recycled."""
    text, seen = text_tokens(), view(text_tokens())
    selector = SparseVLMSelector(blocks=[1], center_share=0.4, **WIDTHS)
    plan, scores, *_ = selector(seen)
    out = apply_plan(seen.patches, plan)
    for row in range(B):
        x, embeds = seen.patches[row], text.embeds[row, text.attention_mask[row]]
        torch.testing.assert_close(scores[row], rated(x, embeds, seen.inside.keys()[row]))
        ranked = best(scores[row], N)
        kept, recycled = ranked[:17], sorted(ranked[17:24])
        centers, labels = slow_density_peaks(x[recycled], 3)
        wanted = {i: x[i] for i in kept}
        for c, center in enumerate(centers):
            members = [i for i, label in zip(recycled, labels, strict=True) if label == c]
            wanted[recycled[center]] = x[members].mean(dim=0)
        assert plan.keep_indices[row].tolist() == sorted(wanted)
        torch.testing.assert_close(out[row], torch.stack([wanted[i] for i in sorted(wanted)]))
        gone = [i for i in ranked if i not in kept and i not in recycled]
        assert plan.slots[row, gone].eq(-1).all() and plan.weights[row].sum().item() == pytest.approx(20)


def slow_density_peaks(points: Tensor, count: int) -> tuple[list[int], list[int]]:
    distance = [[((a - b).norm() / D**0.5).item() for b in points] for a in points]
    members = range(len(points))
    density = [torch.tensor([-(sum(d * d for d in sorted(distance[i])[:count]) / count)]).exp().item() for i in members]
    largest, merit = max(map(max, distance)), []
    for i in members:
        denser = [distance[i][j] for j in members if (density[j], -j) > (density[i], -i)]
        merit.append(density[i] * min(denser, default=largest))
    centers = sorted(sorted(members, key=lambda i: -merit[i])[:count])
    labels = [
        centers.index(i) if i in centers else min(range(count), key=lambda c: distance[i][centers[c]]) for i in members
    ]
    return centers, labels


def test_density_peaks_finds_what_lies_apart() -> None:
    points = torch.tensor([[0.0, 0.0], [0.1, 0.0], [9.0, 9.0], [0.0, 0.1], [9.1, 9.0], [9.0, 9.1]]).unsqueeze(0)
    centers, labels = density_peaks(points, 2)
    assert centers.tolist() == [[0, 2]] and labels.tolist() == [[0, 0, 1, 0, 1, 1]]


def test_density_peaks_gives_ties_to_the_lower_index_and_a_center_to_itself() -> None:
    centers, labels = density_peaks(torch.ones(2, 5, 4), 2)
    assert centers.tolist() == [[0, 1]] * 2 and labels.tolist() == [[0, 1, 0, 0, 0]] * 2


def test_sparsevlm_without_recycling_drops() -> None:
    plan = SparseVLMSelector(blocks=[1], recycle_share=0.0, **WIDTHS)(view(text_tokens())).plan
    assert not plan.merging and plan.num_slots == 20
    assert SparseVLMSelector(blocks=[1], keep_ratio=1 / N, **WIDTHS)(view(text_tokens())).plan.num_slots == 1


@pytest.mark.parametrize("selector", [FastVSelector, SparseVLMSelector])
def test_a_text_of_padding_alone_is_read_at_its_first_token(selector: type[PatchSelector]) -> None:
    text = text_tokens()
    nothing = replace(text, attention_mask=torch.zeros_like(text.attention_mask))
    first = replace(text, attention_mask=nothing.attention_mask.index_fill(1, torch.tensor([0]), True))
    part = selector(blocks=[1], **WIDTHS)  # type: ignore[call-arg]
    torch.testing.assert_close(part.score(view(nothing)), part.score(view(first)))


@pytest.mark.parametrize("selector", [FastVSelector, SparseVLMSelector])
def test_padding_does_not_matter_and_the_text_does(selector: type[PatchSelector]) -> None:
    text = text_tokens()
    noisy = replace(text, embeds=torch.where(text.attention_mask.unsqueeze(2), text.embeds, text.embeds + 50.0))
    longer = TextTokens(
        torch.cat([text.embeds, torch.ones(B, 2, D)], dim=1),
        text.pooled,
        torch.cat([text.attention_mask, torch.zeros(B, 2, dtype=torch.bool)], dim=1),
    )
    part = selector(blocks=[1], **WIDTHS)  # type: ignore[call-arg]
    plain = part(view(text))
    for other in (noisy, longer):
        torch.testing.assert_close(part(view(other)).scores, plain.scores)
        assert torch.equal(part(view(other)).plan.slots, plain.plan.slots)
    assert not torch.allclose(part(view(replace(text, embeds=-text.embeds))).scores, plain.scores)


@pytest.mark.parametrize("selector", [FastVSelector, SparseVLMSelector])
def test_without_a_text_the_cls_attention_picks(selector: type[PatchSelector]) -> None:
    block = GivenBlock()
    decision = selector(blocks=[1], **WIDTHS)(view(block=block))  # type: ignore[call-arg]
    assert torch.equal(decision.scores, block.attention) and decision.plan.num_slots == 20


def test_equal_scores_go_to_the_lower_index() -> None:
    block = GivenBlock()
    block.attention = torch.full((B, N), 1 / N)
    assert (
        VisionZipSelector(blocks=[1], contextual_share=0.0, keep_ratio=0.2)(
            view(block=block)
        ).plan.keep_indices.tolist()
        == [list(range(8))] * B
    )


def test_weights_of_prumerge_carry_gradient() -> None:
    block, seen = GivenBlock(), view()
    block._query.requires_grad_()
    plan = PruMergeSelector(blocks=[1])(replace(seen, inside=block)).plan  # type: ignore[arg-type]
    apply_plan(seen.patches, plan).square().sum().backward()
    assert block._query.grad is not None and block._query.grad.abs().sum() > 0
