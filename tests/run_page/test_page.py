import json
import re

import pytest

from bus_toolkit.errors import DataError
from bus_toolkit.run_page.charts import not_drawn
from bus_toolkit.run_page.folder import read_run, scalar_files
from bus_toolkit.run_page.page import run_page, write_page
from tests.run_page.folders import write_run, write_start

HOSTILE = '<script>alert(1)</script> "&\u202e'


def test_the_page_shows_what_the_run_has_left(tmp_path):
    page = write_page(read_run(write_run(tmp_path / "run"))).read_text(encoding="utf-8")
    for title in ("Results", "Losses", "Validations", "Tokens", "Steps", "Kept patches", "Bad samples", "Environment"):
        assert f">{title}</h2>" in page
    assert "150 of 150" in page and "a red disc" in page and "2 of 40 rows" in page
    assert "by question<br>type alone" in page  # what no skill reaches, beside the accuracy
    assert "bus/bus_vqa_scenes_small (this recipe)" in page  # figures on record
    assert "after block 4: 3 of 16 patches" in page and "block 2: 40, decoder: 17" in page
    assert "optim_wrapper:" in page


def test_texts_of_others_are_neither_markup_nor_steering(tmp_path):
    page = run_page(read_run(write_run(tmp_path / "run", text=HOSTILE)))
    assert "alert(1)" in page and "<script>alert" not in page and "\u202e" not in page
    assert page.count("<script>") == 1  # the page's own, which its policy names by its hash


def test_an_image_from_elsewhere_and_broken_files_are_left_out(tmp_path):
    run = write_run(tmp_path / "run")
    kept = (run / "report/kept.json").read_text()
    (run / "report/kept.json").write_text(re.sub('"data:image/jpeg[^"]*"', '"https://example.org/a.png"', kept))
    (run / "report/page.json").write_text("[1, 2")
    (run / "config.yaml").write_text("a: [")
    page = run_page(read_run(run))
    assert "example.org" not in page and "Kept patches" not in page and ">Losses</h2>" in page


def test_a_resumed_run_shows_its_first_part_and_no_earlier_training(tmp_path):
    write_start(tmp_path, "20260101_000000", steps=(900,))
    write_start(tmp_path, "20260102_000000", steps=(50, 100, 150), last_line='{"loss": 1.0, "ite')
    write_start(tmp_path, "20260103_000000", steps=(120, 170), resume="true")
    assert [path.parts[-3] for path in scalar_files(tmp_path)] == ["20260102_000000", "20260103_000000"]
    losses = read_run(tmp_path).scalars.losses
    assert [step for step, _ in losses["loss"]] == [50, 100, 120, 170]


def test_figures_that_are_added_are_read_and_half_a_line_waits(tmp_path):
    write_start(tmp_path, "20260101_000000", steps=(50,), last_line='{"loss": 1.0, "iter": 60')
    scalars, file = read_run(tmp_path).scalars, tmp_path / "20260101_000000/vis_data/scalars.json"
    assert scalars.last_step == 50
    with file.open("a") as log:
        log.write('}\n{"loss": 0.5, "iter": 70}\n')
    scalars.update()
    assert [step for step, _ in scalars.losses["loss"]] == [50, 60, 70]


def test_values_that_are_no_numbers_leave_the_others_of_a_curve(tmp_path):
    huge = "9" * 400  # JSON has whole numbers that no float holds
    line = f'{{"loss": NaN, "grad_norm": Infinity, "lr": true, "time": {huge}, "iter": 60}}\n'
    line += f'{{"loss": 0.5, "iter": 70}}\n{{"loss": 0.5, "iter": {huge}}}\n'
    write_start(tmp_path, "20260101_000000", steps=(50,), last_line=line)
    run = read_run(tmp_path)
    assert [step for step, _ in run.scalars.losses["loss"]] == [50, 70]
    assert "nan" not in run_page(run).lower() and len(run.scalars.figures["grad_norm"]) == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lost", "must be the folder of a run, got no such folder"),
        ("empty", "no run is in this folder, neither config.yaml"),
        ("saved", "must be the folder of a run, got a saved model.* Give the work dir that it was saved from"),
    ],
)
def test_what_is_no_run_is_refused(tmp_path, name, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "saved").mkdir()
    for file in ("config.yaml", "bus_toolkit.json"):
        (tmp_path / "saved" / file).touch()
    with pytest.raises(DataError, match=message):
        read_run(tmp_path / name)


def test_runs_below_a_folder_of_a_study_are_named(tmp_path):
    for arm in "dacb":
        run = tmp_path / f"questions/{arm}/keep_0.11/seed_0"
        (run / "20260101_000000").mkdir(parents=True)
        (run / "config.yaml").touch()
        (run / "20260101_000000/config.yaml").touch()
    (tmp_path / "model").mkdir()
    for file in ("config.yaml", "bus_toolkit.json"):  # a saved model has no report
        (tmp_path / "model" / file).touch()
    paths = ", ".join(str(tmp_path / f"questions/{arm}/keep_0.11/seed_0") for arm in "abc")
    with pytest.raises(DataError, match=rf"Below it are {paths} and 1 more\.$"):
        read_run(tmp_path)


def test_the_slider_says_the_range_where_images_keep_other_numbers(tmp_path):
    run = write_run(tmp_path / "run")
    kept = json.loads((run / "report/kept.json").read_text())
    (sample,) = kept["samples"]
    fewer = {**sample, "stages": [*sample["stages"][:2], [sample["stages"][2][0], [0]]]}
    (run / "report/kept.json").write_text(json.dumps({**kept, "samples": [sample, fewer]}))
    page = run_page(read_run(run))
    assert "after block 2: 8 of 16 patches" in page and "after block 4: 1 to 3 of 16 patches" in page


def test_a_sample_of_no_finite_size_is_left_out(tmp_path):
    run = write_run(tmp_path / "run")
    kept = (run / "report/kept.json").read_text()
    (run / "report/kept.json").write_text(kept.replace('"size": [32', '"size": [1e999'))
    page = run_page(read_run(run))
    assert "Kept patches" not in page and ">Losses</h2>" in page


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1.7e308"])
def test_a_loss_that_is_no_longer_finite_is_said_and_not_taken_for_the_last_one_that_was(tmp_path, value):
    lines = "".join(f'{{"loss": {value}, "iter": {step}}}\n' for step in (160, 170))
    write_start(tmp_path, "20260101_000000", last_line=lines.replace(value, f"-{value}", 1))
    run = read_run(tmp_path)
    page = run_page(run)
    assert "<dt>Loss</dt><dd>not finite</dd>" in page and "not drawn: loss (last at step 170)." in page
    assert [step for step, _ in run.scalars.losses["loss"]] == [50, 100, 150] and run.scalars.last_step == 170
    assert "not drawn: a: loss (last at step 170), b: loss" in not_drawn({"a": run.scalars, "b": run.scalars})
    write_start(tmp_path, "20260102_000000", steps=(160,), resume="true")  # from a checkpoint before it
    page = run_page(read_run(tmp_path))
    assert "not drawn" not in page and "<dt>Loss</dt><dd>0.0625</dd>" in page
