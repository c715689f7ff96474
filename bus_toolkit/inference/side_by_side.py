"""What one model or several kept of one image under several texts, in one picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bus_toolkit.errors import ConfigError, DataError
from bus_toolkit.inference.explanation import Explanation, check_target, explanations_of, pictures_of
from bus_toolkit.inference.inputs import ImageInput
from bus_toolkit.inference.pictures import MOST_ROWS
from bus_toolkit.inference.predictor import Predictor
from bus_toolkit.visualization.side_by_side import draw_side_by_side, render_side_by_side

WHERE = "Inferencer.explain.side_by_side"


def explain_side_by_side(
    models: Mapping[str, Predictor], images: list[ImageInput], texts: list[str] | None, out: Path | None
) -> list[Explanation]:
    """Return an ``Explanation`` of the image under each text by each model in turn; all have the same picture.

    Args:
        models: By the names that the picture shows, if there are several.
        images: One, as often as there are texts.
        texts: ``None`` is the pass without text.
        out: A folder or a ``.png``; ``None`` gives the picture as pixels.

    Raises:
        ConfigError: ``out`` is neither, or there are several images or too many texts.
        DataError: An image that cannot be used, or a path that cannot be written to.
    """
    if len(images) * len(models) > MOST_ROWS:
        by = f" by {len(models)} models" if len(models) > 1 else ""
        raise ConfigError(
            f"{WHERE}: one picture holds at most {MOST_ROWS} texts, got {len(images)}{by}. Ask about fewer at a time."
        )
    if any(image is not images[0] for image in images):
        raise ConfigError(
            f"{WHERE}: is about the texts of one image, got {len(images)} images. Give one image, or leave it out."
        )
    if out is not None:
        check_target(out, 1)
    explained = {name: explanations_of(predictor, images, texts) for name, predictor in models.items()}
    pictures = {name: pictures_of(*of_model) for name, of_model in explained.items()}
    explanations = [entry for entries, _ in explained.values() for entry in entries]
    picture: Any
    if out is None:
        picture = render_side_by_side(pictures)
    else:
        path = out if out.suffix.lower() == ".png" else out / "explain_000.png"
        try:
            picture = str(draw_side_by_side(pictures, path))
        except OSError as error:
            raise DataError(f"Inferencer.explain.out: cannot write to {out}: {error}. Give another path.") from error
    for entry in explanations:
        entry["picture"] = picture
    return explanations
