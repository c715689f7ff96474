import io
import json
import logging

import pytest
from rich.console import Console

from bus_toolkit.errors import ConfigError
from bus_toolkit.evaluation import ReportHook, report_hook
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


def test_a_test_is_reported_apart_from_a_validation(tmp_path):
    build_runner(tmp_path, hooks=[_hook(num_images=0)]).test()
    assert (tmp_path / "report" / "test" / "results.json").is_file()
    assert not (tmp_path / "report" / "val").exists()


def test_an_image_with_many_captions_is_drawn_once(tmp_path):
    hook = _hook(num_images=3)
    build_runner(tmp_path, captions=2, hooks=[hook]).val()
    assert [picture.caption for picture in hook._pictures.values()] == ["picture 0", "picture 1", "picture 2"]


def test_during_a_training_only_the_last_validation_is_reported(tmp_path):
    runner = build_runner(tmp_path, hooks=[])
    hook = _hook(num_images=0)
    runner.train_loop_stand_in = None
    hook._training = True
    hook.after_val_epoch(runner, {"itm/accuracy": 0.1})
    assert not (tmp_path / "report").exists()
    hook.after_val_epoch(runner, {"itm/accuracy": 0.9})
    scalars = tmp_path / runner.timestamp / "vis_data" / "scalars.json"
    scalars.parent.mkdir(parents=True, exist_ok=True)
    scalars.write_text('{"loss": 2.0, "iter": 1, "step": 1}\n{"loss": 1.0, "iter": 2, "step": 2}\n')
    hook.after_train(runner)
    folder = tmp_path / "report" / "val"
    assert json.loads((folder / "results.json").read_text())["metrics"] == {"itm/accuracy": 0.9}
    assert (folder / "curves.png").is_file()


def test_a_picture_that_fails_does_not_cost_the_figures(tmp_path, monkeypatch, caplog):
    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(report_hook, "draw_kept_patches", fail)
    with caplog.at_level(logging.WARNING, "bus_toolkit"):
        build_runner(tmp_path, hooks=[_hook()]).val()
    assert json.loads((tmp_path / "report" / "val" / "results.json").read_text())["pictures"] == []
    assert "a picture could not be drawn" in caplog.text


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"num_images": -1}, "num_images: must not be negative, got -1"), ({"images_per_picture": 0}, "at least 1, got 0")],
)
def test_impossible_settings_are_named(settings, message):
    with pytest.raises(ConfigError, match=message):
        ReportHook(**settings)
