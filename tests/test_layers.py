"""Transformer layers shared by fusions and decoders."""

import pytest
import torch
from torch import nn

from bus_toolkit.layers import LayerSettings, match_width


def settings(norm_first: bool = False) -> LayerSettings:
    return LayerSettings(width=8, num_heads=2, mlp_ratio=2.0, dropout=0.0, norm_first=norm_first)


def test_a_reading_layer_reads_every_token_of_the_memory():
    layer, memory = settings().reading_layer().eval(), torch.randn(2, 3, 8, requires_grad=True)
    layer(torch.randn(2, 5, 8), memory)[:, 0].square().sum().backward()
    assert (memory.grad.abs().sum(dim=-1) > 0).all()


def test_the_feed_forward_part_is_a_multiple_of_the_width():
    assert settings().reading_layer().linear1.out_features == settings().joint_layer().linear1.out_features == 16


@pytest.mark.parametrize(("norm_first", "kind"), [(True, nn.LayerNorm), (False, nn.Identity)])
def test_only_layers_that_normalise_first_need_a_closing_norm(norm_first, kind):
    assert isinstance(settings(norm_first).closing_norm(), kind)


def test_equal_widths_need_no_map():
    assert isinstance(match_width(8, 8), nn.Identity)
    assert match_width(6, 8)(torch.randn(2, 3, 6)).shape == (2, 3, 8)
