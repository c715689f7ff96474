"""Abstraction decoders: a further, shorter summary of the visual tokens."""

from bus_toolkit.decoders.average_pool import AveragePool
from bus_toolkit.decoders.c_abstractor import CAbstractor
from bus_toolkit.decoders.dense_grid import average_cells, dense_tokens, origin_of, square_side
from bus_toolkit.decoders.identity import IdentityDecoder
from bus_toolkit.decoders.pad import PatchAbstractionDecoder
from bus_toolkit.decoders.qformer import QFormer
from bus_toolkit.decoders.resampler import PerceiverResampler
from bus_toolkit.decoders.token_packer import TokenPacker

__all__ = [
    "AveragePool",
    "CAbstractor",
    "IdentityDecoder",
    "PatchAbstractionDecoder",
    "PerceiverResampler",
    "QFormer",
    "TokenPacker",
    "average_cells",
    "dense_tokens",
    "origin_of",
    "square_side",
]
