"""Pairs from the web that img2dataset has downloaded into tar shards: checked, counted, linked and indexed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from bus_toolkit.data.preparation.counts import Count
from bus_toolkit.data.preparation.recipe import Conversion, Download, Recipe, Wanted
from bus_toolkit.data.shards.index_files import load_index
from bus_toolkit.errors import DataError

PAIRS = "train: pairs"
LEFT_OUT = "train: members that are no sample"
_SHARDS = "**/*.tar"
_VALIDATION = "val"  # in the names of shards that are not for training
_USAGE = (
    "dataset: {{type: ShardDataset, shards: '{out}/train-*.tar', with_boxes: false, max_bad_samples: 1000}}",
    "as one of several sources: registry_configs/_base_/data_4m_256.yaml",
)


def web_recipe(name: str, title: str, page: str, listing: str, pairs: int) -> Recipe:
    """Return the recipe of a data set that is published as addresses and captions.

    Args:
        name: Of the recipe.
        title: For a person.
        page: Its official page.
        listing: The published file of addresses and captions.
        pairs: Pairs in it; addresses die, so that fewer arrive.
    """
    origin = (
        f"{listing} of {page}, then img2dataset --url_list FILE --output_format webdataset --output_folder THIS FOLDER "
        "(images as files, each with a .txt of its name: bus-toolkit shards OUT --folder THIS FOLDER)"
    )
    counts = (Count(PAIRS, pairs, sure=False),)
    return Recipe(name, title, page, lambda _: Conversion((Wanted(_SHARDS, origin),), counts, _convert(name), _USAGE))


def _convert(name: str) -> Callable[[Download, Path], Mapping[str, int]]:
    def convert(source: Download, out: Path) -> Mapping[str, int]:
        """Link each shard as ``train-<number>.tar`` and write its index beside the link."""
        shards = [path for path in sorted(source.root.glob(_SHARDS)) if _VALIDATION not in path.stem.lower()]
        pairs = left_out = 0
        for number, shard in enumerate(shards):
            link = out / f"train-{number:06d}.tar"
            link.symlink_to(shard.resolve())
            try:
                index = load_index(link)
            except DataError as error:  # it names the link, in a folder that goes away with the failure
                raise DataError([replace(problem, path=str(shard)) for problem in error.problems]) from error
            pairs, left_out = pairs + len(index), left_out + len(index.left_out)
        if not pairs:
            raise DataError(
                f"{name}: {source.root}: {len(shards)} shards for training, and no pair in them. A sample is an image "
                "and a .txt or .json of the same name. Fetch the shards again."
            )
        return {PAIRS: pairs, LEFT_OUT: left_out}

    return convert
