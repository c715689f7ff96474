import io
import json
import logging

import pytest
from rich.console import Console

from bus_toolkit.engine.hooks import run_page
from bus_toolkit.engine.hooks.progress import RichProgressHook
from bus_toolkit.engine.hooks.run_page import RunPageHook
from bus_toolkit.errors import ConfigError
from tests.evaluation.toy import build_runner


def progress():
    return RichProgressHook(interval=1, console=Console(file=io.StringIO(), width=120))


def test_a_training_leaves_its_page(tmp_path):
    build_runner(tmp_path, hooks=[progress(), RunPageHook(num_images=2)], epochs=2).train()
    page, notes = (tmp_path / "report.html").read_text(), json.loads((tmp_path / "report/page.json").read_text())
    assert notes["state"] == "finished" and notes["iteration"] == notes["max_iterations"] == 4
    assert ">Losses</h2>" in page and ">Validations</h2>" in page and page.count('class="card"') == 2
    assert "picture 0" in page and "2 of 4 patches" in page
    assert "retrieval/rerank_i2t_R@1" in notes["metrics"]


def test_the_page_is_there_while_it_trains(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(run_page, "_PAUSE", 0.0)
    monkeypatch.setattr(run_page, "_SHARE", 0)
    monkeypatch.setattr(run_page, "write_page", lambda run: written.append((run.notes["state"], run.scalars.last_step)))
    build_runner(tmp_path, hooks=[RunPageHook(interval=1)], epochs=1).train()
    assert written == [("training", 1), ("training", 2), ("training", 2), ("finished", 2)]


def test_pages_pause_so_that_they_take_a_small_share_of_the_time(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(run_page, "write_page", lambda run: written.append(run.notes["state"]))
    build_runner(tmp_path, hooks=[RunPageHook(interval=1)], epochs=1).train()
    assert written == ["training", "finished"]  # the validation and the end


def test_a_page_that_cannot_be_written_costs_a_warning_and_not_the_run(tmp_path, caplog):
    (tmp_path / "report.html").mkdir()
    with caplog.at_level(logging.WARNING, logger=run_page.__name__):
        build_runner(tmp_path, hooks=[RunPageHook()], epochs=1).train()
    assert "the page of the run could not be written" in caplog.text


def test_a_test_alone_leaves_the_state_of_the_training_as_it_is(tmp_path):
    build_runner(tmp_path, hooks=[RunPageHook()], epochs=1).train()
    before = (tmp_path / "report/page.json").read_text()
    build_runner(tmp_path, hooks=[RunPageHook()]).test()
    assert (tmp_path / "report/page.json").read_text() == before


def test_patches_that_the_text_of_another_sample_chose_are_said_to_be(tmp_path):
    runner = build_runner(tmp_path, hooks=[RunPageHook()], epochs=1)
    runner.train()
    runner.test_loop.selecting_text = "other"
    runner.test()
    assert "Test, patches chosen by the text of another sample" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("settings", [{"num_images": -1}, {"interval": 0}])
def test_settings_that_mean_nothing_are_refused(settings):
    with pytest.raises(ConfigError, match=rf"RunPageHook\.{next(iter(settings))}: must"):
        RunPageHook(**settings)
