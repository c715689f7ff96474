"""The conformance kit: what plugin authors (and our own suite) run on a part.

``check_selector("Mine")``, ``check_decoder``, ``check_fusion``, ``check_backbone`` and ``check_head`` take a registered
name or a class, run every check of the kind, and raise one ``ConformanceError`` that names each broken promise and what
happened instead. ``check_plugin`` runs them on all that a plugin registers, as ``bus-toolkit check-plugin`` does.
"""

from bus_toolkit.testing.backbones import check_backbone
from bus_toolkit.testing.check import ConformanceError
from bus_toolkit.testing.heads import check_head
from bus_toolkit.testing.model import tiny_batch, tiny_model
from bus_toolkit.testing.plugin import check_plugin
from bus_toolkit.testing.selectors import check_selector
from bus_toolkit.testing.token_parts import check_decoder, check_fusion

__all__ = [
    "ConformanceError",
    "check_backbone",
    "check_decoder",
    "check_fusion",
    "check_head",
    "check_plugin",
    "check_selector",
    "tiny_batch",
    "tiny_model",
]
