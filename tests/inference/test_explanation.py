"""Which patches were read: figures worked out by hand, and pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from bus_toolkit.errors import ComponentError, ConfigError
from bus_toolkit.inference.explanation import MOST_ROWS, check_target, explain_batch
from bus_toolkit.ops.make_plans import keep_plan
from bus_toolkit.structures import Decision, Selection, VisualTokens
from tests.inference.toy import TEXTS


def two_stages():
    """Four patches in one row: patch 1 goes at block 2, patch 0 at block 5; a decoder leaves one token."""
    first = torch.tensor([[0.3, 0.1, 0.4, 0.2]])
    second = torch.tensor([[-1.0, 5.0, 2.0]])  # of the patches 0, 2, 3
    start = torch.arange(4).unsqueeze(0)
    selections = [
        Selection(Decision(keep_plan(first, 3), first, True), 2, start),
        Selection(Decision(keep_plan(second, 2), second, True), 5, torch.tensor([[0, -1, 1, 2]])),
    ]
    return VisualTokens(torch.zeros(1, 2, 8), 1, (1, 4), selections)


def test_the_figures_of_two_selectors():
    (found,) = explain_batch(two_stages())
    assert found["grid"] == [1, 4]
    assert found["kept"] == [[False, False, True, True]]
    assert found["tokens"] == {"patches": 5, "block 2": 4, "block 5": 3, "decoder": 2}
    first, second = found["selectors"]
    assert (first["block"], first["tokens"], second["block"], second["tokens"]) == (2, 4, 5, 3)
    assert first["scores"] == [pytest.approx([0.3, 0.1, 0.4, 0.2])]
    assert second["scores"] == [[-1.0, None, 5.0, 2.0]]


def test_scores_that_are_nan_are_an_error_and_no_picture():
    visual = two_stages()
    visual.selections[1].decision.scores[0, 1] = float("nan")
    with pytest.raises(ComponentError, match=r"the scores of the selector at block 5 must be numbers, got NaN"):
        explain_batch(visual)


def test_the_text_decides_and_none_is_the_pass_without_text(inferencer, pictures):
    under = inferencer.explain([pictures[0]] * 3, TEXTS)
    assert [entry["text"] for entry in under] == list(TEXTS)
    assert under[0]["selectors"][0]["scores"] != under[1]["selectors"][0]["scores"]
    (free,) = inferencer.explain(pictures[0])
    assert free["text"] is None and free["selectors"][0]["scores"] != under[0]["selectors"][0]["scores"]
    for entry in [*under, free]:
        assert np.shape(entry["kept"]) == (4, 4) == tuple(entry["grid"])
        # 16 patches; 8, then 4 of them and one token of the others each; 3 queries. One more: the global token.
        assert entry["tokens"] == {"patches": 17, "block 1": 10, "block 3": 6, "decoder": 4}
        # The token of the others may be one of the four.
        assert np.sum(entry["kept"]) in (3, 4)


@pytest.mark.slow
def test_pictures_are_arrays_files_in_a_folder_or_one_file(inferencer, pictures, tmp_path):
    arrays = [entry["picture"] for entry in inferencer.explain(pictures[:2], TEXTS[0])]
    found = inferencer.explain(pictures[:2], TEXTS[0], out=tmp_path / "folder")
    for number, (array, entry) in enumerate(zip(arrays, found, strict=True)):
        assert entry["picture"] == str(tmp_path / "folder" / f"explain_{number:03d}.png")
        assert array.dtype == np.uint8 and array.ndim == 3
        assert np.array_equal(np.array(Image.open(entry["picture"]).convert("RGB")), array)
    assert not np.array_equal(arrays[0], arrays[1])
    together = inferencer.explain(pictures[:2], TEXTS[0], out=tmp_path / "all.png")
    assert {entry["picture"] for entry in together} == {str(tmp_path / "all.png")}
    assert Image.open(tmp_path / "all.png").height > arrays[0].shape[0]


def test_a_model_without_selectors_keeps_all(inferencer, pictures):
    selectors = inferencer.model.backbone.selectors
    inferencer.model.backbone.selectors = torch.nn.ModuleList()
    try:
        (found,) = inferencer.explain(pictures[0], TEXTS[0])
    finally:
        inferencer.model.backbone.selectors = selectors
    assert np.all(found["kept"]) and found["selectors"] == [] and found["picture"].ndim == 3


def test_a_wrong_place_for_pictures_is_reported_before_anything_runs(inferencer, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(inferencer.model.backbone, "forward_shared", lambda images: pytest.fail("the model ran"))
    (tmp_path / "file").touch()
    for out in (tmp_path / "a.jpg", tmp_path / "file"):
        with pytest.raises(ConfigError, match="Inferencer.explain.out: must be a folder or a .png, got"):
            inferencer.explain(pictures, TEXTS, out=out)
    with pytest.raises(ConfigError, match=f"one PNG holds at most {MOST_ROWS} images below each other, got 41"):
        check_target(tmp_path / "a.png", 41)
    (tmp_path / "run.1").mkdir()
    check_target(tmp_path / "run.1", 41)


def test_an_explanation_is_a_dict_that_prints_as_a_summary(inferencer, pictures):
    (explanation,) = inferencer.explain(pictures[0], TEXTS[0])
    assert isinstance(explanation, dict) and set(explanation) >= {"image", "text", "kept", "selectors", "picture"}
    shown = repr(explanation)
    assert TEXTS[0] in shown and "of 16 patches kept; tokens: patches 17, block 1 10, block 3 6, decoder 4" in shown
    rows = shown.removesuffix(")").split("\n")[1:]
    assert [[patch == "#" for patch in row.strip()] for row in rows] == explanation["kept"]
