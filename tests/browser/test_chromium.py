"""The harness finds what it is there to find."""

from pathlib import Path

from PIL import Image

from tests.browser import chromium

GOOD = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>page</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">
<style>:root { color-scheme: light dark }</style></head><body><main><h1>A page</h1>%s</main></body></html>"""


def page(tmp_path, body):
    path = tmp_path / "page.html"
    path.write_text(GOOD % body)
    return path


def test_a_good_page_has_no_faults_and_fetches_nothing(browser, tmp_path):
    browser.open(page(tmp_path, "<p>Words.</p>"))
    assert browser.faults("good") == [] and browser.requests() == []


FAULTY = """<div id="wide" style="width: 900px">wide</div><img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">
<p style="color: #ccc; background: #fff">pale</p><input><script>lost()</script><img alt="a" src="lost.png">"""


def test_each_kind_of_fault_is_found(browser, tmp_path):
    browser.open(page(tmp_path, FAULTY))
    found = "\n".join([*browser.overflow(), *browser.accessibility(), *browser.console_errors()])
    for fault in ('id="wide"', "image-alt", "color-contrast", "label: ", "lost is not defined", "lost.png"):
        assert fault in found
    assert [Path(address).name for address in browser.requests()] == ["lost.png"]


def test_a_page_follows_the_colours_and_the_width_that_are_asked_for(browser, tmp_path):
    browser.open(page(tmp_path, "<p>Words.</p>"))
    seen = []
    for width, scheme in ((380, "dark"), (1600, "light")):
        browser.show(width, scheme)
        seen.append(
            browser.driver.execute_script("return [innerWidth, matchMedia('(prefers-color-scheme: dark)').matches]")
        )
    assert seen == [[380, True], [1600, False]]


def test_a_screenshot_shows_the_whole_page(browser, tmp_path, monkeypatch):
    monkeypatch.setattr(browser, "_shots", tmp_path / "shots")
    browser.open(page(tmp_path, "<div style='height: 2000px'>tall</div>"))
    browser.screenshot("tall")
    assert Image.open(tmp_path / "shots/tall.png").height > 2000


def test_a_missing_browser_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(chromium.shutil, "which", lambda name: None)
    assert chromium.missing() == (
        "no chromium with its chromedriver is installed: `make browser` installs both (Debian's packages, as root) "
        "and runs these tests"
    )
