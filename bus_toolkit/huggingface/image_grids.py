"""How many visual tokens each image of a batch has, and in which rows and columns they lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from bus_toolkit.huggingface.visual_places import Grid

Images = Callable[[Any, Mapping[str, Any], Tensor], list[Grid] | None]


def visual_ids(config: Any) -> tuple[int, ...]:
    """Return the ids of tokens that hold visual features."""
    names = ("image_token_id", "image_token_index", "video_token_id", "video_token_index")
    return tuple(dict.fromkeys(one for one in (getattr(config, name, None) for name in names) if one is not None))


def no_grid(config: Any, arguments: Mapping[str, Any], input_ids: Tensor) -> list[Grid] | None:
    """Say nothing, for families that cut images and put marks between the lines."""
    return None


def one(config: Any) -> float:
    """Return that a side has as many tokens as patches."""
    return 1.0


@dataclass(frozen=True)
class AllAlike:
    """Images (or tiles, or frames) that all have the size of the config.

    Args:
        shrink: Returns by how much a side in tokens is shorter than one in patches, in (0, 1].
    """

    shrink: Callable[[Any], float] = one

    def __call__(self, config: Any, arguments: Mapping[str, Any], input_ids: Tensor) -> list[Grid] | None:
        """Return their grids."""
        sizes, patches = _pair(config.vision_config.image_size), _pair(config.vision_config.patch_size)
        rows, columns = (round(size // patch * self.shrink(config)) for size, patch in zip(sizes, patches, strict=True))
        count, left = divmod(int((input_ids == visual_ids(config)[0]).sum()), rows * columns)
        # A tower of another kind, or one that also gives its class token, has images of other sizes.
        return None if left else [(rows, columns)] * count


def by_grid_thw(config: Any, arguments: Mapping[str, Any], input_ids: Tensor) -> list[Grid] | None:
    """Return images and frames of models that say time, height and width of each in patches.

    ``generate`` of transformers 5 encodes images before it calls the model and does not say their sizes then; they are
    read off the positions, which go by time, height and width.
    """
    positions = arguments.get("position_ids")
    if arguments.get("image_grid_thw") is None and arguments.get("video_grid_thw") is None and positions is not None:
        return _by_positions(positions, input_ids, visual_ids(config)) if positions.dim() == 3 else None
    merge = config.vision_config.spatial_merge_size
    sizes = {
        config.image_token_id: _frames(arguments.get("image_grid_thw"), merge),
        config.video_token_id: _frames(arguments.get("video_grid_thw"), merge),
    }
    # Which comes next in the text is known by its token. Frames of a video lie one after the other, with or without
    # text between them.
    flat = input_ids[(input_ids == config.image_token_id) | (input_ids == config.video_token_id)].tolist()
    found: list[Grid] = []
    at = 0
    while at < len(flat):
        if not sizes[flat[at]]:
            return None
        found.append(sizes[flat[at]].pop(0))
        at += found[-1][0] * found[-1][1]
    return found


def _by_positions(positions: Tensor, input_ids: Tensor, visual: tuple[int, ...]) -> list[Grid]:
    """Return the grid of each frame from positions (3 or 4, B, W), the last three of them time, height and width.

    A frame ends where a text begins, the time changes or the height falls.
    """
    found: list[Grid] = []
    for row, ids in enumerate(input_ids.tolist()):
        frame: list[list[int]] = []
        for token, place in zip([*ids, None], [*positions[-3:, row].T.tolist(), []], strict=True):
            if frame and (token not in visual or place[0] != frame[-1][0] or place[1] < frame[-1][1]):
                found.append((frame[-1][1] - frame[0][1] + 1, frame[-1][2] - frame[0][2] + 1))
                frame = []
            if token in visual:
                frame.append(place)
    return found


def _frames(grids: Tensor | None, merge: int) -> list[Grid]:
    if grids is None:
        return []
    return [(rows // merge, columns // merge) for times, rows, columns in grids.tolist() for _ in range(times)]


def _pair(size: Any) -> tuple[int, int]:
    return (size[0], size[1]) if isinstance(size, (list, tuple)) else (size, size)
