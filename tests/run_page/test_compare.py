import pytest

from bus_toolkit.errors import ConfigError
from bus_toolkit.run_page.compare import compare_page, differing_settings, distinct_names
from bus_toolkit.run_page.folder import read_run
from tests.run_page.folders import write_run


def test_runs_are_side_by_side_with_the_settings_that_differ(tmp_path):
    runs = [read_run(write_run(tmp_path / name, rate=rate)) for name, rate in (("a", 0.001), ("b", 0.1))]
    page = compare_page(runs)
    assert '<th scope="row">optim_wrapper.optimizer.lr</th><td>0.001</td><td>0.1</td>' in page
    assert "work_dir</th>" not in page  # each has its own
    assert page.count(">loss itc</figcaption>") == 1 and page.count('polyline class="line"') > 1
    assert '<th scope="row">vqa/accuracy</th><td>0.15</td><td>0.15</td>' in page
    assert "<summary>Last validation of b, beside chance</summary>" in page


def test_names_are_what_distinguishes_the_folders(tmp_path):
    paths = [tmp_path / "wd" / arm / "keep_0.1" / "seed_0" for arm in ("TSPS", "Random")]
    assert distinct_names(paths) == ["TSPS", "Random"]
    assert distinct_names([tmp_path / "a", tmp_path / "a" / "b"]) == ["a", "a/b"]


def test_a_setting_that_one_run_lacks_differs():
    assert differing_settings({"a": {"x": [1, {"y": 2}]}, "b": {"x": [1]}}) == [["x.1.y", "2", "(not set)"]]


def test_one_run_and_the_same_one_twice_are_refused(tmp_path):
    run = read_run(write_run(tmp_path / "a"))
    with pytest.raises(ConfigError, match="takes 2 to 8 runs, as many as there are colours, got 1"):
        compare_page([run])
    with pytest.raises(ConfigError, match="each run must be given once, got a twice"):
        compare_page([run, run])
