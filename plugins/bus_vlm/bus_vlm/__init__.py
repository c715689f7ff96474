"""Token reduction of large vision-language models, as a plugin of bus_toolkit."""

from __future__ import annotations

from bus_toolkit import hookimpl
from bus_toolkit.registry import Registries


@hookimpl
def register_components(registries: Registries) -> None:
    """Make the selectors known by their methods' names."""
    from bus_vlm.cdpruner import CDPrunerSelector
    from bus_vlm.dart import DARTSelector
    from bus_vlm.divprune import DivPruneSelector
    from bus_vlm.fastv import FastVSelector
    from bus_vlm.prumerge import PruMergeSelector
    from bus_vlm.pyramid_drop import PyramidDropSelector
    from bus_vlm.sparsevlm import SparseVLMSelector
    from bus_vlm.visionzip import VisionZipSelector
    from bus_vlm.vispruner import VisPrunerSelector

    registries.selectors.register(VisionZipSelector, name="VisionZip")
    registries.selectors.register(PruMergeSelector, name="PruMerge")
    registries.selectors.register(VisPrunerSelector, name="VisPruner")
    registries.selectors.register(DivPruneSelector, name="DivPrune")
    registries.selectors.register(CDPrunerSelector, name="CDPruner")
    registries.selectors.register(FastVSelector, name="FastV")
    registries.selectors.register(DARTSelector, name="DART")
    registries.selectors.register(PyramidDropSelector, name="PyramidDrop")
    registries.selectors.register(SparseVLMSelector, name="SparseVLM")
