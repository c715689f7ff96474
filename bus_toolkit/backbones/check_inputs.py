"""Whether a user's images and texts fit a backbone, before anything is computed from them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from bus_toolkit.backbones.adapters.base import TransformerAdapter
from bus_toolkit.errors import ComponentError, DataError, describe
from bus_toolkit.structures import TextTokens

_WANTED = "a float tensor (B, 3, H, W), normalised as the backbone was trained"
_PREPARE = "bus_toolkit.inference.ImagePreprocessor makes it from files, PIL images and arrays"


def check_shape(images: Any, vit: nn.Module) -> None:
    """Refuse what no backbone takes as images; comparisons of shapes and types alone.

    Raises:
        DataError: No tensor of floats (B, C, H, W), no image at all, or a number of channels that no layer takes.
    """
    if torch.jit.is_tracing():  # sizes are tensors there, of which none may be compared
        return
    if not isinstance(images, Tensor) or images.dim() != 4 or not images.is_floating_point():
        raise DataError(f"images: must be {_WANTED}, got {describe(images)}. {_PREPARE}.")
    if 0 in images.shape:
        raise DataError(f"images: needs at least one, got a tensor {tuple(images.shape)}. Leave an empty batch out.")
    channels = {layer.in_channels for layer in vit.modules() if isinstance(layer, nn.Conv2d)}
    if channels and images.shape[1] not in channels:
        first = next(layer for layer in vit.modules() if isinstance(layer, nn.Conv2d))
        raise DataError(
            f"images: {type(vit).__name__} takes {first.in_channels} channels, got {images.shape[1]}, a tensor "
            f"{tuple(images.shape)}. Channels come before height and width; repeat a grey image three times."
        )


def check_images(images: Any, adapter: TransformerAdapter) -> None:
    """Refuse images that a user gives by hand and that would fail or be cut later; reads their values.

    Raises:
        DataError: As ``check_shape``; or of a size that patches do not tile, with NaN or infinite values, or of a dtype
            or on a device that the weights do not have.
    """
    check_shape(images, adapter.vit)
    if torch.jit.is_tracing():
        return
    (height, width), (down, across) = images.shape[2:], adapter.patch_size
    if height % down or width % across:
        raise DataError(
            f"images: patches of {down} x {across} pixels do not tile {height} x {width} pixels. Resize to "
            f"{adapter.image_size[0]} x {adapter.image_size[1]}. {_PREPARE}."
        )
    weight = next(adapter.vit.parameters(), None)
    if weight is not None and weight.device != images.device:
        raise DataError(
            f"images: the model is on {weight.device}, got images on {images.device}. Write "
            f"images.to({str(weight.device)!r})."
        )
    if weight is not None and weight.dtype != images.dtype and not torch.is_autocast_enabled(images.device.type):
        raise DataError(
            f"images: the weights are {_name(weight.dtype)}, got {_name(images.dtype)} images. Write "
            f"images.to({weight.dtype}), or run under torch.autocast."
        )
    if images.is_meta or torch.compiler.is_compiling():
        return
    bad = (~images.isfinite()).flatten(1).any(dim=1).nonzero().flatten().tolist()
    if bad:
        raise DataError(
            f"images: image {bad[0]} holds values that are no finite numbers ({len(bad)} such images). Look at what "
            "made them: a division by a standard deviation of 0, an overflow in half precision."
        )


def check_same_transformer(vit: nn.Module, adapter: TransformerAdapter, num_blocks: int) -> None:
    """Refuse to run a transformer that is no longer the one that was taken apart.

    Raises:
        ComponentError: ``backbone.vit`` or its list of blocks was replaced.
    """
    if torch.compiler.is_compiling():
        return
    layers: Any = adapter.layers
    is_there = not isinstance(layers, nn.Module) or any(part is layers for part in vit.modules())  # near the top
    known, here = (getattr(one, "_orig_mod", one) for one in (adapter.vit, vit))  # inside torch.compile's wrapper
    if known is not here or len(layers) != num_blocks or not is_there:
        raise ComponentError(
            f"backbone.vit: another module or other blocks are here, a {type(vit).__name__}, got a backbone made for a "
            f"{type(adapter.vit).__name__} of {num_blocks} blocks. Make a new TokenReducingBackbone."
        )


def check_text(text: Any, num_images: int, selectors: nn.ModuleList, *, reads_values: bool = False) -> None:
    """Refuse a text that does not fit the images, or that nothing reads.

    Raises:
        DataError: No ``TextTokens``, of another number of rows than there are images, or of a dtype or on a device that
            the selectors do not have; with ``reads_values``, which waits for the device, also values that are not
            finite.
        ComponentError: No selector reads text, or one reads another width.
    """
    if not isinstance(text, TextTokens):
        raise DataError(
            f"text: must be TextTokens, got {describe(text)}. A backbone encodes no words: write "
            "TextTokens.of(embeds), with embeddings (B, L, D) of your own text encoder."
        )
    kinds = ", ".join(type(selector).__name__ for selector in selectors) or "none"
    readers = [selector for selector in selectors if selector.needs_text]
    if not readers:
        raise ComponentError(
            f"text: no selector here reads a text, got {kinds}: it would change nothing. Leave it out."
        )
    if text.embeds.shape[0] != num_images:
        raise DataError(f"text: needs one row an image, {num_images}, got {text.embeds.shape[0]}. Repeat or drop rows.")
    if reads_values and not (text.embeds.is_meta or torch.compiler.is_compiling() or torch.jit.is_tracing()):
        # What may not be read may hold anything.
        bad = (~text.embeds.isfinite().all(dim=-1) & text.attention_mask).any(dim=1) | ~text.pooled.isfinite().all(
            dim=1
        )
        if bad.any():
            raise DataError(
                f"text: row {int(bad.nonzero()[0])} holds values that are no finite numbers ({int(bad.sum())} such "
                "rows). Look at what made them."
            )
    for selector in readers:
        wanted, got = getattr(selector, "text_dim", None), text.embeds.shape[-1]
        if wanted is not None and wanted != got:
            raise ComponentError(
                f"text: {type(selector).__name__} reads texts of width {wanted}, got {got}. Build it with "
                f"text_dim={got}."
            )
        _check_kind(text.embeds, selector)


def _check_kind(embeds: Tensor, selector: nn.Module) -> None:
    """Refuse text embeddings of a dtype or on a device that the weights of a selector do not have."""
    weight = next(selector.parameters(), None)
    if weight is None or torch.jit.is_tracing():
        return
    if weight.device != embeds.device:
        raise DataError(
            f"text: {type(selector).__name__} is on {weight.device}, got embeds on {embeds.device}. Write "
            f"embeds.to({str(weight.device)!r})."
        )
    if weight.dtype != embeds.dtype and not torch.is_autocast_enabled(embeds.device.type):
        raise DataError(
            f"text: the weights of {type(selector).__name__} are {_name(weight.dtype)}, got {_name(embeds.dtype)} "
            f"embeds. Write embeds.to({weight.dtype}), or run under torch.autocast."
        )


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
