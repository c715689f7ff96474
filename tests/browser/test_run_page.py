"""The page of a run and that of several, in a real browser."""

from bus_toolkit.run_page.compare import compare_page
from bus_toolkit.run_page.folder import read_run
from bus_toolkit.run_page.page import write_page
from tests.run_page.folders import write_run

HOSTILE = "<script>document.title = 'taken'</script><img src=x onerror=\"document.title = 'taken'\"> " + "long " * 40


def test_the_page_of_a_run_has_no_faults_and_fetches_nothing(browser, tmp_path):
    browser.open(write_page(read_run(write_run(tmp_path / ("a_long_name_" * 8), text=HOSTILE))))
    assert browser.faults("report") == [] and browser.requests() == []
    assert browser.driver.title != "taken"


def test_the_keyboard_moves_through_the_stages(browser, tmp_path):
    browser.open(write_page(read_run(write_run(tmp_path / "run"))))

    def seen():
        (slider,) = browser.find("input[type=range]")
        return slider.get_attribute("aria-valuetext"), len(browser.find(".card .stage.on"))

    assert seen() == ("after block 4: 3 of 16 patches", 1)
    browser.press("input[type=range]", "ARROW_LEFT")
    assert seen() == ("after block 2: 8 of 16 patches", 1)
    browser.press("input[type=range]", "HOME")
    assert seen() == ("all patches: 16 of 16 patches", 1)


def test_runs_side_by_side_have_no_faults(browser, tmp_path):
    runs = [read_run(write_run(tmp_path / name, rate=rate)) for name, rate in (("a", 0.1), ("b<i>", 0.2), ("c", 0.3))]
    page = tmp_path / "compare.html"
    page.write_text(compare_page(runs), encoding="utf-8")
    browser.open(page)
    assert browser.faults("compare") == [] and browser.requests() == []
