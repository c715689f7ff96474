"""Fusions of text and visual tokens."""

from bus_toolkit.fusion.base import LayeredFusion
from bus_toolkit.fusion.co_attention import CoAttentionFusion
from bus_toolkit.fusion.cross_attention import CrossAttentionFusion
from bus_toolkit.fusion.single_stream import SingleStreamFusion
from bus_toolkit.fusion.skip_connected import SkipConnectedFusion

__all__ = [
    "CoAttentionFusion",
    "CrossAttentionFusion",
    "LayeredFusion",
    "SingleStreamFusion",
    "SkipConnectedFusion",
]
