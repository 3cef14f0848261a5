"""Chromium without a window, for pages that the library makes; skipped where there is none."""

import shutil

import pytest
from needed import imported

FLAGS = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --window-size=1200,900"
).split()
BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A selenium driver of Chromium, with a profile of its own."""
    if not (BROWSER and DRIVER):
        pytest.skip("Chromium is not installed: apt-get install chromium chromium-driver")
    webdriver = imported("selenium.webdriver")
    options = webdriver.ChromeOptions()
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.binary_location = BROWSER
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


def opened(browser, path, content=None):
    """Open a file, written first if `content` is given."""
    if content is not None:
        path.write_text(content, encoding="utf-8")
    browser.get(path.as_uri())


def complaints(browser):
    """What the console says, errors of scripts above all."""
    return [entry["message"] for entry in browser.get_log("browser")]
