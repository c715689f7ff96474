"""A transformer of one's own: its positions follow the image size, and the kit names those that nobody knows."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from bus_toolkit.backbones import BlocksAdapter, TokenReducingBackbone
from bus_toolkit.ops import AbsolutePositions
from bus_toolkit.testing import ConformanceError, check_backbone


class OwnViT(nn.Module):
    """Its positions are a parameter of a name of choice."""

    def __init__(self, img_size: tuple[int, int] = (32, 32), name: str = "positions") -> None:
        super().__init__()
        self.img_size, self.name = img_size, name
        self.patches = nn.Conv2d(3, 12, 8, stride=8)
        self.cls = nn.Parameter(torch.zeros(1, 1, 12))
        self.register_parameter(
            name, nn.Parameter(torch.randn(1, 1 + img_size[0] * img_size[1] // 64, 12, generator=torch.Generator()))
        )
        layers = [nn.TransformerEncoderLayer(12, 2, 24, 0.0, batch_first=True) for _ in range(2)]
        self.blocks = nn.ModuleList(layers)

    def embed(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        patches = self.patches(images)  # (B, D, rows, columns)
        tokens = torch.cat([self.cls.expand(len(images), -1, -1), patches.flatten(2).transpose(1, 2)], dim=1)
        return tokens + getattr(self, self.name), (patches.shape[2], patches.shape[3])

    def token_adapter(self) -> BlocksAdapter:
        sizes = {"embed_dim": 12, "image_size": self.img_size, "patch_size": 8, "num_prefix": 1}
        kind = Declaring if self.name == "declared" else BlocksAdapter
        return kind(self, embed=self.embed, blocks=self.blocks, **sizes)  # type: ignore[arg-type]


class Declaring(BlocksAdapter):
    """Names a table that its name does not give away."""

    def position_tables(self) -> Sequence[AbsolutePositions]:
        return [AbsolutePositions("declared", self.position_grid, 1)]


@pytest.mark.parametrize("name", ["positions", "declared", "pos_embed"])
def test_positions_of_another_grid_with_as_many_patches_are_interpolated(name: str) -> None:
    source, target = (TokenReducingBackbone(OwnViT(size, name)) for size in ((16, 64), (32, 32)))
    target.load_state_dict(source.state_dict())
    theirs, own = (getattr(one.vit, name)[0] for one in (source, target))
    plane = theirs[1:].T.unflatten(1, (2, 8)).unsqueeze(0)
    wanted = nn.functional.interpolate(plane, size=(4, 4), mode="bicubic", align_corners=False)
    assert torch.equal(own[0], theirs[0])
    torch.testing.assert_close(own[1:], wanted[0].flatten(1).T)


@pytest.mark.slow
def test_the_kit_names_positions_that_nobody_knows() -> None:
    for name in ("positions", "declared"):
        check_backbone(OwnViT, img_size=(32, 32), name=name)
    message = r"positions: places has a row for each patch, and position_tables\(\) does not name it"
    with pytest.raises(ConformanceError, match=message):
        check_backbone(OwnViT, img_size=(32, 32), name="places")
