"""Print the whole book, rendered as one page, to one PDF with Chromium."""

import functools
import http.server
import re
import shutil
import threading
from pathlib import Path

BROWSERS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
FOOTER = (
    '<div style="font: 8px sans-serif; color: #565d63; width: 100%; text-align: center">'
    '<span class="pageNumber"></span></div>'
)
UNFOLD = "() => document.querySelectorAll('details:not(.hide)').forEach(part => part.open = true)"


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files without a word."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def browser() -> str:
    """Return the path of an installed Chromium.

    Raises
    ------
    FileNotFoundError
        Where there is none.
    """
    for name in BROWSERS:
        if path := shutil.which(name):
            return path
    raise FileNotFoundError(
        "no Chromium: install it, on Debian or Ubuntu: apt-get install chromium"
    )


def make(folder: Path, page: str, out: Path) -> None:
    """Print a book that was rendered as one page; solutions are unfolded, formulas finished."""
    from playwright.sync_api import sync_playwright

    path = browser()
    # Sphinx writes the page into its document's folder, with links as seen from the folder above.
    shutil.copy(folder / page, folder / "whole.html")
    handler = functools.partial(Quiet, directory=str(folder))
    # A page from a file could not load its own scripts: its policy knows no such origin.
    with (
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server,
        sync_playwright() as playwright,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        tab = chromium.new_page(color_scheme="light")
        tab.set_default_timeout(180_000)
        tab.goto(f"http://127.0.0.1:{server.server_port}/whole.html", wait_until="load")
        tab.evaluate("() => window.MathJax?.startup?.promise")
        tab.evaluate(UNFOLD)
        printed = tab.pdf(
            format="A4",
            scale=0.8,
            margin={"top": "18mm", "bottom": "18mm", "left": "18mm", "right": "18mm"},
            outline=True,
            tagged=True,
            display_header_footer=True,
            header_template="<span></span>",
            footer_template=FOOTER,
        )
        chromium.close()
        server.shutdown()
    out.write_bytes(undated(printed))


def undated(printed: bytes) -> bytes:
    """Take the time of printing out of a PDF, and leave every byte where it is."""
    return re.sub(rb"(?<=Date \(D:)\d{14}", b"20260101000000", printed)
