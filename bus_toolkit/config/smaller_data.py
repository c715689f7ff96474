"""The images of a config in fewer pixels: the same pictures, seen through a smaller model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bus_toolkit.config.image_size import LOADERS, PACKING, Size, kind_of, pixels
from bus_toolkit.signatures import at


def shrink_data(config: Mapping[str, Any], size: Size) -> tuple[dict[str, Any], list[str]]:
    """Return the settings under which images arrive in ``size``, and the data loaders to check by hand.

    Each pipeline makes its image at the full size as before, augmented alike, and then reduces it, with its boxes: a
    pixel is the mean of the area that it replaces, since other interpolations leave out pixels or mix them up. This is
    fair to a baseline of fewer pixels; ``resize_data`` draws or cuts out at the new size instead.

    Args:
        config: A whole config.
        size: Height and width in pixels, at most those of the images.

    Returns:
        New values by YAML path, whole pipelines, and a sentence for each data loader with images that are not reduced.
    """
    changes: dict[str, Any] = {}
    notes = []
    for name in LOADERS:
        if config.get(name) is None:
            continue
        pipelines = dict(_pipelines(config[name], name, size))
        reduced = {path: steps for path, steps in pipelines.items() if steps is not None}
        changes |= reduced
        if not reduced or len(reduced) < len(pipelines):
            which = "no pipeline that packs single images" if not reduced else "not every pipeline"
            notes.append(f"{name}: {which} was recognised. Make sure that images arrive at {pixels(size)} px.")
    return changes, notes


def _pipelines(node: Any, path: str, size: Size) -> Iterator[tuple[str, list[Any] | None]]:
    """Yield the path of each pipeline that packs, and its new steps; ``None`` where it packs several images a text."""
    children = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list | tuple) else ()
    for name, child in children:
        if name == "pipeline" and isinstance(child, list | tuple):
            packing = next((index for index, step in enumerate(child) if kind_of(step) in PACKING), None)
            if packing is not None and any(kind_of(step) == "ApplyToList" for step in child):
                yield at(path, name), None
            elif packing is not None:
                height, width = size
                step = {"type": "mmpretrain.Resize", "scale": [width, height], "interpolation": "area"}
                yield at(path, name), [*child[:packing], step, *child[packing:]]
        else:
            yield from _pipelines(child, at(path, name), size)
