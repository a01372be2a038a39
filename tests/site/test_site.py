"""The built site: its links and images by reading the files, its pages in a headless browser."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
import yaml
from at_hand import ROOT
from axe_playwright_python.sync_playwright import Axe
from pages import CONTRAST, Visit

sys.path.insert(0, str(ROOT / "book"))
sys.path.insert(0, str(ROOT / "book/_ext"))
import build
import overview
import polish

LOADS = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src"}


# ------------------------------------------------------------------------------- reading the files


class Page(HTMLParser):
    """What a page holds: its anchors, links, loaded files and images."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.anchors |= {a for a in (attributes.get("id"), attributes.get("name")) if a}
        if tag == "a" and attributes.get("href") is not None:
            self.links.append(attributes["href"] or "")
        if tag in LOADS and attributes.get(LOADS[tag]):
            self.loads.append(attributes[LOADS[tag]] or "")
        if tag == "img":
            self.images.append(attributes)


def read_pages(site: Path) -> dict[Path, Page]:
    """Return every page of the site, by its path."""
    paths = [p for p in site.rglob("*.html") if "_static" not in p.relative_to(site).parts]
    return {path: Page(path) for path in sorted(paths)}


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return read_pages(site)


def is_external(address: str) -> bool:
    return bool(urlsplit(address).scheme or urlsplit(address).netloc)


def missing_targets(pages: dict[Path, Page]) -> list[str]:
    """Name every internal link or loaded file that leads nowhere."""
    wrong = []
    for path, page in pages.items():
        for address in [*page.links, *page.loads]:
            if is_external(address):
                continue
            parts = urlsplit(address)
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            if not target.is_file():
                wrong.append(f"{path.name}: {address}: no such file")
            elif anchor and target.suffix == ".html" and anchor not in pages[target].anchors:
                wrong.append(f"{path.name}: {address}: no such anchor")
    return wrong


def test_every_page_of_the_contents_is_there(site: Path) -> None:
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    listed = [toc["root"], *(c["file"] for part in toc["parts"] for c in part["chapters"])]
    assert [name for name in listed if not (site / f"{name}.html").is_file()] == []
    chapters = {f"chapters/{p.stem}" for p in (ROOT / "chapters").glob("[0-9]*.md")}
    assert chapters <= set(listed), "chapters that _toc.yml does not list"


def test_internal_links_and_anchors_resolve(pages: dict[Path, Page]) -> None:
    assert missing_targets({p.resolve(): page for p, page in pages.items()}) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text('<a href="b.html#there">x</a><a href="b.html#gone">x</a>')
    (tmp_path / "b.html").write_text('<p id="there"></p><a href="c.html">x</a>')
    wrong = missing_targets({p.resolve(): page for p, page in read_pages(tmp_path).items()})
    assert wrong == ["a.html: b.html#gone: no such anchor", "b.html: c.html: no such file"]


def test_external_links_are_well_formed(pages: dict[Path, Page]) -> None:
    links = {link for page in pages.values() for link in page.links if is_external(link)}
    assert links, "the bibliography links to its sources"
    for link in links:
        parts = urlsplit(link)
        assert parts.scheme in ("http", "https"), link
        assert re.fullmatch(r"([a-z0-9-]+\.)+[a-z]{2,}", parts.netloc), link
        assert not re.search(r"\s", link), link


