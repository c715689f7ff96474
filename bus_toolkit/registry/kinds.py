"""One registry for each kind of part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from bus_toolkit.ops.schedule import keep_ratio_problems
from bus_toolkit.registry.openmmlab import mmpretrain_models, nearest_backbone
from bus_toolkit.registry.parts import Foreign, PartRegistry
from bus_toolkit.registry.provided import provided_to
from bus_toolkit.registry_loader import load_registries

CONDITIONING_MODES: dict[str, Any] = {}
"""Modes of ``model.conditioning`` that plugins add by ``bus_toolkit.models.register_mode``."""


@dataclass(frozen=True)
class Registries:
    """The registries of all part kinds; ``register_components`` of a plugin receives this."""

    tokenizers: PartRegistry
    text_encoders: PartRegistry
    backbones: PartRegistry
    selectors: PartRegistry
    decoders: PartRegistry
    priors: PartRegistry
    fusions: PartRegistry
    text_decoders: PartRegistry
    heads: PartRegistry

    def all(self) -> list[PartRegistry]:
        """Return them in the order in which data passes through the parts."""
        return [getattr(self, field.name) for field in fields(self)]


def new_registries(prepare: Callable[[], object] = lambda: None) -> Registries:
    """Return empty registries.

    Args:
        prepare: Called before each look-up; fills them.
    """
    contracts = {
        "tokenizer": ("tokenizer", "list of B texts -> TokenBatch (B, L); knows its vocabulary"),
        "text_encoder": ("text encoder", "TokenBatch (B, L) -> TextTokens (B, L, D)"),
        "backbone": ("backbone", "images (B, 3, H, W) -> patch tokens, block by block"),
        "selectors": ("patch selector", "BlockView (B, N, D) -> plan: where each patch goes"),
        "decoder": ("abstraction decoder", "VisualTokens -> fewer VisualTokens"),
        "prior": ("fusion prior", "TextTokens and VisualTokens -> attention logits (B, P + S) for the fusion"),
        "fusion": ("fusion", "TextTokens and VisualTokens -> FusedTokens"),
        "text_decoder": ("text decoder", "ids and states -> next-token logits"),
        "heads": ("head", "tokens -> losses in training, data samples in prediction"),
    }
    parts = {
        slot: PartRegistry(kind, slot, contract, provided_to(slot), prepare=prepare)
        for slot, (kind, contract) in contracts.items()
    }
    parts["backbone"].foreign = Foreign("mmpretrain.<Name>", mmpretrain_models, nearest_backbone)
    parts["selectors"].check_values = keep_ratio_problems
    return Registries(
        tokenizers=parts["tokenizer"],
        text_encoders=parts["text_encoder"],
        backbones=parts["backbone"],
        selectors=parts["selectors"],
        decoders=parts["decoder"],
        priors=parts["prior"],
        fusions=parts["fusion"],
        text_decoders=parts["text_decoder"],
        heads=parts["heads"],
    )


REGISTRIES = new_registries(load_registries)
