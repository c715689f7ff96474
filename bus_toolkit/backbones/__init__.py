"""Vision backbones that reduce their tokens between blocks."""

from bus_toolkit.backbones.adapters import adapter_of
from bus_toolkit.backbones.adapters.base import TransformerAdapter
from bus_toolkit.backbones.adapters.blocks import BlocksAdapter
from bus_toolkit.backbones.adapters.feature_map import FeatureMapAdapter
from bus_toolkit.backbones.adapters.openmmlab_vit import vision_transformer
from bus_toolkit.backbones.block_access import ViTBlockAccess
from bus_toolkit.backbones.block_passes import attention_half
from bus_toolkit.backbones.conv_stem import conv_stem_vit
from bus_toolkit.backbones.huggingface_vision import huggingface_vision
from bus_toolkit.backbones.positions import TokenPositions
from bus_toolkit.backbones.timm_vision import timm_vision
from bus_toolkit.backbones.token_reducing_backbone import TokenReducingBackbone

__all__ = [
    "BlocksAdapter",
    "FeatureMapAdapter",
    "TokenPositions",
    "TokenReducingBackbone",
    "TransformerAdapter",
    "ViTBlockAccess",
    "adapter_of",
    "attention_half",
    "conv_stem_vit",
    "huggingface_vision",
    "timm_vision",
    "vision_transformer",
]
