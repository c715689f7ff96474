"""One picture of what one model or several kept of one image."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from bus_toolkit.errors import ConfigError
from bus_toolkit.inference import explain_models
from bus_toolkit.inference.pictures import MOST_ROWS
from tests.inference.toy import TEXTS


def test_texts_of_one_image_share_a_picture_side_by_side(inferencer, pictures, tmp_path):
    found = inferencer.explain(pictures[0], TEXTS[:2], out=tmp_path, side_by_side=True)
    assert {entry["picture"] for entry in found} == {str(tmp_path / "explain_000.png")}
    shown = inferencer.explain(pictures[0], TEXTS[:2], side_by_side=True)[1]["picture"]
    assert np.array_equal(np.array(Image.open(tmp_path / "explain_000.png").convert("RGB")), shown)
    with pytest.raises(ConfigError, match="side_by_side: is about the texts of one image, got 2 images"):
        inferencer.explain(pictures[:2], TEXTS[0], side_by_side=True)
    with pytest.raises(ConfigError, match=f"one picture holds at most {MOST_ROWS} texts, got {MOST_ROWS + 1}"):
        inferencer.explain(pictures[0], ["a"] * (MOST_ROWS + 1), side_by_side=True)


def test_several_models_have_a_column_each(inferencer, pictures, tmp_path):
    models = {"first": inferencer, "second": inferencer}
    found = explain_models(models, pictures[0], TEXTS[:2], out=tmp_path / "all.png")
    assert [(entry["model"], entry["text"]) for entry in found] == [
        (name, text) for name in models for text in TEXTS[:2]
    ]
    assert found[0]["kept"] == found[2]["kept"] and {entry["picture"] for entry in found} == {str(tmp_path / "all.png")}
    alone = explain_models({"first": inferencer}, pictures[0], TEXTS[:2])[0]["picture"]
    assert Image.open(tmp_path / "all.png").height > alone.shape[0], "a row for each text"
    (free, _) = explain_models(models, pictures[0])
    assert free["text"] is None
    with pytest.raises(ConfigError, match=f"at most {MOST_ROWS} texts, got 21 by 2 models. Ask about fewer"):
        explain_models(models, pictures[0], ["a"] * 21)
