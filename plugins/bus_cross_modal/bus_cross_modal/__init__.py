"""Token reduction that both modalities guide, as a plugin of bus_toolkit."""

from __future__ import annotations

from bus_toolkit import hookimpl
from bus_toolkit.registry import Registries


@hookimpl
def register_components(registries: Registries) -> None:
    """Make the parts known by their methods' names."""
    from bus_cross_modal.crossget import CrossGETSelector
    from bus_cross_modal.guidance import GuidanceHead
    from bus_cross_modal.madtp import MADTPSelector
    from bus_cross_modal.pumer import PuMerFusion
    from bus_cross_modal.pumer_selector import PuMerSelector

    registries.fusions.register(PuMerFusion, name="PuMer")
    registries.selectors.register(CrossGETSelector, name="CrossGET")
    registries.selectors.register(MADTPSelector, name="MADTP")
    registries.selectors.register(PuMerSelector, name="PuMer")
    registries.heads.register(GuidanceHead)
