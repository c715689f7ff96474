"""Data: the arguments that each backbone of mmpretrain needs to be built, and to be tried quickly."""

from __future__ import annotations

from typing import Any

_VIT = {
    "arch": {"embed_dims": 32, "num_layers": 2, "num_heads": 4, "feedforward_channels": 64},
    "img_size": 32,
    "patch_size": 8,
}
_TWINS = {
    "embed_dims": [16, 32, 32, 64],
    "depths": [1, 1, 1, 1],
    "num_heads": [1, 2, 2, 4],
    "patch_sizes": [4, 2, 2, 2],
    "strides": [4, 2, 2, 2],
    "mlp_ratios": [2, 2, 2, 2],
    "sr_ratios": [8, 4, 2, 1],
}
_SWIN = {"embed_dims": 16, "depths": [1, 1, 1, 1], "num_heads": [1, 2, 4, 8]}

# Arguments that a config must set: the smallest model if the class has no default, the image size if 224 does not fit.
NEEDED: dict[str, dict[str, Any]] = {
    "AlexNet": {"img_size": 240},
    "CSPDarkNet": {"depth": 53},
    "CSPResNeXt": {"depth": 50},
    "CSPResNet": {"depth": 50},
    "InceptionV3": {"img_size": 320},
    "LeViT": {"arch": "128s"},
    "MobileOne": {"arch": "s0"},
    "PCPVT": {"arch": "small"},
    "PyramidVig": {"arch": "tiny"},
    "RegNet": {"arch": "regnetx_400mf"},
    "RepLKNet": {"arch": "31B"},
    "RepMLPNet": {"arch": "base"},
    "RepVGG": {"arch": "A0"},
    "Res2Net": {"depth": 50},
    "ResNeSt": {"depth": 50},
    "ResNeXt": {"depth": 50},
    "ResNet": {"depth": 18},
    "ResNetV1c": {"depth": 50},
    "ResNetV1d": {"depth": 50},
    "ResNet_CIFAR": {"depth": 18},
    "SEResNeXt": {"depth": 50},
    "SEResNet": {"depth": 50},
    "SVT": {"arch": "small"},
    "SparseResNet": {"depth": 50, "norm_cfg": {"type": "BN"}},
    "VGG": {"depth": 11},
    "Vig": {"arch": "tiny"},
}

# On top of that, for a quick try: small where a class can be made small, and images of 64 pixels where it takes them.
SMALL: dict[str, dict[str, Any]] = {
    "AlexNet": {"img_size": 144},
    "BEiTViT": _VIT,
    "ConvMixer": {"arch": {"embed_dims": 32, "depth": 2, "patch_size": 8, "kernel_size": 3}},
    "ConvNeXt": {"arch": {"depths": [1, 1, 1, 1], "channels": [16, 32, 48, 64]}},
    "DaViT": {"arch": {"embed_dims": 16, "depths": [1, 1, 1, 1], "num_heads": [1, 2, 4, 8]}, "img_size": 224},
    "DeiT3": _VIT,
    "DenseNet": {"arch": {"growth_rate": 8, "depths": [2, 2, 2, 2], "init_channels": 16}},
    "DistilledVisionTransformer": _VIT,
    "EfficientFormer": {"img_size": 224},
    "EfficientNetV2": {"img_size": 32},
    "HRNet": {"arch": "w18"},
    "HiViT": {"arch": {"embed_dims": 32, "depths": [1, 1, 8], "num_heads": 4}},
    "LeViT": {"img_size": 128},
    "MViT": {"arch": "tiny"},
    "MixMIMTransformer": {"arch": _SWIN, "window_size": [4, 4, 2, 2]},
    "MlpMixer": {
        "arch": {"embed_dims": 32, "num_layers": 2, "tokens_mlp_dims": 16, "channels_mlp_dims": 64},
        "img_size": 32,
        "patch_size": 8,
    },
    "PCPVT": {"arch": _TWINS},
    "PyramidVig": {"img_size": 224},
    "RepLKNet": {
        "arch": {
            "large_kernel_sizes": [7, 7, 7, 7],
            "layers": [1, 1, 1, 1],
            "channels": [16, 32, 48, 64],
            "small_kernel": 5,
            "dw_ratio": 1,
        }
    },
    "RepMLPNet": {"arch": {"channels": [16, 32, 64, 128], "depths": [1, 1, 1, 1], "sharesets_nums": [1, 4, 16, 64]}},
    "RevVisionTransformer": _VIT,
    "SVT": {"arch": {**_TWINS, "window_sizes": [2, 2, 2, 2]}},
    "SwinTransformer": {"arch": _SWIN, "window_size": 2},
    "SwinTransformerV2": {"arch": {**_SWIN, "extra_norm_every_n_blocks": 0}, "window_size": 2},
    "T2T_ViT": {"embed_dims": 48, "num_layers": 2, "t2t_cfg": {"token_dims": 16}},
    "TNT": {
        "arch": {
            "embed_dims_outer": 48,
            "embed_dims_inner": 8,
            "num_layers": 2,
            "num_heads_outer": 4,
            "num_heads_inner": 2,
        }
    },
    "ViTEVA02": _VIT,
    "Vig": {"img_size": 224},
    "TinyViT": {"img_size": [64, 64]},
    "VisionTransformer": _VIT,
    "XCiT": {"embed_dims": 48, "depth": 2, "num_heads": 4, "layer_scale_init_value": 1.0},
}

