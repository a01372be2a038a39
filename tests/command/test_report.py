"""The report: what it shows of a notebook, that nothing in it acts, and that it asks no host."""

import json
import re

import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from pages import BROWSER_FLAGS
from suites import HOSTILE, curve_table

import t2lib as t2
from t2lib.command import report
from t2lib.command.report import figure_text, make_report, render, table

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"  # any text does


def shown(*cells):
    return render(new_notebook(cells=list(cells)), "A title")


def body(page):
    return page.split("</nav>")[1].split("<footer>")[0]


def glued(name, text):
    data = {"application/papermill.record/text/plain": repr(text)}
    output = new_output("display_data", data, metadata={"scrapbook": {"name": name}})
    return new_code_cell("glue()", outputs=[output])


def test_text_equations_and_glued_values():
    page = body(
        shown(
            new_markdown_cell(
                "## Part\n\nAbout $N$: {glue:text}`found`.\n\n$$\nE + A N^{-\\alpha}\n$$ (label)"
            ),
            glued("found", "<b>3</b> of 4"),
        )
    )
    assert '<h2 id="part-1">Part</h2>' in page
    assert "&lt;b&gt;3&lt;/b&gt; of 4" in page
    assert page.count("<math") == 2 and "<mi>α</mi>" in page
    assert "$" not in page and "(label)" not in page


def test_raw_html_in_text_is_shown_not_used():
    page = body(shown(new_markdown_cell("<script>alert(1)</script> [x](javascript:alert(1))")))
    assert "<script" not in page and "&lt;script&gt;" in page
    assert "href=" not in page


def test_roles_that_only_the_book_knows_are_refused():
    with pytest.raises(ValueError, match=r"role \{cite\}: tag the cell book-only"):
        shown(new_markdown_cell("See {cite}`someone`."))
    with pytest.raises(KeyError):
        shown(new_markdown_cell("{glue:text}`nowhere`"))


def test_code_parameters_warnings_and_book_only_cells_are_left_out():
    page = shown(
        new_code_cell("secret = 1", outputs=[new_output("stream", name="stdout", text="<seen>")]),
        new_code_cell("x", outputs=[new_output("stream", name="stderr", text="a warning")]),
        new_code_cell("n = 3", metadata={"tags": ["parameters"]}),
        new_markdown_cell("only in the book", metadata={"tags": ["book-only"]}),
    )
    assert "<pre>&lt;seen&gt;</pre>" in page
    for hidden in ("secret", "a warning", "n = 3", "only in the book"):
        assert hidden not in page


def test_figures_carry_their_caption_and_alternative_text():
    metadata = {"mystnb": {"figure": {"caption": 'A "caption"'}, "image": {"alt": 'An "alt" text'}}}
    output = new_output("display_data", {"image/png": PIXEL[:20] + "\n" + PIXEL[20:]})
    page = body(shown(new_code_cell("draw()", outputs=[output], metadata=metadata)))
    assert f'<img alt="An &quot;alt&quot; text" src="data:image/png;base64,{PIXEL}">' in page
    assert "<figcaption>A &quot;caption&quot;</figcaption>" in page


def test_tables_escape_names_everywhere():
    text = table(pd.DataFrame({HOSTILE: [HOSTILE]}), caption=HOSTILE).data
    assert "<img" not in text
    assert text.count("&lt;img src=x onerror=alert(1)&gt;") == 3


def test_names_in_figures_are_short_plain_text():
    assert figure_text("a$b$") == r"a\$b\$"
    assert figure_text("two\nlines\x00\u202e") == "two lines"
    assert len(figure_text("x" * 100, 24)) == 24


def test_the_page_forbids_scripts_and_other_hosts():
    page = shown(new_markdown_cell("text"))
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in page
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//", page)


@pytest.mark.parametrize("missing", ["papermill", "docutils"])
def test_without_the_books_packages_one_line_says_what_to_install(monkeypatch, missing):
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == missing else real(name, *a)
    )
    with pytest.raises(report.MissingPieceError, match=f"{missing}: pip install"):
        report.require_pieces()


