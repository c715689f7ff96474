"""Backbones that nobody takes apart: their last tokens are what selectors and decoders get.

Written against onedl-mmpretrain 1.3.6, ``mmpretrain/models/backbones``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from typing_extensions import override

from bus_toolkit.backbones.adapters.base import TransformerAdapter
from bus_toolkit.backbones.adapters.blocks import pair, refuse_inside
from bus_toolkit.backbones.adapters.openmmlab_beit import relative_tables
from bus_toolkit.backbones.positions import TokenPositions
from bus_toolkit.errors import ComponentError
from bus_toolkit.ops.eval_mode import in_eval_mode
from bus_toolkit.ops.position_table import AbsolutePositions, PositionTable
from bus_toolkit.selectors.base import Site

DEFAULT_SIZE = 224
_REFUSED = {
    "LeNet5": "reads gray images of one channel, images here have three. Use mmpretrain.AlexNet or mmpretrain.ResNet",
    "SparseConvNeXt": "waits for the mask of visible patches that SparK's pre-training sets. Use mmpretrain.ConvNeXt, "
    "for which it trains weights",
    "SparseResNet": "waits for the mask of visible patches that SparK's pre-training sets. Use mmpretrain.ResNet, for "
    "which it trains weights",
}
# The module whose output has one token a place, where a class gives out no more than their mean or its class token.
_READ_AT = {
    "Conformer": "trans_norm",
    "InceptionV3": "Mixed_7c",
    "MixMIMTransformer": "norm",
    "MlpMixer": "norm1",
    "TNT": "norm",
}
# As mmpretrain's classes name their tables of positions.
_ABSOLUTE = ("pos_embed", "absolute_pos_embed")
# The convolution that reads Fourier positions, which mmpretrain computes in float32 whatever the weights are.
_FOURIER = {"PositionEncodingFourier": "proj", "PositionalEncodingFourier": "token_projection.conv"}


class FeatureMapAdapter(TransformerAdapter):
    """Any backbone as one block: ResNet, Swin, ConvNeXt, HRNet, MViT and whatever else ends in a map of features.

    The tokens are the last map (B, C, h, w), row by row; a sequence (B, N, C) is taken as it is, a class token before
    it is prefix. Of several maps it is the last one. Selectors act after the whole backbone, so what they save is
    in the decoder, the fusion and the heads. The distance of two patches is the image's size over the
    map's, measured by one pass on an empty image, and must be a whole number of pixels.

    Batch norm makes a sample depend on its batch mates in training. That is left as it is. Selectors that ask for the
    inside of a block (``reads_block``) are refused; ``block_access.py`` explains
    what replaces CLS attention in a pass without text.

    Args:
        vit: The module.
        image_size: Height and width in pixels, or one number for both.

    Raises:
        ComponentError: It does not run by itself or on images of that size, or what comes out does not tile them.
    """

    calls_transformer = True
    sites: ClassVar[frozenset[Site]] = frozenset({"after_block"})
    has_blocks: ClassVar[bool] = False
    norm1 = norm2 = project = project_one = num_heads = attention_branch = feed_forward_half = refuse_inside

    def __init__(self, vit: Any, image_size: int | Sequence[int] = DEFAULT_SIZE) -> None:
        super().__init__(vit)
        self.image_size = height, width = pair(image_size)
        names = [cls.__name__ for cls in type(getattr(vit, "_orig_mod", vit)).__mro__]
        refused = next((name for name in names if name in _REFUSED), None)
        if refused:
            raise ComponentError(f"model.backbone: {refused} cannot be used, it {_REFUSED[refused]}.")
        self._read_at = next((_READ_AT[name] for name in names if name in _READ_AT), "")
        self.layers = (vit,)
        _cast_fourier_positions(vit)
        tokens, (rows, columns) = self._dry_run()
        self.embed_dim = tokens.shape[2]
        self.num_prefix = tokens.shape[1] - rows * columns
        self.patch_size = (height // rows, width // columns)

    @override
    def embed(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        # The only block is the whole backbone, and embedding is running it.
        out = self._output(images)
        if out.dim() == 4:
            return out.flatten(2).transpose(1, 2), (out.shape[2], out.shape[3])
        if out.dim() == 3:
            return out, self._grid_of(out.shape[1], images)
        raise ComponentError(
            f"model.backbone: {type(self.vit).__name__} gives out one vector an image, got shape {tuple(out.shape)}. "
            "Selectors and decoders need a map of features or a token for each patch. Leave out what makes it one "
            "vector: num_classes, out_type, gap_before_final_norm and the like."
        )

    @override
    def run_block(self, layer: Any, tokens: Tensor, positions: TokenPositions) -> Tensor:
        return tokens

    @override
    def final_norm(self, tokens: Tensor) -> Tensor:
        return tokens

    @override
    def position_tables(self) -> Sequence[PositionTable]:
        tables: list[PositionTable] = [*relative_tables(self.vit, None, others=0)]
        size: Any = getattr(getattr(self.vit, "patch_embed", None), "init_out_size", None)
        for name in _ABSOLUTE if size is not None else ():
            table = getattr(self.vit, name, None)
            prefix = table.shape[1] - size[0] * size[1] if isinstance(table, Tensor) and table.dim() == 3 else -1
            if prefix in (0, 1):
                tables.append(AbsolutePositions(name, (int(size[0]), int(size[1])), prefix))
        return tables

    def _output(self, images: Tensor) -> Tensor:
        """Return the last map or sequence."""
        if not self._read_at:
            return _last(self.vit(images))
        seen: list[Any] = []
        handle = self.vit.get_submodule(self._read_at).register_forward_hook(lambda part, given, out: seen.append(out))
        try:
            self.vit(images)
        finally:
            handle.remove()
        return _last(seen)

    def _grid_of(self, length: int, images: Tensor) -> tuple[int, int]:
        """Return rows and columns of a sequence, with or without a class token: patches are squares that tile."""
        height, width = images.shape[2:]
        for count in (length, length - 1):
            side = math.isqrt(height * width // max(1, count))
            rows, columns = height // max(1, side), width // max(1, side)
            if rows * side == height and columns * side == width and rows * columns == count:
                return rows, columns
        raise ComponentError(
            f"model.backbone: {type(self.vit).__name__} gives out {length} tokens, got images of {height} x {width} "
            "pixels. They must be square patches that tile the image, with at most one class token in front. Choose "
            "another img_size."
        )

    @torch.no_grad()
    def _dry_run(self) -> tuple[Tensor, tuple[int, int]]:
        """Run an empty image in eval mode, so that no statistics move; works on torch's meta device as well."""
        height, width = self.image_size
        weight = next((p for p in self.vit.parameters() if p.is_floating_point()), torch.zeros(()))
        try:
            with in_eval_mode(self.vit):
                tokens, grid = self.embed(weight.new_zeros(1, 3, height, width))
        except ComponentError:
            raise
        except Exception as error:
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise ComponentError(
                f"model.backbone: {type(self.vit).__name__} does not run on 3 channels of {height} x {width} pixels: "
                f"{reason[0].rstrip('.')}. Choose another img_size."
            ) from error
        if height % grid[0] or width % grid[1]:
            raise ComponentError(
                f"model.backbone: a feature map of {grid[0]} x {grid[1]} does not tile an image, got {height} x "
                f"{width} pixels. Each position must cover a square of whole pixels. Choose another img_size, for "
                "most backbones a multiple of 32."
            )
        return tokens, grid


def _cast_fourier_positions(vit: nn.Module) -> None:
    """Let EdgeNeXt and XCiT run with weights in float64 and in half precision."""
    for module in vit.modules():
        name = _FOURIER.get(type(module).__name__)
        if name:
            module.get_submodule(name).register_forward_pre_hook(_to_own_dtype)


def _to_own_dtype(module: Any, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(tensor.to(module.weight.dtype) for tensor in given)


def _last(output: Any) -> Any:
    while isinstance(output, list | tuple):
        output = output[-1]
    return output
