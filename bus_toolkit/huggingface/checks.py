"""Checks of models and selectors before anything is put in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bus_toolkit.errors import ComponentError
from bus_toolkit.huggingface.families import Family
from bus_toolkit.selectors import PatchSelector


def check_language_model(decoder: Any) -> None:
    """Refuse layers that read a window of places, of which a selection would make a wider one.

    Raises:
        ComponentError: There are such layers.
    """
    config = decoder.config
    if getattr(config, "sliding_window", None) is not None or getattr(config, "use_sliding_window", False):
        raise ComponentError(
            f"reduce_tokens: layers of {type(decoder).__name__} read a sliding window of places, which selection would "
            "widen. Load a model without, or set use_sliding_window=False or sliding_window=None in its text_config "
            "if its sequences fit into the window."
        )


def acts_before(selector: PatchSelector) -> bool:
    """Return whether a selector acts before its block, by what the attention of that block will use."""
    return selector.site == "before_block"


def by_block(selectors: Iterable[PatchSelector], last: int, argument: str, reason: str) -> dict[int, PatchSelector]:
    """Return selectors by the block that they act after, in order.

    Args:
        selectors: The selectors.
        last: The last block that one may act after.
        argument: Where they come from.
        reason: Why there may be no later one.

    Raises:
        ComponentError: Two at one block, or a block after the last.
    """
    chosen: dict[int, PatchSelector] = {}
    for selector in selectors:
        shift = int(acts_before(selector))
        for block in selector.blocks:
            if block - shift in chosen:
                raise ComponentError(
                    f"reduce_tokens: {argument} must be at different blocks, got two at block {block}. Give each its "
                    "own."
                )
            if not 1 <= block - shift <= last:
                raise ComponentError(
                    f"reduce_tokens: blocks of {argument} must be in {1 + shift} to {last + shift}, since {reason}, "
                    f"got {block}. Name another block."
                )
            chosen[block - shift] = selector
    return dict(sorted(chosen.items()))


def check_added_later(family: Family, config: Any, inside: Mapping[int, PatchSelector]) -> None:
    """Refuse blocks before the last of those that a model adds visual features after.

    Raises:
        ComponentError: There is one.
    """
    added = family.added_later(config)
    if inside and min(inside) < added:
        raise ComponentError(
            f"reduce_tokens: blocks of selectors must be {added} or later in {family.name}, which adds visual features "
            f"after its first {added} layers, got {min(inside)}. Use projected= to select before them."
        )


def check_selector(
    selector: PatchSelector, argument: str, width: int, *, in_tower: bool, has_class_token: bool
) -> None:
    """Refuse a selector that cannot have what it needs.

    Args:
        selector: The selector.
        argument: Where it comes from.
        width: That of the tokens.
        in_tower: Whether it reads images alone.
        has_class_token: Whether there is a class token.

    Raises:
        ComponentError: It needs a text in a tower or acts before a layer there, it needs boxes, a class token where
        there is none, or another width.
    """
    name = type(selector).__name__
    if in_tower and (selector.needs_text or selector.needs_word_stream):
        raise ComponentError(
            f"reduce_tokens: {argument} needs selectors without a text, got {name}: a tower reads images alone. Use it "
            "in selectors= or projected=."
        )
    if in_tower and acts_before(selector):
        raise ComponentError(
            f"reduce_tokens: {argument} needs selectors that act after a layer, got {name}, which acts before it. Use "
            "it in selectors=."
        )
    if selector.needs_boxes:
        raise ComponentError(f"reduce_tokens: {argument} has no boxes, which {name} needs. Use another selector.")
    if selector.needs_class_token and not has_class_token:
        raise ComponentError(f"reduce_tokens: {argument} has no class token, which {name} needs. Use another selector.")
    if selector.embed_dim not in (None, width) or selector.text_dim not in (None, width):
        raise ComponentError(
            f"reduce_tokens: {name} of {argument} was built for patches of width {selector.embed_dim} and texts of "
            f"{selector.text_dim}, got tokens of width {width}. Build it with embed_dim={width} and text_dim={width}."
        )
