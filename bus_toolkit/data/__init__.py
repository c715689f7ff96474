"""Where samples come from: the scene generator, readers, transforms, batch samplers and tokenizers.

Importing this package registers what MMEngine's Runner builds: data sets, transforms, samplers and batch samplers.
"""

from bus_toolkit.data.datasets.base import SampleDataset
from bus_toolkit.data.datasets.captioned_images import CaptionedImages
from bus_toolkit.data.datasets.conversations import Conversations
from bus_toolkit.data.datasets.image_text_pairs import ImageTextPairs
from bus_toolkit.data.datasets.labelled_images import LabelledImages
from bus_toolkit.data.datasets.mixed_sources import MixedSources
from bus_toolkit.data.datasets.nlvr import NLVRDataset
from bus_toolkit.data.datasets.question_answers import QuestionAnswers
from bus_toolkit.data.datasets.referring_expressions import ReferringExpressions
from bus_toolkit.data.datasets.region_captions import RegionCaptionDataset
from bus_toolkit.data.datasets.scene_dataset import SceneDataset
from bus_toolkit.data.datasets.scene_task import SceneTask
from bus_toolkit.data.datasets.statements import Statements
from bus_toolkit.data.datasets.texts_of_image import TextsOfImage, collate_texts_of_images
from bus_toolkit.data.samplers.evenly_spaced import EvenlySpacedSampler
from bus_toolkit.data.samplers.mixed_batch_sampler import mixed_batch_sampler
from bus_toolkit.data.samplers.region_batch_sampler import RegionBatchSampler
from bus_toolkit.data.samplers.shard_samplers import EndlessShardSampler, ShardShuffleSampler
from bus_toolkit.data.shards.shard_dataset import ShardDataset
from bus_toolkit.data.transforms.answer_label import AnswerLabel
from bus_toolkit.data.transforms.augment import RandomFlipWithText, RandomSwapImagesWithText
from bus_toolkit.data.transforms.clean import CleanText
from bus_toolkit.data.transforms.colours import ColourEnhance, ColourJitter
from bus_toolkit.data.transforms.crops import RandomCropKeepNamed, RandomResizedCropWithBoxes
from bus_toolkit.data.transforms.load import LoadImage, LoadImageFromBytes
from bus_toolkit.data.transforms.pack import PackRegions
from bus_toolkit.data.transforms.pad import ResizeAndPad
from bus_toolkit.data.transforms.rand_augment import RandAugmentWithBoxes

__all__ = [
    "AnswerLabel",
    "CaptionedImages",
    "CleanText",
    "ColourEnhance",
    "ColourJitter",
    "Conversations",
    "EndlessShardSampler",
    "EvenlySpacedSampler",
    "ImageTextPairs",
    "LabelledImages",
    "LoadImage",
    "LoadImageFromBytes",
    "MixedSources",
    "NLVRDataset",
    "PackRegions",
    "QuestionAnswers",
    "RandAugmentWithBoxes",
    "RandomCropKeepNamed",
    "RandomFlipWithText",
    "RandomResizedCropWithBoxes",
    "RandomSwapImagesWithText",
    "ReferringExpressions",
    "RegionBatchSampler",
    "RegionCaptionDataset",
    "ResizeAndPad",
    "SampleDataset",
    "SceneDataset",
    "SceneTask",
    "ShardDataset",
    "ShardShuffleSampler",
    "Statements",
    "TextsOfImage",
    "collate_texts_of_images",
    "mixed_batch_sampler",
]
