"""The page that tries a model, driven as its user does."""

from __future__ import annotations

import pytest
from PIL import Image, ImageDraw

from bus_toolkit import Inferencer
from bus_toolkit.app import AppServer, Desk, Gallery
from tests.app.asking import served
from tests.inference.toy import TEXTS, photos, run_config, write_run

TEXT = "<img src=x onerror=alert(1)> a green star"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("app")
    run = write_run(folder / "run", run_config(folder / "scenes"))
    gallery = Gallery([str(path) for path in photos(folder / "photos")])
    desk = Desk(Inferencer(run, device="cpu"), gallery, [*TEXTS, TEXT])
    with served(AppServer("127.0.0.1", 0), desk) as running:
        yield running


def by_id(browser, name):
    return browser.driver.find_element("id", name)


def wait(browser, condition, *values):
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser.driver, 60).until(lambda driver: driver.execute_script(f"return {condition}", *values))


def shown(browser, name):
    return by_id(browser, name).text


def answered(browser):
    wait(browser, "!document.getElementById('result').hidden && !document.getElementById('status').textContent")


@pytest.mark.slow
def test_an_image_and_a_text_are_asked_and_the_answer_is_looked_at(browser, server, tmp_path):
    from selenium.webdriver.common.keys import Keys

    browser.open(server.url)
    wait(browser, "document.querySelectorAll('#gallery img').length === 3")
    assert browser.faults("app_start") == []
    picture = Image.new("RGB", (300, 200), "#7090a0")
    ImageDraw.Draw(picture).ellipse((60, 40, 160, 140), fill="crimson")
    picture.save(tmp_path / "photo.jpg")
    by_id(browser, "text").send_keys(TEXT)
    by_id(browser, "file").send_keys(str(tmp_path / "photo.jpg"))
    answered(browser)
    assert "300 x 200 pixels, and the box that was found" in shown(browser, "image-caption")
    assert "After block 3" in shown(browser, "patches-caption")
    assert {"Answer", "Caption", "Box", "Cosine with the text", "Match with the text", "Tokens by stage"} <= set(
        shown(browser, "answers").splitlines()
    )
    assert TEXT in shown(browser, "captions-rows")  # as text: no image, no script
    assert len(browser.driver.find_elements("css selector", "#images-rows img")) == 3
    assert browser.faults("app_answer") == []
    assert all(address.startswith(server.url) for address in browser.requests())

    stages = browser.driver.find_elements("css selector", "input[name=stage]")
    assert len(stages) == 3
    stages[1].click()
    assert "After block 1: 8 of 16 patches are read" in shown(browser, "patches-caption")
    browser.driver.find_element("css selector", "input[value=scores]").click()
    assert " to " in shown(browser, "limits")
    by_id(browser, "patches").send_keys(Keys.ARROW_DOWN, Keys.ARROW_RIGHT)
    assert shown(browser, "patch").startswith("Row 2, column 2: ") and "score" in shown(browser, "patch")
    assert browser.faults("app_scores") == []

    ratio = by_id(browser, "ratio")
    ratio.send_keys(Keys.END)
    wait(browser, "document.getElementById('patches-caption').textContent.includes('16 of 16')")
    assert shown(browser, "ratio-shown") == "1.00"
    ratio.send_keys(Keys.HOME)
    wait(browser, "document.getElementById('error').textContent.includes('keep_ratio')")
    by_id(browser, "ratio-own").click()
    wait(browser, "!document.getElementById('error').textContent")
    assert "as in the run" in shown(browser, "ratio-shown")


def test_what_is_refused_is_said_beside_the_button(browser, server, tmp_path):
    browser.open(server.url)
    wait(browser, "document.querySelectorAll('#gallery img').length === 3")
    by_id(browser, "ask").click()
    assert shown(browser, "error") == "Choose or drop an image first."
    (tmp_path / "script.png").write_text("#!/bin/sh\n")
    by_id(browser, "file").send_keys(str(tmp_path / "script.png"))
    wait(browser, "document.getElementById('error').textContent.includes('no header of JPEG')")
    with (tmp_path / "large.png").open("wb") as file:
        file.truncate(1 << 30)  # a gigabyte of nothing
    by_id(browser, "file").send_keys(str(tmp_path / "large.png"))
    wait(browser, "document.getElementById('error').textContent.startsWith('large.png has 1,073,741,824 bytes; ')")
    browser.console_errors()  # Chromium names the refused request there
    assert browser.faults("app_error") == []
    browser.driver.find_elements("css selector", "#gallery button")[1].click()
    answered(browser)
    assert shown(browser, "error") == "" and "48 x 40 pixels" in shown(browser, "image-caption")
