"""Procedural scenes as a data set that writes itself on first use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bus_toolkit.data.datasets.region_captions import RegionCaptionDataset
from bus_toolkit.data.scenes.cache import prepare_scenes, scene_folder
from bus_toolkit.data.scenes.families import DEFAULT_FAMILY, family_of, parse_settings
from bus_toolkit.data.scenes.generator_settings import GeneratorSettings
from bus_toolkit.data.transforms.blind import refuse_mirrors
from bus_toolkit.ops.shared_work import for_all_ranks, is_first_of_machine
from bus_toolkit.registry import DATASETS


@DATASETS.register_module()
class SceneDataset(RegionCaptionDataset):
    """Read generated scenes through mmpretrain's ``COCORetrieval``; write them below ``data_root`` if not there.

    Of several processes on a machine the first one writes and the others wait. Slot: ``dataset`` of a data loader.

    Args:
        data_root: Folder of the scenes; made if missing.
        split: ``train``, ``val`` (for choices during development) or ``test``.
        num_images: Number of scenes.
        family: As in ``SceneTask``. Needle scenes have no descriptions: a row for patch-text supervision shows its
            caption.
        scenes: As in ``SceneTask``.
        pipeline: As in ``RegionCaptionDataset``.
        box_fraction: As in ``RegionCaptionDataset``.
        box_seed: As in ``RegionCaptionDataset``.
        max_bad_samples: As in ``RegionCaptionDataset``.

    Raises:
        ConfigError: A family or a scene setting that does not exist, or one that is out of range.
        DataError: A folder that cannot be written or is not ours, a transform that mirrors needle scenes, and all of
            ``RegionCaptionDataset``.
    """

    def __init__(
        self,
        data_root: str,
        split: str,
        num_images: int,
        *,
        pipeline: Sequence[Mapping[str, Any]] = (),
        family: str = DEFAULT_FAMILY,
        scenes: Mapping[str, Any] | None = None,
        box_fraction: float = 1.0,
        box_seed: int = 0,
        max_bad_samples: int = 10,
    ) -> None:
        settings = parse_settings(family, scenes)
        if not family_of(settings).mirrors:
            refuse_mirrors(pipeline, "SceneDataset")
        folder = prepare_once(data_root, split, num_images, settings)
        descriptions = folder / f"descriptions_{split}.json"
        reader = {
            "type": "mmpretrain.COCORetrieval",
            "data_root": str(folder),
            "ann_file": f"captions_{split}.json",
        }
        super().__init__(
            reader,
            pipeline,
            instances_file=str(folder / f"instances_{split}.json"),
            regions_file=str(folder / f"regions_{split}.json"),
            descriptions_file=str(descriptions) if descriptions.exists() else None,
            box_fraction=box_fraction,
            box_seed=box_seed,
            max_bad_samples=max_bad_samples,
        )
        self.words = settings.words()


def prepare_once(data_root: str, split: str, num_images: int, settings: GeneratorSettings) -> Path:
    """Return the folder of scenes, written by the first process of each machine; all go on, or fail, together."""
    for_all_ranks(lambda: prepare_scenes(data_root, split, num_images, settings), here=is_first_of_machine())
    return scene_folder(data_root, split, num_images)
