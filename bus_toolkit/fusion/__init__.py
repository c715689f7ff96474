"""Fusions of text and visual tokens."""

from bus_toolkit.fusion.co_attention import CoAttentionFusion
from bus_toolkit.fusion.cross_attention import CrossAttentionFusion, reading_layer
from bus_toolkit.fusion.skip_connected import SkipConnectedFusion

__all__ = [
    "CoAttentionFusion",
    "CrossAttentionFusion",
    "SkipConnectedFusion",
    "reading_layer",
]
