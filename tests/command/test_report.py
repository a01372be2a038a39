"""The report: what it shows of a suite, that nothing in it acts, that it asks no host."""

import json
import re

import pandas as pd
import pytest
from matplotlib import pyplot as plt
from suites import HOSTILE, curve_table

import t2lib as t2
from t2lib.command.report import make_report, picture, table
from t2lib.plots import log_counts
from t2lib.studies.suite_figures import figure_text, groups, plans, readable_ticks


def test_figures_carry_their_caption_and_alternative_text():
    plt.close("all")  # whatever another test left open
    page = picture(plt.figure(), 'A "caption"', 'An "alt" text')
    assert page.startswith('<figure><img alt="An &quot;alt&quot; text" src="data:image/png;base64,')
    assert "<figcaption>A &quot;caption&quot;</figcaption>" in page
    assert not plt.get_fignums()


def test_tables_escape_names_everywhere():
    text = table(pd.DataFrame({HOSTILE: [HOSTILE]}), caption=HOSTILE)
    assert "<img" not in text
    assert text.count("&lt;img src=x onerror=alert(1)&gt;") == 3


def test_names_in_figures_are_short_plain_text():
    assert figure_text("a$b$") == r"a\$b\$"
    assert figure_text("two\nlines\x00\u202e") == "two lines"
    assert len(figure_text("x" * 100, 24)) == 24


@pytest.mark.parametrize("ends", [(0.31, 0.38), (0.3, 0.9), (0.02, 0.9), (1e-3, 9), (1e-11, 8)])
def test_a_logarithmic_axis_has_labels_whatever_it_spans(ends):
    figure, ax = plt.subplots(figsize=(2.9, 2.6))
    ax.set(xscale="log", yscale="log", xlim=ends, ylim=ends)
    for axis in (ax.xaxis, ax.yaxis):
        readable_ticks(axis)
    figure.canvas.draw()
    for axis in (ax.xaxis, ax.yaxis):
        shown = [
            x.get_text() for x in axis.get_ticklabels() if ends[0] <= _place(x, axis) <= ends[1]
        ]
        assert 2 <= len(shown) <= 10 and all(shown)
    plt.close(figure)


def _place(label, axis):
    return label.get_position()[0 if axis.axis_name == "x" else 1]


