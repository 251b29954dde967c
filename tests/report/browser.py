"""A headless Chromium that opens pages from file://, and what the tests ask of a page."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FLAGS = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking"
WIDE, PHONE = (1200, 900), (390, 844)

# Texts whose contrast with what lies behind them is below 4.5, with their ratio (WCAG 2.1, 1.4.3).
FAINT = """
const channel = v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
const parse = c => c.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const behind = node => {
  for (; node; node = node.parentElement) {
    const c = parse(getComputedStyle(node).backgroundColor);
    if (c.length === 3 || c[3] === 1) return c;
  }
  return [255, 255, 255];
};
const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
let looked = 0;
while (walker.nextNode()) {
  const node = walker.currentNode, parent = node.parentElement;
  if (!node.textContent.trim() || parent.closest("script, style, noscript, title")) continue;
  if (!parent.getClientRects().length) continue;
  const style = getComputedStyle(parent);
  const ink = parse(parent instanceof SVGElement ? style.fill : style.color);
  const [a, b] = [light(ink), light(behind(parent))];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  looked += 1;
  if (ratio < 4.5) found.push([node.textContent.trim().slice(0, 40), ratio]);
}
return [looked, found];
"""


class Browser:
    """One tab."""

    def __init__(self) -> None:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        options = webdriver.ChromeOptions()
        options.binary_location = str(shutil.which("chromium"))
        for flag in FLAGS.split():
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.tab = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))

    def open(self, page: Path, *, size: tuple[int, int] = WIDE, dark: bool = False, medium: str = "") -> None:
        """Open a page from the disk at a size, in light or dark, for the screen or for print."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._devtools("Emulation.setEmulatedMedia", media=medium, features=[scheme])
        self.size(*size)
        self.tab.get(page.as_uri())

    def size(self, width: int, height: int) -> None:
        """Make the window so many pixels large."""
        self._devtools(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def ask(self, script: str, *given: Any) -> Any:
        """Run JavaScript in the page and return what it returns."""
        return self.tab.execute_script(script, *given)

    def one(self, selector: str) -> Any:
        """Return the first element that a CSS selector names."""
        return self.tab.find_element("css selector", selector)

    def shown(self) -> list[str]:
        """Return the genes of the table's rows that are seen, in their order."""
        return self.ask(
            "return [...document.querySelectorAll('#table tbody tr')]"
            ".filter(row => row.getClientRects().length).map(row => row.cells[0].textContent.trim())"
        )

    def press(self, key: str) -> None:
        """Press a key wherever the focus is."""
        self.tab.switch_to.active_element.send_keys(key)

    def pdf(self) -> str:
        """Return the page as it would be printed, base64."""
        return self._devtools("Page.printToPDF", preferCSSPageSize=True)["data"]

    def complaints(self) -> list[str]:
        """Return what the console was told since it was last asked."""
        return [entry["message"] for entry in self.tab.get_log("browser")]

    def _devtools(self, command: str, **given: Any) -> Any:
        return self.tab.execute_cdp_cmd(command, given)


def start() -> Iterator[Browser]:
    """Start the browser; skip where it is not installed, which in CI is a failure."""
    missing = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    try:
        import selenium  # noqa: F401
    except ImportError:
        missing.append("selenium")
    if missing:
        end = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        end(f"no {', '.join(missing)}: apt-get install chromium chromium-driver, pip install '.[test]'")
    browser = Browser()
    yield browser
    browser.tab.quit()
