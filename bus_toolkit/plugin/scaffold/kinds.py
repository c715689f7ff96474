"""The kinds of plugins that ``new-plugin`` can write, with the registry and the check of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A kind of component.

    Attributes:
        noun: Its name in texts.
        check: Its function in ``bus_toolkit.testing``.
        registry: Its field of ``Registries`` for a part of the model; its registry in ``bus_toolkit.registry`` for what
            MMEngine's Runner builds.
    """

    noun: str
    check: str
    registry: str

    @property
    def is_part(self) -> bool:
        """Whether it is a part of the model, registered by the hook ``register_components``."""
        return self.registry.islower()


KINDS: Mapping[str, Kind] = {
    "selector": Kind("patch selector", "check_selector", "selectors"),
    "decoder": Kind("abstraction decoder", "check_decoder", "decoders"),
    "fusion": Kind("fusion", "check_fusion", "fusions"),
    "backbone": Kind("backbone", "check_backbone", "backbones"),
    "head": Kind("head", "check_head", "heads"),
    "metric": Kind("metric", "check_metric", "METRICS"),
    "dataset": Kind("data set", "check_dataset", "DATASETS"),
    "transform": Kind("transform", "check_transform", "TRANSFORMS"),
    "tokenizer": Kind("tokenizer", "check_tokenizer", "tokenizers"),
    "text_encoder": Kind("text encoder", "check_text_encoder", "text_encoders"),
    "text_decoder": Kind("text decoder", "check_text_decoder", "text_decoders"),
    "hook": Kind("hook", "check_hook", "HOOKS"),
    "optimizer": Kind("optimizer", "check_optimizer", "OPTIMIZERS"),
    "scheduler": Kind("schedule of the learning rate", "check_scheduler", "PARAM_SCHEDULERS"),
}
