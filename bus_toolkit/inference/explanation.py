"""Which patches of an image a model read under a text: as plain figures and as a picture.

Dims: B pairs, N patches of the image, n tokens that a selector saw.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from bus_toolkit.errors import ConfigError, DataError
from bus_toolkit.structures import Selection, VisualTokens
from bus_toolkit.visualization.kept_patches import PatchPicture, draw_kept_patches

# A taller PNG would pass the 65,536 pixels that can be drawn.
MOST_ROWS = 40


def explain_batch(visual: VisualTokens) -> list[dict[str, Any]]:
    """Return what was read of each image of a batch.

    Args:
        visual: The images under their texts, behind the decoder.

    Returns:
        One dict an image. ``grid``: rows and columns of patches. ``kept``: bools in rows and columns, the patch is left
        as a token of its own. ``selectors``: in order, each with ``block``, ``tokens`` behind it (with the global
        token) and ``scores`` in rows and columns, the score of the token that the patch was in, ``None`` where it was
        gone before. ``tokens``: the counts by stage, with the global token.
    """
    kept = _rows(visual.kept_patches(), visual.grid)
    scores = [_rows(_patch_scores(selection), visual.grid) for selection in visual.selections]
    stages = {"patches": visual.num_prefix + visual.grid[0] * visual.grid[1]}
    stages |= {f"block {s.block}": s.decision.plan.num_slots + visual.num_prefix for s in visual.selections}
    stages["decoder"] = visual.embeds.shape[1]
    return [
        {
            "grid": list(visual.grid),
            "kept": kept[row],
            "selectors": [
                {
                    "block": selection.block,
                    "tokens": stages[f"block {selection.block}"],
                    "scores": _numbers(values[row]),
                }
                for selection, values in zip(visual.selections, scores, strict=True)
            ],
            "tokens": dict(stages),
        }
        for row in range(visual.embeds.shape[0])
    ]


def draw(found: Sequence[dict[str, Any]], inputs: Sequence[Tensor], out: Path | None) -> None:
    """Draw each entry of ``found`` and say under ``picture`` where: the path of a PNG, or without ``out`` its pixels.

    Args:
        found: Entries of ``explain_batch`` with their ``text``.
        inputs: The images, uint8 (3, H, W), blue green red.
        out: A ``.png`` for all of them, one below the other, or a folder for ``explain_<number>.png``.

    Raises:
        ConfigError: ``out`` is a file of another kind.
        DataError: It cannot be written.
    """
    pictures = [_picture(entry, image) for entry, image in zip(found, inputs, strict=True)]
    if out is None:
        with tempfile.TemporaryDirectory() as folder:
            for entry, picture in zip(found, pictures, strict=True):
                entry["picture"] = _pixels(draw_kept_patches([picture], Path(folder) / "picture.png"))
        return
    check_target(out, len(pictures))
    is_png = out.suffix.lower() == ".png"
    try:
        together = draw_kept_patches(pictures, out) if is_png else None
        for number, (entry, picture) in enumerate(zip(found, pictures, strict=True)):
            entry["picture"] = str(together or draw_kept_patches([picture], out / f"explain_{number:03d}.png"))
    except OSError as error:
        raise DataError(f"Inferencer.explain.out: cannot write to {out}: {error}. Give another place.") from error


def check_target(out: Path, count: int) -> None:
    """Refuse a place for pictures before anything is computed.

    Raises:
        ConfigError: A file that is no ``.png``, or too many pictures for one.
    """
    is_png = out.suffix.lower() == ".png"
    if not is_png and (out.is_file() or (out.suffix and not out.is_dir())):
        raise ConfigError(f"Inferencer.explain.out: must be a folder or a .png, got {out}.")
    if is_png and count > MOST_ROWS:
        raise ConfigError(
            f"Inferencer.explain.out: one PNG holds at most {MOST_ROWS} images below each other, got {count}. Give a "
            "folder."
        )


def _picture(entry: dict[str, Any], image: Tensor) -> PatchPicture:
    sample = {"patch_grid": entry["grid"], "kept": np.array(entry["kept"]), "text": entry["text"] or "(no text)"}
    if entry["selectors"]:
        scores = entry["selectors"][0]["scores"]
        sample["scores"] = np.array(scores, dtype=np.float32)
    return PatchPicture.from_prediction(image, sample)


def _patch_scores(selection: Selection) -> Tensor:
    """Return the scores (B, n) of a selector as scores of original patches (B, N); NaN for those that were gone."""
    before = selection.slots_before
    scores = selection.decision.scores.float().gather(1, before.clamp(min=0))
    return scores.masked_fill(before < 0, float("nan"))


def _rows(values: Tensor, grid: tuple[int, int]) -> list[list[list[Any]]]:
    return values.unflatten(1, grid).tolist()


def _numbers(rows: list[list[float]]) -> list[list[float | None]]:
    """Put ``None``, which JSON knows, for what is no number."""
    return [[value if np.isfinite(value) else None for value in row] for row in rows]


def _pixels(path: Path) -> np.ndarray:
    """Return a PNG as uint8 RGB (H, W, 3)."""
    from PIL import Image

    with Image.open(path) as image:
        return np.array(image.convert("RGB"))
