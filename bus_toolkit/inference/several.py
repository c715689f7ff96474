"""Several trained models asked about one image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bus_toolkit.home import expand_home
from bus_toolkit.inference.explanation import Explanation
from bus_toolkit.inference.inferencer import Inferencer
from bus_toolkit.inference.inputs import as_images, as_texts, pair_up
from bus_toolkit.inference.results import Pictures
from bus_toolkit.inference.side_by_side import explain_side_by_side


def explain_models(
    models: Mapping[str, Inferencer],
    image: Any,
    texts: str | Sequence[str] | None = None,
    out: str | Path | None = None,
) -> list[Explanation]:
    """Show what several models read of one image under each text: a picture with a column for each of them.

    Args:
        models: By their names in the picture.
        image: One.
        texts: One or several; ``None`` shows the pass without text.
        out: The path for the picture: a ``.png`` or a folder. ``None`` returns it.

    Returns:
        One ``Explanation`` a model and text, the texts of the first model first, with the name in ``model``.
    """
    shown, words = (as_images(image), None) if texts is None else pair_up(as_images(image), as_texts(texts))
    predictors = {name: model._predictor for name, model in models.items()}
    found = explain_side_by_side(predictors, shown, words, None if out is None else expand_home(out))
    names = [name for name in models for _ in shown]
    return Pictures(Explanation({"model": name} | entry) for name, entry in zip(names, found, strict=True))
