"""Find the image size in the data loaders of a config, and change it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from bus_toolkit.signatures import at

if TYPE_CHECKING:
    from bus_toolkit.data.scenes.generator_settings import GeneratorSettings

Size = tuple[int, int]
LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")
# Transforms that leave the size of an image alone.
_NEUTRAL = frozenset(
    "LoadImage LoadImageFromBytes LoadImageFromFile RandomFlip RandomFlipWithText RandomSwapImagesWithText "
    "AnswerLabel CleanText ColourEnhance ColourJitter ColorJitter RandAugmentWithBoxes PackRegions PackInputs".split()
)
# Transforms and the argument that holds the size they give: one number, or width and height.
_RESIZING = {
    "Resize": "scale",
    "RandomResizedCrop": "scale",
    "RandomResizedCropWithBoxes": "scale",
    "ResizeAndPad": "scale",
    "CenterCrop": "crop_size",
}

# Transforms that end a pipeline.
PACKING = frozenset({"PackRegions", "PackInputs"})

# Data sets of generated scenes.
_SCENES = frozenset({"SceneDataset", "SceneTask"})

# Transforms that apply others: to each image of a sample, or now and then.
_WRAPPERS = frozenset({"ApplyToList", "RandomApply"})


def resize_data(config: Mapping[str, Any], old: Size, new: Size) -> tuple[dict[str, Any], list[str]]:
    """Return the settings to change for images of another size, and the data loaders to check by hand.

    Recognised are mmpretrain's ``Resize``, ``RandomResizedCrop`` and ``CenterCrop`` and our
    ``RandomResizedCropWithBoxes`` to the old size, and generated scenes of that size in which everything grows with the
    picture: they are drawn again into a folder of their own. In needle scenes objects keep their size in pixels.

    Args:
        config: A whole config.
        old: Height and width in pixels that the model has.
        new: Those that it will have.

    Returns:
        New values by YAML path, and one sentence for each data loader in which nothing was recognised.
    """
    changes: dict[str, Any] = {}
    notes = []
    for name in LOADERS:
        if config.get(name) is None:
            continue
        loader_changes = dict(_changes(config[name], name, old, new))
        changes |= loader_changes
        if not loader_changes:
            notes.append(
                f"{name}: nothing in it was recognised as giving {pixels(old)} px. Make sure that images arrive at "
                f"{pixels(new)} px."
            )
    return changes, notes


def final_sizes(config: Mapping[str, Any]) -> Iterator[tuple[str, Size]]:
    """Yield the image size of each pipeline where it can be read: YAML path of its setting, height and width.

    It is the last of the transforms that give a size, if nothing after it can change that again; or the size
    of generated scenes that no transform touches.
    """
    for name in LOADERS:
        if config.get(name) is not None:
            yield from _final_sizes(config[name].get("dataset"), f"{name}.dataset")


def _final_sizes(node: Any, path: str, drawn: tuple[str, Size] | None = None) -> Iterator[tuple[str, Size]]:
    """Yield the sizes at the ends of the pipelines below a node, of whose images the ``drawn`` size may be known."""
    if isinstance(node, Mapping):
        if kind_of(node) in _SCENES:
            side = _settings_of_scenes(node).image_size
            drawn = at(path, "scenes"), (side, side)
        pipeline = node.get("pipeline")
        if isinstance(pipeline, list | tuple):
            touched, size = _size_after(pipeline, at(path, "pipeline"))
            # Nothing is known where a transform of unknown effect decides it, or where others follow outside.
            known = size if touched else drawn if any(kind_of(step) in PACKING for step in pipeline) else None
            if known is not None:
                yield known
        for key, child in node.items():
            if key != "pipeline":
                yield from _final_sizes(child, at(path, key), drawn)
    elif isinstance(node, list | tuple):
        for index, child in enumerate(node):
            yield from _final_sizes(child, at(path, index), drawn)


def _size_after(transforms: Sequence[Any], path: str) -> tuple[bool, tuple[str, Size] | None]:
    """Return whether any of these transforms may change the size, and the size that they give where that is known."""
    for index, transform in reversed(list(enumerate(transforms))):
        kind, here = kind_of(transform), at(path, index)
        key = _RESIZING.get(kind)
        if key is not None:
            side = _as_width_height(transform.get(key))
            if side is None or transform.get("keep_ratio"):
                return True, None
            return True, (at(here, key), (side[1], side[0]))
        if kind in _WRAPPERS and isinstance(transform.get("transforms"), list | tuple):
            touched, size = _size_after(transform["transforms"], at(here, "transforms"))
            if touched:
                return True, size if kind == "ApplyToList" else None
        elif kind not in _NEUTRAL:
            return True, None
    return False, None


def kind_of(node: Any) -> str:
    """Return the type of a node of a config, without its scope; empty where there is none."""
    return str(node.get("type", "")).rsplit(".", 1)[-1] if isinstance(node, Mapping) else ""


def pixels(size: Size) -> str:
    """Return a size as people write it: one number for a square, else ``HEIGHTxWIDTH``."""
    return str(size[0]) if size[0] == size[1] else f"{size[0]}x{size[1]}"


def _changes(node: Any, path: str, old: Size, new: Size) -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping):
        kind = kind_of(node)
        if kind in _SCENES:
            yield from _scenes(node, path, old, new)
        key = _RESIZING.get(kind, "")
        if _as_width_height(node.get(key)) == old[::-1]:
            yield at(path, key), list(new[::-1])
    children = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list) else ()
    for name, child in children:
        yield from _changes(child, at(path, name), old, new)


def _scenes(node: Mapping[str, Any], path: str, old: Size, new: Size) -> Iterator[tuple[str, Any]]:
    from bus_toolkit.data.scenes.families import family_of

    settings = _settings_of_scenes(node)
    side = settings.image_size
    if (side, side) != old or new[0] != new[1] or not family_of(settings).grows:
        return
    yield at(path, "scenes"), {**(node.get("scenes") or {}), "image_size": new[0]}
    # Scenes of other settings would be written over those that are there.
    folder = PurePath(node["data_root"])
    yield at(path, "data_root"), str(folder.with_name(f"{folder.name}_{new[0]}px"))


def _settings_of_scenes(node: Mapping[str, Any]) -> GeneratorSettings:
    from bus_toolkit.data.scenes.families import DEFAULT_FAMILY, parse_settings

    return parse_settings(node.get("family", DEFAULT_FAMILY), node.get("scenes"))


def _as_width_height(value: Any) -> tuple[Any, ...] | None:
    if isinstance(value, int):
        return (value, value)
    return tuple(value) if isinstance(value, list | tuple) else None
