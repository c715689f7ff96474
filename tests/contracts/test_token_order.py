"""Every part that reads visual tokens reads the same of them in any order: merging plans reorder them.

What belongs to a patch follows by ``origin`` and the plans, what belongs to a token by its place.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from bus_text_free.distill import token_distance
from torch import Tensor, nn

from bus_toolkit.decoders import PatchAbstractionDecoder
from bus_toolkit.heads import GroundingHead
from bus_toolkit.inference.explanation import explain_batch
from bus_toolkit.losses.patch_text import labels_of_candidates
from bus_toolkit.ops.make_plans import merge_plan
from bus_toolkit.ops.merge_tokens import gather_tokens
from bus_toolkit.registry import REGISTRIES
from bus_toolkit.structures import Decision, Selection, VisualTokens
from bus_toolkit.testing import tiny

BATCH, PATCHES, SLOTS = 2, 16, 9
WIDTHS = {"embed_dim": tiny.WIDTH, "text_dim": tiny.WIDTH}


def merged_tokens() -> VisualTokens:
    """Return tokens of 16 patches, of which each of 7 has joined the one before it."""
    embeds = tiny.numbers(BATCH, 1 + SLOTS, tiny.WIDTH).double()
    founders = [*range(0, 14, 2), 14, 15]
    target = torch.tensor([founders.index(patch if patch in founders else patch - 1) for patch in range(PATCHES)])
    target = target.expand(BATCH, -1)
    plan = merge_plan(torch.tensor(founders).expand(BATCH, -1), target)
    scores = tiny.numbers(BATCH, PATCHES, seed=3).double()
    before = torch.arange(PATCHES).expand(BATCH, -1)
    selection = Selection(Decision(plan, scores), 1, before)
    return VisualTokens(embeds, 1, (4, 4), [selection], target, scores.gather(1, plan.keep_indices))


def shuffled(visual: VisualTokens) -> VisualTokens:
    """Return the same tokens as a plan with another order of its output leaves them."""
    order = torch.stack([torch.randperm(SLOTS, generator=torch.Generator().manual_seed(i)) for i in range(BATCH)])
    (selection,) = visual.selections
    plan = selection.decision.plan
    moved = replace(
        plan,
        keep_indices=plan.keep_indices.gather(1, order),
        slots=order.argsort(dim=1).gather(1, plan.slots),
    )
    embeds = torch.cat([visual.embeds[:, :1], gather_tokens(visual.embeds[:, 1:], order)], dim=1)
    assert visual.scores is not None
    selections = [replace(selection, decision=selection.decision._replace(plan=moved))]
    return replace(
        visual, embeds=embeds, selections=selections, origin=moved.slots, scores=visual.scores.gather(1, order)
    )


def in_a_fixed_order(tokens: Tensor) -> Tensor:
    """Return tokens (B, n, D) sorted by their first number: queries that are patches move with them."""
    return gather_tokens(tokens, tokens[..., 0].argsort(dim=1))


def built(registry: object, name: str) -> nn.Module:
    torch.manual_seed(0)
    arguments = registry.get(name, "part").signature.arguments  # type: ignore[attr-defined]
    sizes = {key: value for key, value in tiny.SIZES.items() if key in arguments}
    known = {key: value for key, value in WIDTHS.items() if key in arguments}
    part = registry.build({"type": name, **sizes}, path="part", **known)  # type: ignore[attr-defined]
    return part.double().eval()


def text() -> object:
    tokens = tiny.text_tokens(tiny.text_inputs()).index(slice(0, BATCH))
    return type(tokens)(tokens.embeds.double(), tokens.pooled.double(), tokens.attention_mask)


@pytest.mark.parametrize("name", REGISTRIES.decoders.names())
def test_decoders_read_the_same_of_tokens_in_another_order(name: str) -> None:
    decoder, visual = built(REGISTRIES.decoders, name), merged_tokens()
    plain, moved = (decoder(tokens, text()).embeds for tokens in (visual, shuffled(visual)))
    torch.testing.assert_close(moved[:, 0], plain[:, 0], atol=1e-10, rtol=1e-8)
    torch.testing.assert_close(in_a_fixed_order(moved), in_a_fixed_order(plain), atol=1e-10, rtol=1e-8)


def test_pad_without_scores_reads_the_same() -> None:
    decoder = PatchAbstractionDecoder(embed_dim=tiny.WIDTH, num_heads=4, num_queries=4).double().eval()
    visual = replace(merged_tokens(), scores=None)
    moved = replace(shuffled(merged_tokens()), scores=None)
    wanted, got = (in_a_fixed_order(decoder(tokens).embeds) for tokens in (visual, moved))
    torch.testing.assert_close(got, wanted, atol=1e-10, rtol=1e-8)


@pytest.mark.parametrize(
    "name", [name for name in REGISTRIES.fusions.names() if name not in ("PuMer", "SingleStreamFusion")]
)
def test_fusions_read_the_same_of_tokens_in_another_order(name: str) -> None:
    # PuMer merges image tokens by their places, as ToMe does; SingleStreamFusion runs a backbone's blocks on patches.
    fusion, visual = built(REGISTRIES.fusions, name), merged_tokens()
    plain, moved = (fusion(text(), tokens) for tokens in (visual, shuffled(visual)))
    torch.testing.assert_close(moved.cls, plain.cls, atol=1e-10, rtol=1e-8)
    torch.testing.assert_close(moved.text[0], plain.text[0], atol=1e-10, rtol=1e-8)


def test_grounding_sees_each_patch_at_its_place() -> None:
    head = GroundingHead(**WIDTHS).double()
    visual = merged_tokens()
    assert torch.equal(head.dense_grid(shuffled(visual)), head.dense_grid(visual))


def test_a_patch_is_kept_explained_and_compared_by_its_own_token() -> None:
    visual = merged_tokens()
    moved = shuffled(visual)
    assert torch.equal(moved.kept_patches(), visual.kept_patches())
    assert explain_batch(moved) == explain_batch(visual)
    teacher = VisualTokens(tiny.numbers(BATCH, 1 + PATCHES, tiny.WIDTH, seed=9).double(), 1, (4, 4))
    assert token_distance(moved, teacher).item() == pytest.approx(token_distance(visual, teacher).item(), abs=1e-6)


def test_labels_of_patches_follow_their_tokens() -> None:
    visual = merged_tokens()
    moved = shuffled(visual)
    labels = tiny.numbers(BATCH, PATCHES, seed=4) > 0
    assert visual.origin is not None and moved.origin is not None
    plain, other = (labels_of_candidates(labels, origin, SLOTS) for origin in (visual.origin, moved.origin))
    assert torch.equal(plain.gather(1, visual.origin), other.gather(1, moved.origin))
