"""Pictures of the patches that a model kept, over the images as the user gave them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bus_toolkit.data.transforms.decode import MAX_PIXELS
from bus_toolkit.errors import DataError, describe
from bus_toolkit.inference.inputs import as_images
from bus_toolkit.structures import VisualTokens
from bus_toolkit.visualization.kept_patches import PatchPicture, render_kept_patches

if TYPE_CHECKING:
    from PIL.Image import Image

# A taller picture would pass the 65,536 pixels that can be drawn.
MOST_ROWS = 40


def draw_kept(
    images: Any, visual: VisualTokens, texts: Sequence[str] | str | None = None, out: str | Path | None = None
) -> Image:
    """Draw which patches were kept, and what the first selector ranked them by; a notebook shows what it returns.

    Args:
        images: The images of ``visual`` as they were given (paths, PIL images, arrays uint8), resized as a whole for
            the model: the patch grid lies over the whole picture.
        visual: What a backbone or ``VLPModel.encode`` returned for them.
        texts: What was asked, as titles.
        out: A PNG to write too.

    Raises:
        DataError: ``visual`` is something else; another number of images or texts than it has, above 40; or a path that
            cannot be written.
    """
    from PIL import Image

    if not isinstance(visual, VisualTokens):
        raise DataError(f"draw_kept: visual must be VisualTokens, which model.encode returns, got {describe(visual)}.")
    given = as_images(images)
    words = ["(no text)"] if texts is None else [texts] if isinstance(texts, str) else list(texts)
    words = words * len(given) if len(words) == 1 else words
    kept = visual.kept
    if not len(given) == len(words) == len(kept) or len(given) > MOST_ROWS:
        raise DataError(
            f"draw_kept: needs an image and a text for each row of visual, {len(kept)}, and at most {MOST_ROWS} rows, "
            f"got {len(given)} images and {len(words)} texts. Give one of each for every row."
        )
    scores = visual.selections[0].patch_scores() if visual.selections else None
    pictures = [
        PatchPicture(
            image=np.ascontiguousarray(image.read(MAX_PIXELS).pixels[:, :, ::-1]),
            caption=text,
            grid=kept.grid,
            kept=kept.mask[row].cpu().numpy(),
            scores=None if scores is None else scores[row].float().cpu().numpy(),
        )
        for row, (image, text) in enumerate(zip(given, words, strict=True))
    ]
    picture = Image.fromarray(render_kept_patches(pictures))
    if out is not None:
        try:
            picture.save(out, "PNG")
        except OSError as error:
            raise DataError(f"draw_kept.out: cannot write to {out}: {error}. Give another path.") from error
    return picture


def png_of(pixels: np.ndarray) -> bytes:
    """Return pixels uint8 RGB (H, W, 3) as the bytes of a PNG."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()
