"""What all vision towers of Hugging Face share; ``huggingface_vit`` and ``huggingface_clip`` have the families.

Written against transformers 4.57.6 and 5.24.0, ``transformers/models/{vit,dinov2,dinov2_with_registers,clip,siglip}``.
Their attention must be built as ``sdpa``. Tokens leave as the library's ``last_hidden_state``; where its
``pooler_output`` is more than the first of them, that leaves in front and is what heads read as the global token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from bus_toolkit.backbones.adapters.base import TransformerAdapter
from bus_toolkit.errors import ComponentError
from bus_toolkit.ops.position_table import AbsolutePositions, Grid, PositionTable


class HuggingFaceAdapter(TransformerAdapter):
    """What all of them share.

    Position tables keep the size of the library's ``image_size`` and are interpolated in each pass, as the library does
    (``interpolate_pos_encoding``): weights of one size work at any other without a change.

    Attributes:
        table_name: Name of the position table in the state dict.
        antialias: Whether the library interpolates with antialiasing.
        always_interpolates: Whether it does so for images of its own size, too, if they are not square.
    """

    libraries = ("transformers",)
    tested_with = "transformers 4.57.6 and 5.24.0"
    table_name: str = "embeddings.position_embeddings"
    antialias: ClassVar[bool] = False
    always_interpolates: ClassVar[bool] = False

    def __init__(self, vit: Any, convolution: Any, layers: Any, num_prefix: int) -> None:
        super().__init__(vit)
        size = vit.config.image_size
        self._own_size = (size, size) if isinstance(size, int) else (size[0], size[1])
        self.embed_dim, self.num_prefix, self.layers = vit.config.hidden_size, num_prefix, layers
        self.image_size = getattr(vit, "input_size", self._own_size)  # set by HuggingFaceVision
        self.patch_size = (convolution.stride[0], convolution.stride[1])
        for ask in (self.num_heads, self.scale, self.attention_dropout, self.bypassed):
            ask(layers[0])  # now, as a version that builds its blocks otherwise would fail far from here
        rows, columns = self.position_grid
        if rows != columns and (self.always_interpolates or tuple(self.image_size) != self._own_size):
            raise ComponentError(
                f"model.backbone: transformers interpolates the positions of a {type(vit).__name__} as those of a "
                f"square image, got config.image_size {self._own_size}. Give it a square image_size, and img_size for "
                "the images."
            )

    def grid_of(self, images: Tensor) -> tuple[int, int]:
        """Return the patch grid of images (B, 3, H, W)."""
        return images.shape[2] // self.patch_size[0], images.shape[3] // self.patch_size[1]

    def foreign_size(self, images: Tensor) -> bool:
        """Return whether images (B, 3, H, W) are of another size than the position table."""
        return (images.shape[2], images.shape[3]) != self._own_size

    @override
    @property
    def position_grid(self) -> Grid:
        return self._own_size[0] // self.patch_size[0], self._own_size[1] // self.patch_size[1]

    @override
    def position_tables(self) -> Sequence[PositionTable]:
        prefix = min(self.num_prefix, 1)  # registers have no position
        return (AbsolutePositions(self.table_name, self.position_grid, prefix, antialias=self.antialias),)


def tokens_of(out: Tensor | tuple[Tensor, ...]) -> Tensor:
    """Return what a block gives out; which of them wrap it in a tuple changes between versions."""
    return out if torch.is_tensor(out) else out[0]