def test_nothing_is_loaded_from_another_host(pages: dict[Path, Page], site: Path) -> None:
    loads = [(page.path.name, load) for page in pages.values() for load in page.loads]
    assert [load for load in loads if is_external(load[1])] == []
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()[\s'\"]*(https?:)?//", sheet.read_text()), sheet


def test_every_image_has_alternative_text(pages: dict[Path, Page]) -> None:
    bare = [
        f"{page.path.name}: {image.get('src')}"
        for page in pages.values()
        for image in page.images
        if not (image.get("alt") or "").strip()
    ]
    assert bare == []
    # A figure without a description of its own gets its file's name, which tells nobody anything.
    texts = {image.get("alt") or "" for page in pages.values() for image in page.images}
    assert [text for text in texts if "_images/" in text] == []


def test_the_api_page_lists_every_public_name(pages: dict[Path, Page], site: Path) -> None:
    import t2lib

    anchors = pages[site / "book/api.html"].anchors
    callables = [name for name in t2lib.__all__ if callable(getattr(t2lib, name))]
    assert [name for name in callables if f"t2lib.{name}" not in anchors] == []


def test_the_overview_figure_shows_the_embedded_curves(tmp_path: Path) -> None:
    overview.main(tmp_path / "drawn.svg")
    drawn = (tmp_path / "drawn.svg").read_bytes()
    assert drawn == overview.TARGET.read_bytes(), "run python book/overview.py"


# ----------------------------------------------------------------------------------- launch buttons


def launch_links(pages: dict[Path, Page]) -> set[str]:
    hosts = ("mybinder.org", "colab.research.google.com")
    links = {link for page in pages.values() for link in page.links}
    return {link for link in links if urlsplit(link).netloc in hosts}


def test_launch_buttons_follow_the_repository_setting(pages: dict[Path, Page]) -> None:
    repository = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]["url"]
    links = launch_links(pages)
    if repository:
        assert links
        name = repository.removeprefix("https://github.com/")
        assert all(name in link for link in links)
    else:
        assert links == set()
        everywhere = {link for page in pages.values() for link in page.links}
        assert not any("jupyter-book" in link for link in everywhere), "the template's repository"


