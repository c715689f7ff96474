"""Whether selectors fit a backbone, and one another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from bus_toolkit.backbones.adapters.base import TransformerAdapter
from bus_toolkit.errors import ConfigError, Problem, describe
from bus_toolkit.selectors.base import PatchSelector


def check_kinds(selectors: Any, path: str) -> None:
    """Refuse anything but built selectors in a list.

    Args:
        selectors: What was given.
        path: As for ``check_selectors``.

    Raises:
        ConfigError: It is no list, or something in it is no selector.
    """
    if isinstance(selectors, PatchSelector) or not isinstance(selectors, Iterable):
        raise ConfigError(f"{path}: must be a list of selectors, got {describe(selectors)}. Put it into a list.")
    for index, selector in enumerate(selectors):
        if not isinstance(getattr(selector, "_orig_mod", selector), PatchSelector):  # torch.compile's wrapper has one
            raise ConfigError(
                f"{path}.{index}: must be a built selector, got {describe(selector)}. Make one of its class, or write "
                'REGISTRIES.selectors.build({"type": ..., "blocks": [...]}, path="selector").'
            )


def check_selectors(selectors: Sequence[PatchSelector], adapter: TransformerAdapter, path: str) -> None:
    """Refuse selectors that cannot work in a backbone.

    Args:
        selectors: Built selectors.
        adapter: What knows the backbone.
        path: The place of the list of selectors in the config, such as ``model.selectors``.

    Raises:
        ConfigError: All problems together: a block that does not exist or that another selector has, a place in or
            between blocks that the backbone does not offer, something inside a block that it does not show.
    """
    problems = [*_block_problems(selectors, len(adapter.layers), path), *_order_problems(selectors, path)]
    for index, selector in enumerate(selectors):
        problems += _site_problems(selector, adapter, f"{path}.{index}")
    if problems:
        raise ConfigError(problems)


def _block_problems(selectors: Sequence[PatchSelector], num_blocks: int, path: str) -> Iterator[Problem]:
    taken: dict[int, int] = {}
    for index, selector in enumerate(selectors):
        if max(selector.blocks) > num_blocks:
            yield Problem(
                f"{path}.{index}.blocks",
                f"the backbone has {num_blocks} blocks, got {selector.blocks}. Blocks count from 1. Name blocks up to "
                f"{num_blocks}.",
            )
        else:
            yield from _reach_problems(selector, num_blocks, f"{path}.{index}")
        for block in selector.blocks:
            if taken.setdefault(block, index) != index:
                yield Problem(
                    f"{path}.{index}.blocks",
                    f"block {block} already has selector {taken[block]}. A block holds one selector. Give one of them "
                    "another block.",
                )


def _order_problems(selectors: Sequence[PatchSelector], path: str) -> Iterator[Problem]:
    """Yield selectors that work on the whole grid and come after another."""
    for index, selector in enumerate(selectors):
        before = [f"{path}.{i}" for i, other in enumerate(selectors) if min(other.blocks) < min(selector.blocks)]
        if selector.needs_whole_grid and before:
            yield Problem(
                f"{path}.{index}.blocks",
                f"{type(selector).__name__} works on the grid of all patches, got {before[0]} before it. Let it be the "
                "first selector, or use another.",
            )


def _reach_problems(selector: PatchSelector, num_blocks: int, path: str) -> Iterator[Problem]:
    """Yield blocks from which a selector would look beyond the end of the backbone."""
    for block in selector.blocks:
        last = selector.last_block_read(block)
        if last > num_blocks:
            yield Problem(
                path,
                f"{type(selector).__name__} at block {block} reads up to block {last}, the backbone has {num_blocks}. "
                "Let it look ahead less far, or give it an earlier block.",
            )


def _site_problems(selector: PatchSelector, adapter: TransformerAdapter, path: str) -> Iterator[Problem]:
    """Yield the first thing, if there is one, that the selector needs and the backbone does not offer."""
    name, backbone = type(selector).__name__, type(adapter.vit).__name__
    if selector.reads_block and not adapter.has_blocks:
        yield Problem(
            path,
            f"{name} reads attention inside a block, got {backbone}, whose {type(adapter).__name__} shows none. Use a "
            "selector that reads patches and text alone (TSPS), a transformer whose blocks are known "
            "(mmpretrain.VisionTransformer), or name their parts in a TransformerAdapter of your own.",
        )
    elif not adapter.num_prefix and selector.needs_class_token:
        yield Problem(
            path,
            f"{name} looks ahead with the class token, got {backbone}, which has none. Use a backbone with one, or a "
            "selector that reads the patches.",
        )
    elif selector.embed_dim not in (None, adapter.embed_dim):
        yield Problem(
            path,
            f"{name} was built for patches of width {selector.embed_dim}, got {backbone}, whose tokens have "
            f"{adapter.embed_dim}. Build it with embed_dim={adapter.embed_dim}.",
        )
    elif selector.needs_boxes and adapter.patch_size[0] != adapter.patch_size[1]:
        yield Problem(
            path,
            f"{name} lays boxes on a grid of squares, got {backbone}, whose patches are "
            f"{adapter.patch_size[0]} x {adapter.patch_size[1]} pixels. Choose a square patch_size.",
        )
    elif selector.site not in adapter.sites:
        sites = ", ".join(sorted(site.replace("_", " ") for site in adapter.sites))
        yield Problem(
            path,
            f"{name} acts {selector.site.replace('_', ' ')}, got {backbone}, which takes selectors {sites} only. Use a "
            "selector that acts there, or a backbone whose tokens pass through every block as one sequence.",
        )
