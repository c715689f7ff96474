"""Where samples come from: the scene generator, readers, transforms, batch samplers and tokenizers.

Importing this package registers what MMEngine's Runner builds: data sets, transforms and batch samplers.
"""

from bus_toolkit.data.captioned_images import CaptionedImages
from bus_toolkit.data.load_image import LoadImage
from bus_toolkit.data.mixed_batches import mixed_batch_sampler
from bus_toolkit.data.mixed_sources import MixedSources
from bus_toolkit.data.nlvr import NLVRDataset
from bus_toolkit.data.pack_regions import PackRegions
from bus_toolkit.data.pair_files import ImageTextPairs
from bus_toolkit.data.questions import QuestionAnswers
from bus_toolkit.data.referring import ReferringExpressions
from bus_toolkit.data.region_batches import RegionBatchSampler
from bus_toolkit.data.region_captions import RegionCaptionDataset
from bus_toolkit.data.scene_dataset import SceneDataset
from bus_toolkit.data.scene_tasks import SceneTask
from bus_toolkit.data.shards.load_image import LoadImageFromBytes
from bus_toolkit.data.shards.shard_dataset import ShardDataset
from bus_toolkit.data.shards.shuffled_shards import EndlessShardSampler, ShardShuffleSampler
from bus_toolkit.data.statements import Statements
from bus_toolkit.data.transforms import ColourJitter, RandomCropKeepNamed, RandomFlipWithText

__all__ = [
    "CaptionedImages",
    "ColourJitter",
    "EndlessShardSampler",
    "ImageTextPairs",
    "LoadImage",
    "LoadImageFromBytes",
    "MixedSources",
    "NLVRDataset",
    "PackRegions",
    "QuestionAnswers",
    "RandomCropKeepNamed",
    "RandomFlipWithText",
    "ReferringExpressions",
    "RegionBatchSampler",
    "RegionCaptionDataset",
    "SceneDataset",
    "SceneTask",
    "ShardDataset",
    "ShardShuffleSampler",
    "Statements",
    "mixed_batch_sampler",
]
