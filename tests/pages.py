"""Opening the built site in a headless browser: what several test files share."""

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

BROWSER_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # no other host is ever asked
]


# Relative luminance and contrast as WCAG 2 defines them; 3 is enough for large or bold text.
CONTRAST = r"""
() => {
  const channels = colour => (colour.match(/[\d.]+/g) ?? [0, 0, 0, 0]).map(Number);
  const light = value =>
    (value /= 255) <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) => 0.2126 * light(r) + 0.7152 * light(g) + 0.0722 * light(b);
  const paper = element => {
    for (; element; element = element.parentElement) {
      const colour = channels(getComputedStyle(element).backgroundColor);
      if ((colour[3] ?? 1) > 0.99) return colour;
    }
    return [255, 255, 255];
  };
  const wrong = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    const style = getComputedStyle(element);
    const unseen = element.closest("mjx-assistive-mml, script, style");
    if (unseen || !element.checkVisibility() || !texts.currentNode.textContent.trim()) continue;
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.6 && Number(style.fontWeight) >= 700);
    const [one, two] = [luminance(channels(style.color)), luminance(paper(element))];
    const contrast = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
    if (contrast < (large ? 3 : 4.5))
      wrong.push(`${contrast.toFixed(1)}: ${texts.currentNode.textContent.trim().slice(0, 40)}`);
  }
  return [...new Set(wrong)].slice(0, 5);
}
"""


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files without a word."""

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="session")
def address(site: Path) -> Iterator[str]:
    """Serve the site on this machine only and return its address."""
    handler = functools.partial(QuietHandler, directory=str(site))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=BROWSER_FLAGS)
        yield browser
        browser.close()


class Visit:
    """One page at a time in the browser, with everything that went wrong on it."""

    def __init__(self, browser: Any, url: str, width: int = 1440, scheme: str = "light") -> None:
        self.faults: list[str] = []
        self.origin = "{0.scheme}://{0.netloc}/".format(urlsplit(url))
        self.page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.page.set_default_timeout(60_000)
        self.page.on("requestfailed", self._failed)
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.faults.append(f"script error: {error}"))
        self.page.on("response", self._response)
        self.go(url)

    def go(self, url: str) -> None:
        """Open another page of the site, and begin to note its faults."""
        self.faults.clear()
        self.page.goto(url, wait_until="load")
        self.page.add_style_tag(content="* { transition: none !important }")  # colours hold still
        self.page.evaluate("() => window.MathJax?.startup?.promise")

    def show(self, width: int, scheme: str) -> None:
        """Set the width of the window, and light or dark."""
        self.page.set_viewport_size({"width": width, "height": 900})
        self.page.emulate_media(color_scheme=scheme)

    def _failed(self, request: Any) -> None:
        """Note what was asked in vain: any other host, unless the page's own policy forbids it."""
        if not request.url.startswith((self.origin, "data:", "blob:")) and request.failure != "csp":
            self.faults.append(f"asks another host: {request.url}")

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(f"console {message.type}: {message.text}")

    def _response(self, response: Any) -> None:
        if response.status >= 400:
            self.faults.append(f"answered {response.status}: {response.url}")

    def __enter__(self) -> "Visit":
        return self

    def __exit__(self, *_: object) -> None:
        self.page.close()