# ------------------------------------------------------------------------------- a whole report


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Return the report on two tasks with hostile names, one of them from samples."""
    folder = tmp_path_factory.mktemp("report")
    curves = pd.concat([curve_table([HOSTILE]), curve_table(["words"], samples=True)])
    curves["model"] = "<b>" + curves["model"] + "</b>"
    suite = t2.fit_suite(curves, n_bootstrap=4)
    source = {
        "files": 2,
        "skipped": ["<i>bad.csv</i>: row 3: no"],
        "notes": ["task words: <u>2</u>"],
    }
    source["left_out"] = source["notes"]
    suite.numbers["source"] = source
    (folder / "numbers.json").write_text(suite.text(), encoding="utf-8")
    text = make_report(curves, suite, on_step=lambda done, total: None)
    (folder / "report.html").write_text(text, encoding="utf-8")
    return folder / "report.html"


def test_the_page_forbids_scripts_and_other_hosts(page):
    text = page.read_text(encoding="utf-8")
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in text
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//", text)


def test_every_task_gets_its_figure():
    curves = pd.concat([curve_table([f"t{i}"]) for i in range(10)])
    suite = t2.fit_suite(curves, n_bootstrap=0)
    assert [len(tasks) for tasks in groups(suite)] == [8, 2]


def test_the_report_shows_the_numbers_it_was_given(page):
    text = page.read_text(encoding="utf-8")
    numbers = json.loads((page.parent / "numbers.json").read_text())
    plan = numbers["tasks"]["words"]["laws"]["InteractionLaw"]["plan"]["inside"]
    assert t2.plots.engineering(plan["N"]) in text
    assert "&lt;i&gt;bad.csv&lt;/i&gt;: row 3: no" in text
    assert "<strong>Left out.</strong> task words: &lt;u&gt;2&lt;/u&gt;." in text
    assert "<td>left out: checkpoints</td>" in text and "<td>a note</td>" not in text
    assert "Exercises" not in text and "simulated" not in text


@pytest.mark.parametrize("width", [390, 1440])
def test_the_report_opens_whole_and_asks_no_host(page, browser, width):
    faults, asked = [], []
    tab = browser.new_page(viewport={"width": width, "height": 900})
    tab.set_default_timeout(60_000)
    tab.on("console", lambda message: faults.append(message.text))
    tab.on("pageerror", lambda error: faults.append(str(error)))
    tab.on("dialog", lambda dialog: faults.append("a script ran"))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(page.as_uri())
    headings = tab.locator("h2").all_inner_texts()
    images = tab.evaluate("[...document.images].map(i => [i.naturalWidth > 0, i.alt.length > 20])")
    formulas = tab.locator("p.formula").count()
    wide = tab.evaluate("document.documentElement.scrollWidth")
    links = tab.evaluate(
        "[...document.links].filter(a => !document.querySelector(a.hash)).map(a => a.href)"
    )
    hostile = tab.get_by_text("<img src=x onerror=alert(1)>").count()
    acting = tab.locator("script, [onerror], iframe, table b, table i").count()
    tab.close()
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
    assert formulas == 4 and wide <= width and links == []
    assert hostile >= 4 and acting == 0


def test_the_report_says_what_is_to_be_doubted_and_why_there_is_no_plan():
    curves = curve_table(["words"])
    line = curves[curves["n_tokens"] == 20 * curves["n_params"]]
    line = line.assign(mean_nll=10 * line["mean_nll"])
    text = make_report(line, t2.fit_suite(line, n_bootstrap=2), on_step=lambda *_: None)
    first = text[: text.index("The data</h2>")]
    assert first.count("<strong>To be doubted.</strong> words: ") == 2
    assert "chosen in sample: no interval and no plan: the checkpoints lie in one line" in first
    assert "<strong>Take care.</strong> words: " in first and "none was held out" in first


def test_losses_at_one_k_are_reported_by_the_loss():
    """No law of k can be fitted to them: the Chinchilla law is drawn, and what it is judged on."""
    curves = curve_table(["words"])
    curves = curves[curves["k"] == 1]
    suite = t2.fit_suite(curves, n_bootstrap=0)
    page = make_report(curves, suite, on_step=lambda *_: None)
    assert "words: Chinchilla, " in page and "k is 1 in every row" in page
    assert page.count("<img") == 4


def test_a_budget_that_pays_no_sample_leaves_a_report():
    suite = t2.fit_suite(curve_table(["words"], samples=True), n_bootstrap=0, inference_flops=1.0)
    (ax,) = plans(suite, ["words"]).axes
    assert [text.get_text() for text in ax.texts] == ["no sample is paid"] and not ax.lines
    assert (
        "2 N exceeds it" in suite.task("words")["laws"]["InteractionLaw"]["plan"]["free"]["error"]
    )
    plt.close("all")


def test_counts_on_an_axis_are_written_short():
    figure, ax = plt.subplots(figsize=(2.9, 2.6))
    ax.set(xscale="log", xlim=(9e7, 9e8), yscale="log", ylim=(1e6, 1e9))
    for axis in (ax.xaxis, ax.yaxis):
        log_counts(axis)
    figure.canvas.draw()
    x, y = ({x.get_text() for x in a.get_ticklabels(which="both")} for a in (ax.xaxis, ax.yaxis))
    assert {"100M", "200M", "500M"} <= x and {"1M", "1B"} <= y and "2M" not in y
    assert not any("10^" in text for text in x | y)
    plt.close(figure)
