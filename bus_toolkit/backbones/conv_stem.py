"""A vision transformer whose patches are also seen through a few convolutions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from bus_toolkit.backbones.adapters.openmmlab_vit import vision_transformer


def conv_stem_vit(
    *,
    arch: str | Mapping[str, Any],
    stem_channels: Sequence[int],
    img_size: int | Sequence[int] = 224,
    patch_size: int = 16,
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
) -> nn.Module:
    """Build an ``mmpretrain.VisionTransformer`` with a convolutional stem beside its patch embedding (``ConvStemViT``).

    A linear embedding leaves it to the blocks to find out which patches are neighbours, which takes long from scratch;
    early convolutions know (arXiv 2106.14881, section 3: 3x3 convolutions of stride 2 and a 1x1 one in place of the
    embedding). Ours: the linear embedding stays and the stem is added to it, starting at zero, so that weights of a
    plain transformer give the plain transformer; group instead of batch norm, so that no sample depends on its batch.
    Goes into ``model.backbone``.

    Args:
        arch: As in ``mmpretrain.VisionTransformer``.
        stem_channels: Width of each 3x3 convolution. The first ones halve the resolution until it is that of the
            patches; further ones keep it and see beyond their patch.
        img_size: Pixels, one number or height and width.
        patch_size: Side of a patch in pixels, a power of two.
        drop_rate: As in ``mmpretrain.VisionTransformer``.
        drop_path_rate: As in ``mmpretrain.VisionTransformer``.

    Raises:
        ValueError: ``patch_size`` is no power of two, or ``stem_channels`` has too few entries to reach it.
    """
    vit = vision_transformer(
        arch=arch, img_size=img_size, patch_size=patch_size, drop_rate=drop_rate, drop_path_rate=drop_path_rate
    )
    vit.patch_embed = ConvStemEmbed(vit.patch_embed, stem_channels, patch_size, vit.embed_dims)
    return vit


class ConvStemEmbed(nn.Module):
    """Add a convolutional stem to a linear patch embedding.

    Args:
        linear: The embedding: (B, 3, H, W) to tokens (B, N, D) and the grid.
        channels: As ``stem_channels`` above.
        patch_size: As above.
        embed_dim: Width D of the tokens.
    """

    def __init__(self, linear: Any, channels: Sequence[int], patch_size: int, embed_dim: int) -> None:
        super().__init__()
        halvings = patch_size.bit_length() - 1
        if patch_size != 2**halvings or len(channels) < max(1, halvings):
            raise ValueError(
                f"stem_channels: patch_size must be a power of two, with a convolution for each halving, got "
                f"{patch_size} and {list(channels)}. Patches of 16 pixels need 4 or more channels."
            )
        self.projection = linear.projection
        # The grid that mmpretrain's transformer interpolates position embeddings to when it loads weights.
        self.init_out_size: tuple[int, int] = linear.init_out_size
        layers: list[nn.Module] = []
        for number, (before, width) in enumerate(zip((3, *channels), channels, strict=False)):
            stride = 2 if number < halvings else 1
            layers += [
                nn.Conv2d(before, width, 3, stride, 1, bias=False),
                nn.GroupNorm(1, width),
                nn.ReLU(inplace=True),
            ]
        self.stem = nn.Sequential(*layers)
        self.stem_out = nn.Conv2d(channels[-1], embed_dim, 1)
        for layer in self.stem:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        for parameter in self.stem_out.parameters():
            nn.init.zeros_(parameter)

    def forward(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Return the tokens (B, N, D) and the patch grid (rows, columns)."""
        features = self.projection(images) + self.stem_out(self.stem(images))
        return features.flatten(2).transpose(1, 2), (features.shape[2], features.shape[3])
