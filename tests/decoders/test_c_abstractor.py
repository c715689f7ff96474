"""The convolutional abstractor against torchvision's RegNet block and torch's pool."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.regnet import ResBottleneckBlock

from bus_toolkit.decoders.c_abstractor import CAbstractor, _ChannelNorm, _ConvBlock
from bus_toolkit.errors import ComponentError
from bus_toolkit.structures import VisualTokens
from tests.decoders.tokens import check_promises, grid_tokens
from tests.tiny import WIDTH, text_tokens


def abstractor(num_queries: int = 4, num_layers: int = 1) -> CAbstractor:
    torch.manual_seed(0)
    return CAbstractor(embed_dim=WIDTH, num_layers=num_layers, num_queries=num_queries).eval()


def test_a_block_equals_torchvisions_regnet_block() -> None:
    torch.manual_seed(0)
    block = _ConvBlock(WIDTH)
    peer = ResBottleneckBlock(WIDTH, WIDTH, 1, _ChannelNorm, nn.SiLU, group_width=1, se_ratio=0.25)
    own = block.state_dict()
    # Both list their weights in the order in which they are applied.
    peer.load_state_dict(dict(zip(peer.state_dict(), own.values(), strict=True)))
    grid = torch.randn(2, WIDTH, 3, 5)
    torch.testing.assert_close(block(grid), peer(grid.clone()))


def test_the_norm_is_over_the_channels_of_each_place() -> None:
    grid = torch.randn(2, WIDTH, 3, 5, generator=torch.Generator().manual_seed(0))
    centred = grid - grid.mean(dim=1, keepdim=True)
    expected = centred / (centred.square().mean(dim=1, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(_ChannelNorm(WIDTH)(grid), expected)


@pytest.mark.parametrize("grid", [(4, 4), (4, 6), (5, 3)])
def test_it_is_blocks_pool_blocks_and_readout_on_the_grid(grid: tuple[int, int]) -> None:
    decoder, visual = abstractor(), grid_tokens(grid, [[0, 5], [2, 3]])
    dense = torch.zeros(2, WIDTH, *grid)
    assert visual.origin is not None
    for row in range(2):
        for patch, slot in enumerate(visual.origin[row].tolist()):
            if slot >= 0:
                dense[row, :, patch // grid[1], patch % grid[1]] = visual.embeds[row, 1 + slot]
    coarse: Tensor = decoder.coarse(F.adaptive_avg_pool2d(decoder.fine(dense), 2))
    expected = decoder.readout(coarse.flatten(2).transpose(1, 2))
    torch.testing.assert_close(decoder(visual).embeds[:, 1:], expected, atol=1e-5, rtol=1e-5)


def test_neighbours_matter_the_text_does_not_and_the_global_token_comes_through() -> None:
    decoder, visual = abstractor(), grid_tokens()
    turned = VisualTokens(visual.embeds, 1, (4, 4), origin=torch.arange(16).flip(0).expand(2, -1))
    out = decoder(visual).embeds
    assert torch.equal(out[:, 0], visual.embeds[:, 0])
    assert not torch.allclose(out[:, 1:].flip(1), decoder(turned).embeds[:, 1:])
    assert torch.equal(out, decoder(visual, text_tokens(2)).embeds)


@pytest.mark.parametrize(("grid", "num_queries"), [((4, 4), 1), ((4, 4), 16), ((4, 6), 4)])
def test_it_keeps_its_promises(grid: tuple[int, int], num_queries: int) -> None:
    check_promises(abstractor(num_queries), grid_tokens(grid, [[0, 1], [4, 9]], num_prefix=2), num_queries)


def test_what_it_cannot_condense_is_refused() -> None:
    with pytest.raises(ValueError, match="num_queries: must be a square number .* got 6"):
        abstractor(6)
    with pytest.raises(ValueError, match="num_layers: must be 1 or more, got 0"):
        abstractor(num_layers=0)
    with pytest.raises(ComponentError, match="num_queries: must be at most 16 .* got 144"):
        abstractor(144)(grid_tokens())
    with pytest.raises(ComponentError, match="CAbstractor works on the patch grid"):
        abstractor()(VisualTokens(grid_tokens().embeds, 1, (4, 4)))
