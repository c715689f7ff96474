"""A headless Chromium and what the tests of pages ask of it: errors, requests, overflow, accessibility, pictures."""

from __future__ import annotations

import base64
import importlib.util
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

WIDTHS = (380, 800, 1600)
"""CSS pixels: a telephone, a tablet, a wide screen."""
SCHEMES = ("light", "dark")
_HEIGHT = 900
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # Chromium refuses to run as root with one, and continuous integration is root
    "--disable-dev-shm-usage",  # containers have 64 MiB there
    "--disable-gpu",
    "--hide-scrollbars",  # one of 15 px beside the page would make its width differ from the one that was asked for
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-features=Translate,MediaRouter",
)
# What reaches past the right edge and is not inside a box that scrolls or clips by itself.
_OVERFLOW = """
const wide = document.documentElement.clientWidth, found = [];
const contained = (element) => {
  for (let box = element.parentElement; box && box !== document.body; box = box.parentElement)
    if (getComputedStyle(box).overflowX !== "visible") return true;
  return false;
};
if (document.documentElement.scrollWidth <= wide) return found;
for (const element of document.querySelectorAll("body *")) {
  const {right, width} = element.getBoundingClientRect();
  if (width && right > wide + 1 && !contained(element))
    found.push(`<${element.tagName.toLowerCase()} id="${element.id}" class="${element.getAttribute("class") || ""}"> `
      + `ends at ${Math.round(right)} of ${wide} px`);
}
return found.length ? found.slice(0, 5) : [`the page is ${document.documentElement.scrollWidth} of ${wide} px wide`];
"""
_ACCESSIBILITY = """
const done = arguments[arguments.length - 1];
axe.run(document, {resultTypes: ["violations"], runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "best-practice"]}).then(
  (result) => done(result.violations.map((v) => `${v.id}: ${v.help}: ` + v.nodes.slice(0, 3).map(
    (n) => n.html.slice(0, 160) + " " + n.any.map((a) => a.message).join(" ")).join(" | "))),
  (error) => done([String(error)]));
"""


def missing() -> str | None:
    """Return why there is no browser to test in, and what to do, or None if there is one."""
    if _browser() is None or shutil.which("chromedriver") is None:
        found = "no chromium with its chromedriver is installed"
    elif absent := [name for name in ("selenium", "axe_core_python") if importlib.util.find_spec(name) is None]:
        found = f"the packages {', '.join(absent)} are not installed"
    else:
        return None
    return f"{found}: `make browser` installs both (Debian's packages, as root) and runs these tests"


def _browser() -> str | None:
    return next(filter(None, map(shutil.which, _BROWSERS)), None)


class Browser:
    """One headless Chromium, opened with :func:`start`.

    Args:
        driver: A selenium ``WebDriver``; public, for what has no method here (``find_element``, ``execute_script``).
        shots: The folder of the screenshots, or None to take none.
    """

    def __init__(self, driver: Any, shots: Path | None) -> None:
        self.driver = driver
        self._shots = shots
        self._opened = ""

    def open(self, page: str | Path) -> None:
        """Load an address or a file, as a window of 800 px in light colours."""
        self.show(WIDTHS[1], SCHEMES[0])
        for kind in ("browser", "performance"):
            self.driver.get_log(kind)  # what an earlier page has said and fetched is not this one's
        self._opened = page if isinstance(page, str) else page.resolve().as_uri()
        self.driver.get(self._opened)

    def show(self, width: int, scheme: str) -> None:
        """Make the window ``width`` CSS pixels wide and let the system prefer ``scheme``, ``light`` or ``dark``."""
        # A window cannot be narrower than about 500 px; an emulated screen can.
        size = {"width": width, "height": _HEIGHT, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        preferred = {"name": "prefers-color-scheme", "value": scheme}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": [preferred]})

    def console_errors(self) -> list[str]:
        """Return errors of the console since the page was opened or this was last called: scripts and lost files."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]

    def requests(self) -> list[str]:
        """Return the addresses that the page has asked for beside its own; what it holds in itself is none."""
        sent = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        asked = [event["params"]["request"]["url"] for event in sent if event["method"] == "Network.requestWillBeSent"]
        return [address for address in asked if address != self._opened and not address.startswith(("data:", "blob:"))]

    def overflow(self) -> list[str]:
        """Return what makes the page wider than the window, so that it would have to be moved sideways to be read."""
        return self.driver.execute_script(_OVERFLOW)

    def accessibility(self) -> list[str]:
        """Return what axe-core finds wrong: contrast, names of controls, alternative texts, order of headings."""
        if not self.driver.execute_script("return typeof axe === 'object'"):
            self.driver.execute_script(files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8"))
        return self.driver.execute_async_script(_ACCESSIBILITY)

    def find(self, selector: str) -> list[Any]:
        """Return the elements that a CSS selector finds."""
        return self.driver.find_elements("css selector", selector)

    def press(self, selector: str, key: str) -> None:
        """Press a key, named as selenium's ``Keys`` (``ARROW_LEFT``), with the focus on the first such element."""
        from selenium.webdriver.common.keys import Keys

        self.find(selector)[0].send_keys(getattr(Keys, key))

    def screenshot(self, name: str) -> None:
        """Write the whole page, not only the window, as ``NAME.png`` where the environment names a folder for it."""
        if self._shots is None:
            return
        self._shots.mkdir(parents=True, exist_ok=True)
        taken = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
        (self._shots / f"{name}.png").write_bytes(base64.b64decode(taken["data"]))

    def faults(self, name: str) -> list[str]:
        """Look at the open page at each of the widths, light and dark, and return all that is wrong with it.

        Args:
            name: Beginning of the names of the screenshots.
        """
        found = []
        for width in WIDTHS:
            for scheme in SCHEMES:
                self.show(width, scheme)
                self.screenshot(f"{name}_{width}_{scheme}")
                found += [f"{width} px {scheme}: {fault}" for fault in [*self.overflow(), *self.accessibility()]]
        return found + [f"console: {error}" for error in self.console_errors()]


@contextmanager
def start(shots: Path | None) -> Iterator[Browser]:
    """Start a headless Chromium and end it in the end; ask :func:`missing` first.

    Args:
        shots: The folder of the screenshots, or None to take none.
    """
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = _browser()
    for option in _OPTIONS:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # Named, as selenium would otherwise ask a server which driver to fetch.
    service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    try:
        driver.set_script_timeout(60)
        yield Browser(driver, shots)
    finally:
        driver.quit()
