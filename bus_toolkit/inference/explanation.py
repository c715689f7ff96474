"""Which patches of an image a model read under a text: as plain figures and as a picture.

Dims: B pairs, N patches of the image, n tokens that a selector saw.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bus_toolkit.errors import ConfigError, DataError
from bus_toolkit.inference.inputs import ImageInput
from bus_toolkit.inference.numbers import refuse_nan
from bus_toolkit.inference.pictures import MOST_ROWS, png_of
from bus_toolkit.inference.predictor import Predictor
from bus_toolkit.structures import Condition, VisualTokens
from bus_toolkit.visualization.kept_patches import PatchPicture, draw_kept_patches, render_kept_patches


class Explanation(dict[str, Any]):
    """The patches that a model read of one image: a plain dict, which prints as a summary.

    Keys: ``image`` and ``text``. ``grid``: rows and columns of patches. ``kept``: bools in rows and columns, the patch
    is left as a token of its own. ``selectors``: in order, each with ``block``, ``tokens`` after it (with the global
    token), ``kept`` after it, and ``scores`` in rows and columns, the score of the token that the patch was in,
    ``None`` if it was removed before. ``tokens``: the counts by stage, with the global token. ``picture``: the
    path of a PNG, or its pixels uint8 RGB (H, W, 3).
    """

    def _repr_png_(self) -> bytes | None:
        """Return the picture for a notebook, which shows it under the cell."""
        picture = self.get("picture")
        if isinstance(picture, str) and Path(picture).is_file():
            return Path(picture).read_bytes()
        return png_of(picture) if isinstance(picture, np.ndarray) else None

    def __repr__(self) -> str:
        """Return the names, the counts and the kept patches, one row of the grid a line (``#`` kept, ``.`` removed)."""
        kept = self.get("kept", [])
        count, total = sum(map(sum, kept)), sum(map(len, kept))
        tokens = ", ".join(f"{stage} {number}" for stage, number in self.get("tokens", {}).items())
        rows = ["".join("#" if patch else "." for patch in row) for row in kept]
        head = f"{self.get('image')}, {self.get('text')!r}: {count} of {total} patches kept; tokens: {tokens}"
        return "\n  ".join([f"Explanation({head}", *rows]) + ")"


def explain_batch(visual: VisualTokens) -> list[dict[str, Any]]:
    """Return for each image of a batch the keys of ``Explanation`` that need no name or picture.

    Args:
        visual: The images under their texts, after the decoder.

    Raises:
        ComponentError: Scores of a selector are NaN.
    """
    # Values of the N patches become rows and columns of the grid, as plain lists: (B, N) -> B x rows x columns.
    kept = [_rows(mask, visual.grid) for mask in visual.kept_by_stage()]
    for selection in visual.selections:
        refuse_nan(selection.decision.scores, f"the scores of the selector at block {selection.block}")
    scores = [_rows(selection.patch_scores(), visual.grid) for selection in visual.selections]
    stages = {"patches": visual.num_prefix + visual.grid[0] * visual.grid[1]}
    stages |= {f"block {s.block}": s.decision.plan.num_slots + visual.num_prefix for s in visual.selections}
    stages["decoder"] = visual.embeds.shape[1]
    return [
        {
            "grid": list(visual.grid),
            "kept": kept[-1][row],
            "selectors": [
                {
                    "block": selection.block,
                    "tokens": stages[f"block {selection.block}"],
                    "kept": after[row],
                    "scores": _numbers(values[row]),
                }
                for selection, after, values in zip(visual.selections, kept[1:], scores, strict=True)
            ],
            "tokens": dict(stages),
        }
        for row in range(visual.embeds.shape[0])
    ]


def explain(
    predictor: Predictor, images: list[ImageInput], texts: list[str] | None, out: Path | None
) -> list[Explanation]:
    """Return an ``Explanation`` of each image under its text, or of the pass without text, drawn to ``out``.

    Raises:
        ConfigError: ``out`` is neither a folder nor a PNG.
        DataError: An image that cannot be used, or a path that cannot be written to.
    """
    if out is not None:
        check_target(out, len(images))
    explanations, inputs = explanations_of(predictor, images, texts)
    draw(explanations, inputs, out)
    return explanations


@torch.no_grad()
def explanations_of(
    predictor: Predictor, images: list[ImageInput], texts: list[str] | None
) -> tuple[list[Explanation], list[Tensor]]:
    """Return an ``Explanation`` without picture of each image, and the images as the model saw them.

    Args:
        predictor: The model.
        images: As many as texts.
        texts: ``None`` is the pass without text.

    Returns:
        The explanations, and the images uint8 (3, H, W), blue green red.

    Raises:
        DataError: An image that cannot be used.
    """
    condition = Condition.FREE if texts is None else Condition.CAPTION
    explanations: list[Explanation] = []
    inputs: list[Tensor] = []
    for chunk, batch in predictor.batches(images, texts):
        rows = explain_batch(predictor.step(batch).reduced(condition))
        for image, sample, row in zip(chunk, batch["data_samples"], rows, strict=True):
            explanations.append(Explanation({"image": image.name, "text": sample.text if texts else None} | row))
        inputs += batch["inputs"]
    return explanations, inputs


def draw(explanations: Sequence[dict[str, Any]], inputs: Sequence[Tensor], out: Path | None) -> None:
    """Draw each explanation and set its ``picture``: the path of a PNG, or without ``out`` its pixels.

    Args:
        explanations: One an image.
        inputs: The images, uint8 (3, H, W), blue green red.
        out: A ``.png`` for all of them, one below the other, or a folder for ``explain_<number>.png``.

    Raises:
        ConfigError: ``out`` is a file of another kind.
        DataError: It cannot be written.
    """
    pictures = pictures_of(explanations, inputs)
    if out is None:
        for entry, picture in zip(explanations, pictures, strict=True):
            entry["picture"] = render_kept_patches([picture])
        return
    check_target(out, len(pictures))
    is_png = out.suffix.lower() == ".png"
    try:
        together = draw_kept_patches(pictures, out) if is_png else None
        for number, (entry, picture) in enumerate(zip(explanations, pictures, strict=True)):
            entry["picture"] = str(together or draw_kept_patches([picture], out / f"explain_{number:03d}.png"))
    except OSError as error:
        raise DataError(f"Inferencer.explain.out: cannot write to {out}: {error}. Give another path.") from error


def check_target(out: Path, count: int) -> None:
    """Refuse a path for pictures before anything is computed.

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


def pictures_of(explanations: Sequence[dict[str, Any]], inputs: Sequence[Tensor]) -> list[PatchPicture]:
    """Return what is drawn of each explanation and its image."""
    return [_picture(entry, image) for entry, image in zip(explanations, inputs, strict=True)]


def _picture(entry: dict[str, Any], image: Tensor) -> PatchPicture:
    sample = {"patch_grid": entry["grid"], "kept": np.array(entry["kept"]), "text": entry["text"] or "(no text)"}
    if entry["selectors"]:
        scores = entry["selectors"][0]["scores"]
        sample["scores"] = np.array(scores, dtype=np.float32)
    return PatchPicture.from_prediction(image, sample)


def _rows(values: Tensor, grid: tuple[int, int]) -> list[list[list[Any]]]:
    return values.unflatten(1, grid).tolist()


def _numbers(rows: list[list[float]]) -> list[list[float | None]]:
    """Replace values that are no numbers by ``None``, which JSON knows."""
    return [[value if np.isfinite(value) else None for value in row] for row in rows]
