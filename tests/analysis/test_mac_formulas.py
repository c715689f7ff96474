"""Every operator that is counted, against a count by hand."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import pytest
import torch
from mmpretrain import models
from torch import Tensor, nn
from torch.nn import functional as F

from bus_toolkit.analysis.macs import count_macs
from bus_toolkit.decoders.c_abstractor import CAbstractor
from bus_toolkit.structures import VisualTokens

B, H, L, S, E, V = 2, 3, 5, 7, 4, 6  # batch, heads, queries, keys, width of a head, of a value


def numbers(*shape: int) -> Tensor:
    return torch.randn(*shape, requires_grad=True)


def step(run: Callable[[], Tensor]) -> Callable[[], None]:
    return lambda: run().sum().backward()


# One product of matrices or vectors each: forward, and backward once for each of the two factors.
PRODUCTS: dict[str, tuple[Callable[..., Tensor], list[Tensor], int]] = {
    "linear": (F.linear, [numbers(B, L, E), numbers(V, E), numbers(V)], B * L * E * V),
    "linear without bias": (F.linear, [numbers(L, E), numbers(V, E)], L * E * V),
    "mm": (torch.mm, [numbers(L, E), numbers(E, V)], L * E * V),
    "addmm": (torch.addmm, [numbers(L, V), numbers(L, E), numbers(E, V)], L * E * V),
    "bmm": (torch.bmm, [numbers(B, L, E), numbers(B, E, V)], B * L * E * V),
    "baddbmm": (torch.baddbmm, [numbers(B, L, V), numbers(B, L, E), numbers(B, E, V)], B * L * E * V),
    "addbmm": (torch.addbmm, [numbers(L, V), numbers(B, L, E), numbers(B, E, V)], B * L * E * V),
    "einsum": (lambda a, b: torch.einsum("ble,bev->blv", a, b), [numbers(B, L, E), numbers(B, E, V)], B * L * E * V),
}
# The gradient of the matrix is an outer product, which torch computes as a plain one of numbers: not counted.
VECTORS: dict[str, tuple[Callable[..., Tensor], list[Tensor], int]] = {
    "mv": (torch.mv, [numbers(L, E), numbers(E)], L * E),
    "addmv": (torch.addmv, [numbers(L), numbers(L, E), numbers(E)], L * E),
    "a product with a vector": (torch.matmul, [numbers(B, L, E), numbers(E)], B * L * E),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_product_is_three_forward_passes_in_a_step(name: str) -> None:
    function, inputs, macs = PRODUCTS[name]
    assert count_macs(lambda: function(*inputs)) == macs
    assert count_macs(step(lambda: function(*inputs))) == 3 * macs


def test_a_factor_that_is_not_trained_has_no_gradient_to_count() -> None:
    inputs = (torch.randn(L, E), numbers(V, E))
    assert count_macs(step(lambda: F.linear(*inputs))) == 2 * L * E * V


@pytest.mark.parametrize("name", VECTORS)
def test_a_product_with_a_vector_is_counted(name: str) -> None:
    function, inputs, macs = VECTORS[name]
    assert count_macs(lambda: function(*inputs)) == macs
    assert count_macs(step(lambda: function(*inputs))) == 2 * macs


def test_a_product_of_two_vectors_is_counted() -> None:
    assert count_macs(lambda: torch.dot(numbers(E), numbers(E))) == E


def test_looking_up_is_no_multiplication() -> None:
    table, ids = numbers(V, E), torch.tensor([[0, 3], [3, 1]])
    assert count_macs(step(lambda: F.embedding(ids, table))) == 0


@pytest.mark.parametrize("kind", ("plain", "causal", "masked", "biased", "grouped", "with dropout"))
def test_attention_is_two_products_and_four_backwards(kind: str) -> None:
    keys = L if kind == "causal" else S
    heads = 1 if kind == "grouped" else H
    query, key, value = numbers(B, H, L, E), numbers(B, heads, keys, E), numbers(B, heads, keys, V)
    settings = {
        "plain": {},
        "causal": {"is_causal": True},  # the upper triangle is computed as well, and masked
        "masked": {"attn_mask": torch.ones(L, S, dtype=torch.bool)},
        "biased": {"attn_mask": torch.zeros(B, H, L, S)},
        "grouped": {"enable_gqa": True},
        "with dropout": {"dropout_p": 0.1},
    }[kind]
    macs = B * H * L * keys * (E + V)

    def attend() -> Tensor:
        return F.scaled_dot_product_attention(query, key, value, **settings)  # type: ignore[arg-type]

    assert count_macs(attend) == macs
    assert count_macs(step(attend)) == 3 * macs


CONVOLUTIONS: dict[str, nn.Module] = {
    "1d": nn.Conv1d(4, 6, 3),
    "2d": nn.Conv2d(4, 6, (3, 2)),
    "3d": nn.Conv3d(4, 6, 2),
    "without bias": nn.Conv2d(4, 6, 3, bias=False),
    "padded and strided": nn.Conv2d(4, 6, 3, stride=2, padding=1),
    "dilated": nn.Conv2d(4, 6, 3, dilation=2, padding="same"),
    "grouped": nn.Conv2d(4, 6, 3, groups=2),
    "depthwise": nn.Conv2d(4, 4, 3, padding=1, groups=4),
    "depthwise that widens": nn.Conv2d(4, 8, 3, stride=2, groups=4),
    "transposed": nn.ConvTranspose2d(4, 6, 3),
    "transposed and strided": nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1),
    "transposed and grouped": nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2),
    "transposed depthwise in 1d": nn.ConvTranspose1d(4, 4, 2, stride=2, dilation=2, groups=4),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_convolution_is_three_forward_passes_in_a_step(name: str) -> None:
    layer = CONVOLUTIONS[name]
    images = numbers(B, 4, *(9, 8, 7)[: layer.weight.dim() - 2])
    # The weight meets each place of the output, or of the input where the convolution is transposed, once.
    places = images if isinstance(layer, nn.modules.conv._ConvTransposeNd) else layer(images)
    macs = B * prod(places.shape[2:]) * layer.weight.numel()
    assert count_macs(lambda: layer(images)) == macs
    assert count_macs(step(lambda: layer(images))) == 3 * macs
    assert count_macs(step(lambda: layer(images.detach()))) == 2 * macs


def test_a_depthwise_convolution_of_64_channels_by_hand() -> None:
    layer = nn.Conv2d(64, 64, 3, padding=1, groups=64)
    images = numbers(1, 64, 8, 8)
    assert count_macs(step(lambda: layer(images))) == 3 * 64 * 64 * 9


SMALL = {"depths": [1, 1, 1, 1], "channels": [8, 16, 24, 32]}
NETWORKS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "ConvNeXt": (lambda: models.ConvNeXt(arch=SMALL), "downsample_layers.0.0"),
    "ResNeXt": (lambda: models.ResNeXt(50, groups=4, width_per_group=4, base_channels=16, stem_channels=16), "conv1"),
    "MobileNetV2": (lambda: models.MobileNetV2(widen_factor=0.25), "conv1.conv"),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_step_is_three_forward_passes_but_for_the_gradient_of_the_images(name: str) -> None:
    build, first = NETWORKS[name]
    network, images = build(), torch.randn(2, 3, 64, 64)
    forward = count_macs(lambda: network(images))
    stem, seen = network.get_submodule(first), list[Tensor]()
    hook = stem.register_forward_hook(lambda module, given, out: seen.append(out))
    training = count_macs(step(lambda: network(images)[-1]))
    hook.remove()
    assert training == 3 * forward - prod(seen[0].shape[2:]) * 2 * stem.weight.numel()


def test_a_step_of_the_c_abstractor_is_three_forward_passes_but_for_its_pool() -> None:
    decoder = CAbstractor(embed_dim=32, num_queries=4)
    visual = VisualTokens(numbers(2, 17, 32), 1, (4, 4), origin=torch.arange(16).expand(2, 16))
    forward = count_macs(lambda: decoder(visual))
    # The average pool of N patches into Q cells is a product with a constant matrix, which gets no gradient.
    pool, its_weights = 2 * 4 * 16 * 32, 2 * 4 * 16
    assert count_macs(step(lambda: decoder(visual).embeds)) == 3 * forward - pool - 2 * its_weights


def test_a_bilinear_layer_counts_each_term_of_its_sum() -> None:
    layer, left, right = nn.Bilinear(4, 5, 6), torch.rand(2, 3, 4, requires_grad=True), torch.rand(2, 3, 5)
    terms = 2 * 3 * 4 * 5 * 6
    assert count_macs(lambda: layer(left, right)) == terms
    assert count_macs(lambda: layer(left, right).sum().backward()) == 3 * terms  # two gradients: left side and weight
