"""TokenPacker against one region at a time."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from bus_toolkit.decoders.token_packer import TokenPacker
from bus_toolkit.errors import ComponentError
from bus_toolkit.structures import VisualTokens
from tests.decoders.tokens import check_promises, grid_tokens
from tests.tiny import WIDTH, text_tokens

FIRST_REGION = [0, 1, 4, 5]


def packer(region_size: int = 2) -> TokenPacker:
    torch.manual_seed(0)
    return TokenPacker(embed_dim=WIDTH, region_size=region_size, num_heads=4).eval()


def packed_slowly(decoder: TokenPacker, visual: VisualTokens) -> torch.Tensor:
    """Return what each query reads from the kept patches of its region, head by head, and torch's interpolation."""
    (rows, columns), side, width = visual.grid, decoder.region_size, WIDTH // 4
    assert visual.origin is not None
    out = []
    for tokens, origin in zip(visual.embeds[:, visual.num_prefix :], visual.origin.tolist(), strict=True):
        dense = torch.stack([tokens[slot] if slot >= 0 else torch.zeros(WIDTH) for slot in origin])
        image = dense.T.reshape(1, WIDTH, rows, columns)
        coarse = F.interpolate(image, (rows // side, columns // side), mode="bilinear")[0]
        for top in range(0, rows, side):
            for left in range(0, columns, side):
                query = decoder.query(coarse[:, top // side, left // side])
                patches = [r * columns + c for r in range(top, top + side) for c in range(left, left + side)]
                slots = [origin[patch] for patch in patches if origin[patch] >= 0]
                read = torch.zeros(WIDTH)
                for head in [slice(width * h, width * (h + 1)) for h in range(4)] if slots else []:
                    keys, values = decoder.key(tokens[slots])[:, head], decoder.value(tokens[slots])[:, head]
                    read[head] = torch.softmax(keys @ query[head] / width**0.5, dim=0) @ values
                out.append(decoder.readout(decoder.attention_out(read)))
    return torch.stack(out).unflatten(0, (len(visual.embeds), -1))


@pytest.mark.parametrize(
    ("grid", "region_size", "dropped"),
    [
        ((4, 4), 2, [[], []]),
        ((4, 6), 2, [[0, 8], [22, 23]]),
        ((6, 3), 3, [[4, 0], [17, 16]]),
        ((4, 4), 4, [[0, 1], [2, 3]]),
        ((2, 3), 1, [[0], [5]]),
        ((4, 4), 2, [FIRST_REGION, [0, 2, 8, 10]]),
    ],
)
def test_each_query_reads_the_patches_left_in_its_region(
    grid: tuple[int, int], region_size: int, dropped: list[list[int]]
) -> None:
    decoder, visual = packer(region_size), grid_tokens(grid, dropped, num_prefix=2)
    with torch.no_grad():
        torch.testing.assert_close(decoder(visual).embeds[:, 1:], packed_slowly(decoder, visual), atol=1e-5, rtol=1e-5)


def test_a_fused_token_is_read_wherever_it_has_patches() -> None:
    visual = grid_tokens()
    origin = torch.tensor([[0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 8, 8, 8, 8, 8, 8]]).expand(2, -1)
    fused = VisualTokens(visual.embeds[:, :10], 1, (4, 4), origin=origin)
    decoder = packer()
    with torch.no_grad():
        out = decoder(fused).embeds
        torch.testing.assert_close(out[:, 1:], packed_slowly(decoder, fused), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(out[:, 3], out[:, 4])


def test_a_patch_outside_the_region_does_not_matter() -> None:
    decoder, visual = packer(), grid_tokens()
    other = VisualTokens(visual.embeds.clone(), 1, (4, 4), origin=visual.origin)
    other.embeds[:, 1 + 5] = 9.0
    before, after = decoder(visual).embeds, decoder(other).embeds
    assert torch.equal(before[:, 2:], after[:, 2:])
    assert not torch.allclose(before[:, 1], after[:, 1])


def test_empty_regions_give_one_finite_token_and_no_gradient_to_others() -> None:
    # Of sample 0 only patch 0 is left, of sample 1 only patch 15: three regions of each are empty.
    visual = grid_tokens(dropped=[range(1, 16), range(15)])
    visual.embeds.requires_grad_()
    out = packer()(visual).embeds
    empty = torch.cat([out[0, 2:], out[1, 1:4]])
    assert torch.isfinite(out).all()
    torch.testing.assert_close(empty, empty[:1].expand(6, -1))
    (gradient,) = torch.autograd.grad(empty.square().sum(), visual.embeds)
    assert torch.isfinite(gradient).all()
    assert not gradient.any()


def test_no_query_is_left_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    # What attention over nothing gives depends on torch's version and kernel: zeros in some, NaN in others.
    masks, attend = [], F.scaled_dot_product_attention

    def noting(*args: torch.Tensor, attn_mask: torch.Tensor) -> torch.Tensor:
        masks.append(attn_mask)
        return attend(*args, attn_mask=attn_mask)

    monkeypatch.setattr(F, "scaled_dot_product_attention", noting)
    packer()(grid_tokens(dropped=[FIRST_REGION, [0, 2, 8, 10]]))
    # Two samples, four regions of four heads each, one query, four patches.
    assert masks[0].shape == (2, 16, 1, 4)
    assert masks[0].any(dim=-1).all()


def test_the_text_is_not_read_and_the_global_token_comes_through() -> None:
    decoder, visual = packer(), grid_tokens(num_prefix=2)
    out = decoder(visual, text_tokens(2)).embeds
    assert torch.equal(out, decoder(visual).embeds)
    assert torch.equal(out[:, 0], visual.embeds[:, 0])


@pytest.mark.parametrize(
    ("grid", "region_size", "num_queries"), [((4, 4), 2, 4), ((4, 6), 2, 6), ((3, 6), 3, 2), ((4, 4), 4, 1)]
)
def test_it_keeps_its_promises(grid: tuple[int, int], region_size: int, num_queries: int) -> None:
    dropped = [FIRST_REGION, [2, 7, 9, 14]]
    check_promises(packer(region_size), grid_tokens(grid, dropped, num_prefix=2), num_queries)


@pytest.mark.parametrize("settings", [{"region_size": 0}, {"num_heads": 5}, {"num_heads": 0}])
def test_bad_arguments_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be 1 or more, got 0|must divide the width 32, got"):
        TokenPacker(embed_dim=WIDTH, **settings)


def test_what_it_cannot_pack_is_refused() -> None:
    with pytest.raises(ComponentError, match=r"region_size: must divide .* 4 x 6, got 3. Allowed: 1, 2\. "):
        packer(3)(grid_tokens((4, 6)))
    with pytest.raises(ComponentError, match="TokenPacker works on the patch grid"):
        packer()(VisualTokens(grid_tokens().embeds, 1, (4, 4)))