# Notes for the user that the structure of a class does not show.
_NO_GAP = "`gap_before_final_norm: false` is set"
_FIXED = "mixes a fixed number of places: images of `img_size` only"
_SPARSE = "waits for the mask of visible patches that SparK's pre-training sets"
NOTES: dict[str, str] = {
    "AlexNet": "its map tiles some image sizes only, such as 144, 240 and 288",
    "CSPNet": "not registered: the base of `CSPDarkNet`, `CSPResNet` and `CSPResNeXt`, which takes a function",
    "Conformer": "the tokens of its transformer branch; its convolutions read them as a map in every block",
    "ConvNeXt": _NO_GAP,
    "EdgeNeXt": _NO_GAP,
    "EfficientFormer": "`reshape_last_feat: true` is set",
    "HRNet": "the last of its four maps, the coarsest",
    "HiViT": "its first stages need 2 x 2 neighbours; the blocks after them are not taken apart",
    "HorNet": _NO_GAP,
    "InceptionV3": "its map tiles some image sizes only, such as 304 and 320; its classifier runs along",
    "LeNet5": "reads gray images",
    "LeViT": "attention biases of a grid that is halved on the way: images of `img_size` only",
    "MixMIMTransformer": "attention in windows",
    "MlpMixer": _FIXED,
    "PyramidVig": "positions of 224 px: no other image size",
    "RepMLPNet": _FIXED,
    "RevVisionTransformer": "two streams whose backward pass computes every input again; tokens have the width of both",
    "SparseConvNeXt": f"{_SPARSE}; its weights fit `ConvNeXt`, the last norm apart",
    "SparseResNet": f"{_SPARSE}; its weights fit `ResNet`",
    "SwinTransformer": "attention in windows",
    "SwinTransformerV2": "attention in windows",
    "T2T_ViT": "blocks of the encoder; the two that make the tokens see them all",
    "TIMMBackbone": "needs timm; its convolutional networks work as one block, such as `resnet18`; see `TimmVision`",
    "TNT": "every patch has inner tokens of its own; images of `img_size` only",
    "TinyViT": f"{_NO_GAP}; `img_size` is a list of two",
    "ViTSAM": "attention in windows; the map is the output of its neck, `out_channels: 0` gives the blocks' own",
    "Vig": "positions of 224 px: no other image size",
    "XCiT": "attention between channels, convolutions on the grid; the class token joins at the end",
}
