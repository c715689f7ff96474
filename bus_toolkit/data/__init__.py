"""Where samples come from: the scene generator, readers, transforms, batch samplers and tokenizers.

Importing this package registers what MMEngine's Runner builds: data sets, transforms and batch samplers.
"""

from bus_toolkit.data.captioned_images import CaptionedImages
from bus_toolkit.data.nlvr import NLVRDataset
from bus_toolkit.data.pack_regions import PackRegions
from bus_toolkit.data.region_batches import RegionBatchSampler
from bus_toolkit.data.region_captions import RegionCaptionDataset
from bus_toolkit.data.scene_dataset import SceneDataset
from bus_toolkit.data.shards.load_image import LoadImageFromBytes
from bus_toolkit.data.shards.shard_dataset import ShardDataset
from bus_toolkit.data.shards.shuffled_shards import EndlessShardSampler, ShardShuffleSampler
from bus_toolkit.data.transforms import ColourJitter, RandomCropKeepNamed, RandomFlipWithText

__all__ = [
    "CaptionedImages",
    "ColourJitter",
    "EndlessShardSampler",
    "LoadImageFromBytes",
    "NLVRDataset",
    "PackRegions",
    "RandomCropKeepNamed",
    "RandomFlipWithText",
    "RegionBatchSampler",
    "RegionCaptionDataset",
    "SceneDataset",
    "ShardDataset",
    "ShardShuffleSampler",
]