def test_launch_buttons_with_an_address_lead_to_the_notebook(tmp_path: Path) -> None:
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    config["repository"]["url"] = "https://github.com/someone/some-book"
    source = tmp_path / "source"
    for folder in ["book", "chapters"]:
        (source / folder).mkdir(parents=True)
    for shared in ["_ext", "_static", "references.bib"]:
        (source / "book" / shared).symlink_to(ROOT / "book" / shared)
    (source / "_config.yml").write_text(yaml.safe_dump(build.settle(config)))
    toc = {"format": "jb-book", "root": "book/intro", "chapters": [{"file": "chapters/01_small"}]}
    (source / "_toc.yml").write_text(yaml.safe_dump(toc))
    (source / "book/intro.md").write_text("# Start\n")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# A chapter")])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, source / "chapters/01_small.ipynb")

    worker = [sys.executable, ROOT / "book/worker.py", "render", source, tmp_path / "out"]
    with subprocess.Popen(
        worker,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as run:
        said = run.stdout.read() if run.stdout else ""
    assert run.returncode == 0, said

    page = Page(tmp_path / "out/_build/html/chapters/01_small.html")
    assert launch_links({page.path: page}) == {
        "https://mybinder.org/v2/gh/someone/some-book/main"
        "?urlpath=lab/tree/chapters/01_small.ipynb",
        "https://colab.research.google.com/github/someone/some-book/blob/main"
        "/chapters/01_small.ipynb",
    }
    assert "../_sources/chapters/01_small.ipynb" in page.links


# ------------------------------------------------------------------------------ what pages say


def chapter_pages(pages: dict[Path, Page]) -> list[str]:
    return [path.read_text() for path in pages if path.parent.name == "chapters"]


def test_every_chapter_says_how_long_it_takes(pages: dict[Path, Page]) -> None:
    effort = re.compile(
        r"</h1>\n<p class=\"t2-effort\">\d+ minutes to read, "
        r"(under \d+ (seconds|minutes)|a few minutes) to run</p>"
    )
    assert [text[:200] for text in chapter_pages(pages) if not effort.search(text)] == []


def test_every_page_describes_itself(pages: dict[Path, Page], site: Path) -> None:
    """Without an address of the book, there are no tags that need one, and no sitemap."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    based = bool(config["sphinx"]["config"].get("html_baseurl"))
    for path in pages:
        text = path.read_text()
        if path.name in ("index.html", "search.html", "genindex.html", "py-modindex.html"):
            continue
        assert '<meta property="og:title"' in text, path
        assert ('<meta property="og:url"' in text) == based, path
        assert re.search(r'<meta name="description" content="[^"]{20,220}" />', text), path
    assert (site / "sitemap.xml").is_file() == based


def test_a_sitemap_lists_full_addresses() -> None:
    text = polish.sitemap(["https://example.org/b.html", "https://example.org/a.html?x&y"])
    assert text.index("a.html?x&amp;y") < text.index("b.html")


def test_figures_are_vectors_of_a_sane_size(executed: Path) -> None:
    """A cloud of thousands of dots is drawn with rasterized=True; the rest stays sharp.

    Beside the vectors are pixels: all that JupyterLab shows of a notebook that it did not run.
    """
    wrong = []
    for path in sorted(executed.glob("*.ipynb")):
        for number, cell in enumerate(nbformat.read(path, 4).cells, start=1):
            for data in [output.get("data", {}) for output in cell.get("outputs", [])]:
                if ("image/png" in data) != ("image/svg+xml" in data):
                    wrong.append(f"{path.name}, cell {number}: no use_style()")
                if len(data.get("image/svg+xml", "")) > 1_500_000:
                    wrong.append(f"{path.name}, cell {number}: a figure of over 1.5 MB")
    assert wrong == []


# What two renderings of the same executed chapters may differ in: nothing.
MAY_DIFFER: set[str] = set()


def test_the_same_chapters_give_the_same_site(site: Path, tmp_path: Path) -> None:
    (tmp_path / "_build").mkdir()
    again = build.render(build.Workers(ROOT), tmp_path, site.parent / "source")
    names = {
        path.relative_to(folder).as_posix()
        for folder in (site, again)
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".build_key" and path.suffix != ".pdf"
    }

    def differs(name: str) -> bool:
        one, other = site / name, again / name
        return not (one.is_file() and other.is_file() and one.read_bytes() == other.read_bytes())

    assert {name for name in names if differs(name)} <= MAY_DIFFER


def test_a_chapter_gives_the_same_outputs_again(executed: Path, tmp_path: Path) -> None:
    """Figures and tables too, byte for byte."""
    before = executed / "A9_mmlu.ipynb"  # soon run, and it has both
    chapter, out = ROOT / "chapters" / before.name, tmp_path / before.name
    task = {"chapter": str(chapter), "out": str(out), "parameters": {}}
    task["key"] = json.loads(before.read_text())["metadata"]["build_key"]
    nothing = {"on_cell": lambda: None, "on_end": lambda *_: None}
    build.execute(build.Workers(ROOT), 1, [task], **nothing)
    build.refresh(chapter, out)
    assert out.read_text() == before.read_text()


# ------------------------------------------------------------------------------------ in a browser


LOOK = r"""
async () => {
  const seen = [...document.querySelectorAll(".bd-article img, .navbar-brand img")];
  await Promise.all(seen.map(image => image.decode().catch(() => null)));
  const copy = document.querySelector("article")?.cloneNode(true);
  copy?.querySelectorAll("pre, code, script, mjx-container").forEach(part => part.remove());
  return {
    width: document.documentElement.scrollWidth,
    formulas: document.querySelectorAll(".math").length,
    rendered: document.querySelectorAll("mjx-container").length,
    broken: document.querySelectorAll("mjx-merror, merror").length,
    images: seen.filter(image => image.naturalWidth === 0).map(image => image.src),
    text: copy?.textContent ?? "",
  };
}
"""
MARKUP = re.compile(r"\$\$|\\\(|\\\[|\\begin\{|\{(eq|cite|glue|doc|ref|numref|math)[:\w]*\}")
# Tables that are cut off: wider than the text, and in no box that scrolls.
TABLES = """
() => [...document.querySelectorAll(".bd-article table")].filter(table => {
  const box = table.closest(".text_html, .pst-scrollable-table-container, .t2-live");
  const wide = table.scrollWidth > document.querySelector(".bd-article").clientWidth + 1;
  return wide && !(box && getComputedStyle(box).overflowX === "auto");
}).map(table => table.textContent.trim().slice(0, 60))
"""
# Contrast costs axe more than all its other rules together, text by text. Of texts of one kind,
# which share all that it depends on, three are enough; CONTRAST has looked at every text.
AXE = r"""
async () => {
  const kinds = new Map(), number = {};
  const kind = element => {
    if (!element) return "";
    if (!kinds.has(element)) {
      const style = getComputedStyle(element);
      const names = ["color", "backgroundColor", "backgroundImage", "opacity", "filter",
                     "textShadow", "fontSize", "fontWeight", "position", "zIndex"];
      kinds.set(element, kind(element.parentElement) + names.map(name => style[name]).join());
    }
    return kinds.get(element);
  };
  document.querySelectorAll("[data-axe]").forEach(element => element.removeAttribute("data-axe"));
  document.querySelectorAll("input, select, textarea").forEach(box => box.dataset.axe = "");
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!element.checkVisibility() || !texts.currentNode.textContent.trim()) continue;
    number[kind(element)] = (number[kind(element)] ?? 0) + 1;
    if (number[kind(element)] <= 3) element.dataset.axe = "";
  }
  axe.configure({rules: [{id: "color-contrast", selector: "[data-axe]"}]});
  const found = await axe.run({resultTypes: ["violations"]});
  return found.violations.map(fault => `${fault.id}: ${fault.nodes[0].html.slice(0, 120)}`);
}
"""


def faults_of_look(visit: Visit, width: int, scheme: str) -> list[str]:
    """What is wrong with a page as it shows at a width, in light or dark.

    To the eye, and to axe: as a screen reader and a keyboard meet it.
    """
    visit.show(width, scheme)
    visit.page.locator(f"html[data-theme={scheme}]").wait_for(state="attached")
    visit.page.wait_for_timeout(400)  # the theme waits a while, then lets the keyboard scroll
    look = visit.page.evaluate(LOOK)
    faults = [f"contrast of {text}" for text in visit.page.evaluate(CONTRAST)]
    if look["width"] > width:
        faults.append(f"{look['width']} pixels wide")
    if look["rendered"] < look["formulas"] or look["broken"]:
        faults.append(
            f"{look['formulas']} formulas, {look['rendered']} rendered, {look['broken']} broken"
        )
    faults += [f"not loaded: {image}" for image in look["images"]]
    faults += [f"markup left: {found.group()}" for found in MARKUP.finditer(look["text"])]
    faults += [f"cut off: {table}" for table in visit.page.evaluate(TABLES)]
    faults += visit.page.evaluate(AXE)
    return [f"at {width}, {scheme}: {fault}" for fault in faults]


@pytest.mark.parametrize("quarter", range(4))
def test_every_page_is_whole_and_axe_finds_nothing(
    browser: Any, address: str, pages: dict[Path, Page], site: Path, quarter: int
) -> None:
    """A quarter of the pages each, wide and light, then narrow and dark."""
    wrong = []
    names = [path.relative_to(site).as_posix() for path in pages]
    names.remove("index.html")  # only sends the reader on
    # In one window, which has read the theme and its scripts once.
    with Visit(browser, address + names[quarter]) as visit:
        for name in names[quarter::4]:
            visit.show(1440, "light")
            visit.go(address + name)
            loaded = list(visit.faults)  # axe itself then asks for style sheets that are not there
            visit.page.evaluate(Axe().axe_script)
            faults = faults_of_look(visit, 1440, "light") + faults_of_look(visit, 390, "dark")
            wrong += [f"{name}: {fault}" for fault in loaded + faults]
    assert wrong == []


def test_the_site_starts_at_the_landing_page(browser: Any, address: str) -> None:
    page = browser.new_page()
    page.goto(address)
    page.wait_for_url("**/book/intro.html")
    page.close()


def test_there_are_formulas_to_render(browser: Any, address: str) -> None:
    with Visit(browser, address + "book/notation.html") as visit:
        assert visit.page.evaluate(LOOK)["rendered"] > 50


def test_the_theme_button_switches(browser: Any, address: str) -> None:
    with Visit(browser, address + "book/intro.html") as visit:
        background = "getComputedStyle(document.body).backgroundColor"
        before = visit.page.evaluate(background)
        button = visit.page.locator(".theme-switch-button").first
        for _ in range(3):  # auto, light, dark
            button.click()
            if visit.page.evaluate("document.documentElement.dataset.theme") == "dark":
                break
        assert visit.page.evaluate("document.documentElement.dataset.theme") == "dark"
        assert visit.page.evaluate(background) != before
        assert visit.page.evaluate(CONTRAST) == []
        assert visit.faults == []


def test_search_finds_a_word(browser: Any, address: str) -> None:
    with Visit(browser, address + "search.html?q=overtraining") as visit:
        # Results come one after the other: wait for the landing page's.
        visit.page.locator("#search-results li a[href*=intro]").first.wait_for()
        assert visit.faults == []
