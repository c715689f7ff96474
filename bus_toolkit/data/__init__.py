"""Where samples come from: the scene generator, readers, transforms, batch samplers and tokenizers.

Importing this package registers what MMEngine's Runner builds: data sets, transforms and batch samplers.
"""

from bus_toolkit.data.nlvr import NLVRDataset
from bus_toolkit.data.pack_regions import PackRegions
from bus_toolkit.data.region_batches import RegionBatchSampler
from bus_toolkit.data.region_captions import RegionCaptionDataset
from bus_toolkit.data.scene_dataset import SceneDataset
from bus_toolkit.data.transforms import ColourJitter, RandomCropKeepNamed, RandomFlipWithText

__all__ = [
    "ColourJitter",
    "NLVRDataset",
    "PackRegions",
    "RandomCropKeepNamed",
    "RandomFlipWithText",
    "RegionBatchSampler",
    "RegionCaptionDataset",
    "SceneDataset",
]