def test_without_the_chapters_one_line_says_where_to_run(monkeypatch, tmp_path):
    monkeypatch.setattr(report, "__file__", str(tmp_path / "site-packages/t2lib/command/report.py"))
    with pytest.raises(report.MissingPieceError, match="run t2 from a clone"):
        report.require_pieces()


def test_a_cell_that_fails_is_one_error(tmp_path):
    notebook = new_notebook(
        cells=[new_code_cell("x = 1"), new_code_cell("raise ValueError('why')")]
    )
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, tmp_path / "chapter.ipynb")
    steps = []
    with pytest.raises(RuntimeError, match=r"cell \d: why"):
        report.execute(tmp_path / "chapter.ipynb", {}, lambda *step: steps.append(step))
    assert steps and list(tmp_path.iterdir()) == [tmp_path / "chapter.ipynb"]


# ------------------------------------------------------------------------------- a whole report


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Return the report on two tasks with hostile names, one of them from samples."""
    folder = tmp_path_factory.mktemp("report")
    curves = pd.concat([curve_table([HOSTILE]), curve_table(["words"], samples=True)])
    curves["model"] = "<b>" + curves["model"] + "</b>"
    suite = t2.fit_suite(curves, n_bootstrap=4)
    source = {"files": 2, "skipped": ["<i>bad.csv</i>: row 3: no"], "notes": []}
    suite.numbers["source"] = source
    curves.to_parquet(folder / "curves.parquet", index=False)
    (folder / "numbers.json").write_text(suite.text(), encoding="utf-8")
    text = make_report(
        folder / "curves.parquet", folder / "numbers.json", on_step=lambda done, total: None
    )
    (folder / "report.html").write_text(text, encoding="utf-8")
    return folder / "report.html"


def test_the_report_shows_the_numbers_it_was_given(page):
    text = page.read_text(encoding="utf-8")
    numbers = json.loads((page.parent / "numbers.json").read_text())
    plan = numbers["tasks"]["words"]["laws"]["InteractionLaw"]["plan"]["inside"]
    assert t2.plots.engineering(plan["N"]) in text
    assert "&lt;i&gt;bad.csv&lt;/i&gt;: row 3: no" in text
    assert "Exercises" not in text and "simulated" not in text


@pytest.mark.parametrize("width", [390, 1440])
def test_the_report_opens_whole_and_asks_no_host(page, chromium, width):
    from playwright.sync_api import sync_playwright

    faults, asked = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=BROWSER_FLAGS)
        tab = browser.new_page(viewport={"width": width, "height": 900})
        tab.set_default_timeout(60_000)
        tab.on("console", lambda message: faults.append(message.text))
        tab.on("pageerror", lambda error: faults.append(str(error)))
        tab.on("dialog", lambda dialog: faults.append("a script ran"))
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(page.as_uri())
        headings = tab.locator("h2").all_inner_texts()
        images = tab.evaluate(
            "[...document.images].map(i => [i.naturalWidth > 0, i.alt.length > 20])"
        )
        formulas, wide = (
            tab.locator("math").count(),
            tab.evaluate("document.documentElement.scrollWidth"),
        )
        links = tab.evaluate(
            "[...document.links].filter(a => !document.querySelector(a.hash)).map(a => a.href)"
        )
        hostile = tab.get_by_text("<img src=x onerror=alert(1)>").count()
        acting = tab.locator("script, [onerror], iframe, main b, main i").count()
        browser.close()
    assert faults == []
    assert [url for url in asked if not url.startswith(("data:", page.as_uri()))] == []
    assert headings == [
        "In short",
        "The data",
        "The laws",
        "Fits and intervals",
        "How well the laws fit",
        "The out-of-sample check",
        "The plan",
    ]
    assert len(images) == 4 and all(loaded and described for loaded, described in images)
    assert formulas >= 10 and wide <= width and links == []
    assert hostile >= 4 and acting == 0
