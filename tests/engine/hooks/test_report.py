import io
import json
import logging

import pytest
from rich.console import Console

from bus_toolkit.engine.hooks import report
from bus_toolkit.engine.hooks.report import ReportHook
from bus_toolkit.errors import ConfigError
from bus_toolkit.visualization.curves import read_scalars
from tests.evaluation.toy import build_runner


def _hook(**settings):
    return ReportHook(console=Console(file=io.StringIO(), width=120), **settings)


def test_a_validation_that_runs_alone_is_reported_at_its_end(tmp_path):
    hook = _hook(num_images=5, images_per_picture=3, note="A synthetic check.")
    metrics = build_runner(tmp_path, captions=2, hooks=[hook]).val()
    folder = tmp_path / "report" / "val"
    results = json.loads((folder / "results.json").read_text())
    assert results["metrics"] == metrics
    assert results["note"] == "A synthetic check."
    assert results["pictures"] == ["kept_patches_0.png", "kept_patches_1.png"]
    printed = hook.console.file.getvalue()
    assert "re-ranked" in printed and "A synthetic check." in printed
    for name in ["results.json", *results["pictures"]]:
        assert str(folder / name) in printed and (folder / name).is_file()


def test_a_test_is_kept_apart_from_a_validation(tmp_path):
    build_runner(tmp_path, hooks=[_hook(num_images=0)]).test()
    assert (tmp_path / "report" / "test" / "results.json").is_file()
    assert not (tmp_path / "report" / "val").exists()


def test_an_image_with_many_captions_is_drawn_once(tmp_path):
    hook = _hook(num_images=3)
    build_runner(tmp_path, captions=2, hooks=[hook]).val()
    assert [picture.caption for picture in hook._pictures.all] == ["picture 0", "picture 1", "picture 2"]


def test_a_training_is_reported_once_at_its_end_with_its_curves(tmp_path):
    hook = _hook(num_images=1)
    runner = build_runner(tmp_path, hooks=[hook], epochs=3)
    runner.train()
    folder = tmp_path / "report" / "val"
    results = json.loads((folder / "results.json").read_text())
    # Six images in batches of four: two iterations an epoch.
    assert results["iterations"] == 6
    assert results["pictures"] == ["kept_patches_0.png", "curves.png"]
    assert hook.console.file.getvalue().count("Validation after 6 iterations") == 1
    losses, metrics = read_scalars([next(tmp_path.glob("*/vis_data/scalars.json"))])
    assert [step for step, _ in losses["loss_itc"]] == [1, 2, 3, 4, 5, 6]
    assert [step for step, _ in metrics["retrieval/rerank_i2t_R@1"]] == [2, 4, 6]


def test_a_training_without_validation_still_draws_its_curves(tmp_path):
    hook = _hook()
    runner = build_runner(tmp_path, hooks=[hook], epochs=1)
    runner._val_loop = None
    runner.train()
    assert [file.name for file in (tmp_path / "report" / "val").iterdir()] == ["curves.png"]


def test_a_picture_that_fails_does_not_cost_the_figures(tmp_path, monkeypatch, caplog):
    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(report, "draw_kept_patches", fail)
    with caplog.at_level(logging.WARNING, "bus_toolkit"):
        build_runner(tmp_path, hooks=[_hook()]).val()
    assert json.loads((tmp_path / "report" / "val" / "results.json").read_text())["pictures"] == []
    assert "a picture could not be drawn" in caplog.text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_images": -1}, "num_images: must not be negative, got -1"),
        ({"images_per_picture": 0}, "at least 1, got 0"),
    ],
)
def test_impossible_settings_are_named(settings, message):
    with pytest.raises(ConfigError, match=message):
        ReportHook(**settings)
