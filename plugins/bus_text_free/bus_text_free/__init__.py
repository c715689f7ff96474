"""Token reduction that reads no text, as a plugin of bus_toolkit."""

from __future__ import annotations

from bus_toolkit import hookimpl
from bus_toolkit.registry import Registries


@hookimpl
def register_components(registries: Registries) -> None:
    """Make the selectors known by their methods' names."""
    from bus_text_free.distill import TeacherDistillHead
    from bus_text_free.dynamic_vit import DynamicViTSelector, KeepRatioHead
    from bus_text_free.evit import EViTSelector
    from bus_text_free.tome import ToMeSelector
    from bus_text_free.turbo import TurboSelector

    registries.selectors.register(EViTSelector, name="EViT")
    registries.selectors.register(ToMeSelector, name="ToMe")
    registries.selectors.register(TurboSelector, name="Turbo")
    registries.selectors.register(DynamicViTSelector, name="DynamicViT")
    registries.heads.register(KeepRatioHead)
    registries.heads.register(TeacherDistillHead)
