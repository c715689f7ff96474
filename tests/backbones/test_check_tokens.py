"""A backbone of one's own that returns or declares the wrong thing is named, with what its contract asks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bus_toolkit.backbones import BlocksAdapter, TokenReducingBackbone
from bus_toolkit.errors import ComponentError
from bus_toolkit.selectors import RandomSelector

SIZES: dict[str, Any] = {"embed_dim": 8, "image_size": 16, "patch_size": 4, "num_prefix": 1}


class Own(nn.Module):
    """Sixteen patches and a class token of width 8, in two blocks, with one thing changed."""

    def __init__(self, *, embedded: Any = None, block: Any = None, **sizes: Any) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, 4)
        self.blocks = nn.ModuleList([nn.Linear(8, 8), block or nn.Linear(8, 8)])
        self.embedded, self.sizes = embedded or (lambda tokens: (tokens, (4, 4))), {**SIZES, **sizes}

    def embed(self, images: Tensor) -> Any:
        patches = self.patches(images).flatten(2).transpose(1, 2)
        return self.embedded(torch.cat([patches[:, :1], patches], dim=1))

    def token_adapter(self) -> BlocksAdapter:
        return BlocksAdapter(self, embed=self.embed, blocks=self.blocks, **self.sizes)


class Widen(nn.Module):
    def forward(self, tokens: Tensor) -> Tensor:
        return torch.cat([tokens, tokens], dim=2)


class DropOne(nn.Module):
    def forward(self, tokens: Tensor) -> Tensor:
        return tokens[:, 1:]


class Pair(nn.Module):
    def forward(self, tokens: Tensor) -> tuple[Tensor, None]:
        return tokens, None


def test_a_sound_one_runs_and_takes_one_number_for_both_sizes() -> None:
    backbone = TokenReducingBackbone(Own(), [RandomSelector(blocks=[1], keep_ratio=0.5)])
    assert backbone(torch.rand(2, 3, 16, 16)).embeds.shape == (2, 9, 8)
    assert backbone.grid == (4, 4)
    assert backbone(torch.rand(2, 3, 16, 16)).grid == (4, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embedded": lambda tokens: tokens}, r"embed of Own must return \(tokens, \(rows, columns\)\), got Tensor"),
        ({"embedded": lambda tokens: (tokens, 16)}, r"the grid of patches as \(rows, columns\), got 16"),
        (
            {"embedded": lambda tokens: (tokens, (8, 2))},
            r"the grid \(4, 4\) for images of 16 x 16 .* got \(8, 2\)",
        ),
        ({"patch_size": 8}, r"the grid \(2, 2\) .* got \(4, 4\). Correct the grid, or patch_size in token_adapter\(\)"),
        ({"num_prefix": 0}, r"tokens \(B, P \+ N, D\) = \(2, 16, 8\), got \(2, 17, 8\): 0 prefix token\(s\), 4 x 4"),
        ({"embed_dim": 16}, r"= \(2, 17, 16\), got \(2, 17, 8\)"),
        ({"embedded": lambda tokens: (tokens[:, 1:], (4, 4))}, r"= \(2, 17, 8\), got \(2, 16, 8\)"),
        ({"embedded": lambda tokens: (tokens.mT, (4, 4))}, r"= \(2, 17, 8\), got \(2, 8, 17\)"),
        ({"block": Widen()}, r"block 2 of Own must return tokens \(2, 17, 8\) as it got them, got \(2, 17, 16\)"),
        ({"block": DropOne()}, r"block 2 of Own must return tokens \(2, 17, 8\) as it got them, got \(2, 16, 8\)"),
        ({"block": Pair()}, "block 2 of Own must return tokens .*, got tuple. A block maps"),
    ],
)
@pytest.mark.parametrize("block_of_selector", [None, 1])
def test_what_it_returns_is_compared_with_what_it_declares(
    change: dict[str, Any], message: str, block_of_selector: int | None
) -> None:
    selectors = [] if block_of_selector is None else [RandomSelector(blocks=[block_of_selector], keep_ratio=1.0)]
    backbone = TokenReducingBackbone(Own(**change), selectors)
    with pytest.raises(ComponentError, match=f"^model.backbone: .*{message}"):
        backbone(torch.rand(2, 3, 16, 16))


def test_images_of_another_size_have_another_grid() -> None:
    own = Own(embedded=lambda tokens: (tokens, (2, 4)))
    assert TokenReducingBackbone(own)(torch.rand(2, 3, 8, 16)).grid == (2, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_size": (16, 16, 3)}, r"image_size as \(rows, columns\) in pixels, got \(16, 16, 3\)"),
        ({"patch_size": 4.0}, r"patch_size as \(rows, columns\) in pixels, got"),
        ({"patch_size": (4, 0)}, r"patch_size as \(rows, columns\) in pixels, got \(4, 0\)"),
        ({"embed_dim": None}, "embed_dim as a whole number, got None"),
        ({"num_prefix": -1}, "num_prefix as a whole number, got -1"),
    ],
)
def test_sizes_of_the_wrong_kind_are_refused_when_it_is_built(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ComponentError, match=f"^model.backbone: the adapter of Own must have {message}"):
        TokenReducingBackbone(Own(**change))


def test_a_method_that_returns_no_adapter_is_named() -> None:
    class Forgets(Own):
        def token_adapter(self) -> BlocksAdapter:
            super().token_adapter()  # and no return

    with pytest.raises(ComponentError, match=r"token_adapter\(\) must return an adapter, got NoneType. Return a"):
        TokenReducingBackbone(Forgets())
