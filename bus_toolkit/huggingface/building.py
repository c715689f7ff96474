"""Selectors for a model: built, checked, and each at its place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bus_toolkit.errors import ComponentError, describe
from bus_toolkit.huggingface.checks import by_block, check_added_later, check_language_model, check_selector
from bus_toolkit.huggingface.families import Family
from bus_toolkit.huggingface.tower_parts import TowerParts
from bus_toolkit.registry import REGISTRIES
from bus_toolkit.selectors import PatchSelector

AnySelector = PatchSelector | Mapping[str, Any]


@dataclass(frozen=True)
class Chosen:
    """Which selector acts where.

    Attributes:
        projected: Before the language model.
        inside: After its layers, by their numbers from 1.
        vision: After layers of the vision tower, by their numbers from 1.
        parts: The tower, if there is a selector in it.
    """

    projected: PatchSelector | None
    inside: Mapping[int, PatchSelector]
    vision: Mapping[int, PatchSelector]
    parts: TowerParts | None

    @property
    def selectors(self) -> tuple[PatchSelector, ...]:
        """All of them, each once."""
        before = () if self.projected is None else (self.projected,)
        return tuple(dict.fromkeys((*self.vision.values(), *before, *self.inside.values())))

    @classmethod
    def of(
        cls,
        model: Any,
        family: Family,
        decoder: Any,
        *,
        inside: Sequence[AnySelector],
        projected: AnySelector | None,
        vision: Sequence[AnySelector],
    ) -> Chosen:
        """Build and check selectors for a model.

        Raises:
            ComponentError: There is none, or one that cannot be where it is.
        """
        if not inside and projected is None and not vision:
            raise ComponentError(
                "reduce_tokens: a selector is needed, got none. Give selectors=, projected= or vision=."
            )
        check_language_model(decoder)
        width, num_layers = int(decoder.config.hidden_size), len(decoder.layers)
        in_layers = by_block(
            [_built(one, "selectors=", width, model) for one in inside],
            num_layers - 1,
            "selectors=",
            f"nothing is saved after the last of the {num_layers} layers",
        )
        check_added_later(family, model.config, in_layers)
        before = None if projected is None else _before_first_layer(projected, width, model)
        if not vision:
            return cls(before, in_layers, {}, None)
        parts = TowerParts.of(model, family)
        in_tower = by_block(
            [_built(one, "vision=", parts.width, model, parts) for one in vision],
            parts.last_read,
            "vision=",
            f"the model reads the output of layer {parts.last_read} of its tower",
        )
        return cls(before, in_layers, in_tower, parts)


def listed(selectors: AnySelector | Sequence[AnySelector]) -> list[AnySelector]:
    """Return one or several selectors as a list; what is no list counts as one, for ``_built`` to refuse."""
    if isinstance(selectors, (PatchSelector, Mapping, str)) or not isinstance(selectors, Iterable):
        return [selectors]
    return list(selectors)


def _before_first_layer(selector: AnySelector, width: int, model: Any) -> PatchSelector:
    """Build the selector of ``projected=``; a mapping may leave its one place out."""
    if isinstance(selector, Mapping):
        selector = {"blocks": [1], **selector}
    built = _built(selector, "projected=", width, model)
    if built.blocks != [1]:
        raise ComponentError(
            f"reduce_tokens: blocks of projected= must be [1], since it acts before layer 1, got {built.blocks}. Leave "
            "blocks out, or use selectors= to select after other layers."
        )
    return built


def _built(
    selector: AnySelector, argument: str, width: int, model: Any, parts: TowerParts | None = None
) -> PatchSelector:
    if isinstance(selector, Mapping):
        widths = {"embed_dim": width, "text_dim": width}
        made: Any = REGISTRIES.selectors.build(dict(selector), path=f"reduce_tokens {argument}", **widths)
        # Offloaded weights are nowhere until their layer runs: selectors go where their states are then.
        device = None if model.device.type == "meta" else model.device
        selector = made.to(device, model.dtype).train(model.training)
    if not isinstance(selector, PatchSelector):
        how_many = "one selector" if argument == "projected=" else "selectors"
        found = f"the class {selector.__name__}" if isinstance(selector, type) else describe(selector)
        raise ComponentError(
            f"reduce_tokens: {argument} takes {how_many}, got {found}. Give an instance of a "
            'PatchSelector, or type and arguments such as {"type": "FastV", "blocks": [2], "keep_ratio": 0.25}.'
        )
    has_class_token = parts is not None and parts.num_prefix > 0
    check_selector(selector, argument, width, in_tower=parts is not None, has_class_token=has_class_token)
    return selector
