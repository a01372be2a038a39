"""The report of ``t2 fit``: a fitted suite's tables and figures in one HTML file.

The file asks no host for anything: figures are in it as data, and its content security policy
forbids scripts. Text that comes from the data is escaped where it enters the page.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pandas as pd

from t2lib._checks import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from t2lib.studies.suite_fits import SuiteFit


def make_report(
    curves: pd.DataFrame, suite: SuiteFit, *, on_step: Callable[[int, int], None]
) -> str:
    """Return the report of a fitted suite as HTML text.

    Parameters
    ----------
    curves : DataFrame
        The curve table that the laws were fitted to.
    suite : SuiteFit
        Its fits.
    on_step : callable
        Called as ``on_step(done, total)`` before each section.
    """
    from t2lib.plots import use_style

    use_style()
    largest = suite.numbers["settings"]["largest_k"]
    rows = curves[curves["task"].isin(suite.tasks) & (curves["k"] <= largest)]
    sections = {
        "In short": _in_short,
        "The data": _data,
        "The laws": _laws,
        "Fits and intervals": _fits,
        "How well the laws fit": _how_well,
        "The out-of-sample check": _check,
        "The plan": _plan,
    }
    links, body = [], []
    for place, (title, section) in enumerate(sections.items()):
        on_step(place, len(sections))
        links.append(f'<li><a href="#part-{place + 1}">{title}</a></li>')
        body += [f'<h2 id="part-{place + 1}">{title}</h2>', *section(suite, rows)]
    return _TEMPLATE.format(
        title="Train-to-test report",
        style=_STYLE,
        contents="\n".join(links),
        body=plain("\n".join(body)),  # names may hold what a screen obeys or hides
    )


# ------------------------------------------------------------------------------------- sections


def _in_short(suite: SuiteFit, rows: pd.DataFrame) -> Iterator[str]:
    from t2lib.studies import suite_tables as tables

    yield _text(
        "One row a task. <em>Best on held-out checkpoints</em> is the law with the smallest error "
        "on them. Where none could be held out, the law with the smallest error on what it was "
        "fitted to is <em>chosen in sample</em>. The plan is that law's advice for the default "
        "budgets, or those that were asked for, with <i>N</i> and <i>D</i> kept in the convex hull "
        "of the checkpoints "
        "(in logarithms) and <i>k</i> where the checkpoints near by were measured. <em>Without "
        "that limit</em> says where the law would go, and how far beyond that."
    )
    yield table(tables.in_short(suite))
    for told in suite.numbers.get("source", {}).get("left_out", []):
        yield _text(f"<strong>Left out.</strong> {html.escape(told)}.")
    for doubt in tables.doubts(suite):
        yield _text(f"<strong>To be doubted.</strong> {html.escape(doubt)}")
    for caution in tables.cautions(suite):
        yield _text(f"<strong>Take care.</strong> {html.escape(caution)}")
    for sentence in tables.sentences(suite):
        yield _text(html.escape(sentence))
    yield table(tables.budgets(suite), caption="Budgets of these plans")
    yield _text(
        "A plan is as good as its law. Before following one, look at three things below: the "
        "residuals, the error on held-out checkpoints, and the width of the plan's interval."
    )


def _data(suite: SuiteFit, rows: pd.DataFrame) -> Iterator[str]:
    from t2lib.studies import suite_figures as figures
    from t2lib.studies import suite_tables as tables

    yield table(tables.data(suite))
    if len(left_out := tables.left_out(suite)):
        yield table(left_out)
    yield _text(
        "<em>From</em> says what pass@k was computed from. Likelihoods give the chance "
        "<i>p</i> = e<sup>−NLL</sup> that one sample is the right answer. Samples give it by "
        "counting. With few models no bootstrap can say how sure a fit is: fewer than about eight "
        "is few."
    )
    yield picture(
        figures.checkpoints(rows),
        "Every checkpoint, one colour a model. The dashed line is 20 tokens per parameter.",
        "Scatter plot of training tokens against parameters for all checkpoints, on logarithmic "
        "axes, with a dashed line at 20 tokens per parameter.",
    )


def _laws(suite: SuiteFit, rows: pd.DataFrame) -> Iterator[str]:
    largest = suite.numbers["settings"]["largest_k"]
    yield _text("<b>Chinchilla</b> is the loss of one sample:")
    yield _formula("<i>L</i> = <i>E</i> + <i>A N</i><sup>−α</sup> + <i>B D</i><sup>−β</sup>")
    yield _text("The <b>additive law</b> (approach 1) adds a term for the samples:")
    yield _formula(
        "−log pass@<i>k</i> = <i>E</i> + <i>A N</i><sup>−α</sup> + <i>B D</i><sup>−β</sup> + "
        "<i>G k</i><sup>−γ</sup>"
    )
    yield _text(
        "<b>Beta regression</b> (approach 2) and the <b>Beta-consistent law</b> (this book's) say "
        "that the questions' chances follow a Beta distribution, whose shape <i>a</i>, <i>b</i> "
        "follows from <i>L</i>:"
    )
    yield _formula("pass@<i>k</i> = 1 − B(<i>a</i>, <i>b</i> + <i>k</i>) / B(<i>a</i>, <i>b</i>)")
    yield _text(
        "Where there are only samples and no likelihoods, the Beta laws are fitted to the counts "
        "of right samples, question by question. And the <b>interaction law</b> is fitted to "
        "pass@k directly, with <i>C</i> = 6<i>ND</i>:"
    )
    yield _formula(
        "log(−log pass@<i>k</i>) = log <i>A</i> + α log <i>C</i> + β log <i>k</i> + "
        "δ log <i>C</i> log <i>k</i>"
    )
    yield _text(f"Rows with more than {largest} samples are not fitted.")


def _fits(suite: SuiteFit, rows: pd.DataFrame) -> Iterator[str]:
    from t2lib.fitting.table import LAWS
    from t2lib.studies import suite_tables as tables

    yield _text(
        "Each value is followed by its 95 % interval. The bootstrap draws whole models with "
        "replacement and refits, with at most six checkpoints of a model for the Beta laws. An "
        "interval that leaves out its value is a warning: the fit hangs on details. <em>At a "
        "bound</em> names parameters that the data cannot tell. Then the others have taken over "
        "its part, and none should be read alone."
    )
    for name, row in LAWS.items():
        if row.named and len(found := tables.parameters(suite, name)):
            yield table(found, caption=tables.label(name))
    if len(failures := tables.failures(suite)):
        yield table(failures, caption="Resamples that could not be fitted")
    yield _text("Where Chinchilla is fitted, the Beta laws stand on its parameters.")


def _how_well(suite: SuiteFit, rows: pd.DataFrame) -> Iterator[str]:
    from t2lib.studies import suite_figures as figures

    yield _text(
        "A good law scatters around the line, with no bend. A bend means that the law has the "
        "wrong shape, and more data will not mend it."
    )
    for tasks in figures.groups(suite):
        yield picture(
            figures.predicted(suite, rows, tasks),
            "Predicted against seen, every checkpoint and k, by the best law of each task. Grey "
            "line, equality.",
            "For each task a scatter plot of the predicted against the seen metric with the line "
            "of equality.",
        )
        yield _residuals(suite, rows, tasks)


def _residuals(suite: SuiteFit, rows: pd.DataFrame, tasks: list[str]) -> str:
    from t2lib.studies import suite_figures as figures

    if figures.has_many_k(rows):
        return picture(
            figures.residuals(suite, rows, tasks),
            "Seen minus predicted (dots, the laws side by side), and its median (lines). A law "
            "whose line leaves zero is wrong in k.",
            "For each task the residuals of each law against the number of samples, with a line "
            "at zero.",
        )
    return picture(
        figures.residuals_by_size(suite, rows, tasks),
        "Seen minus predicted (colour) by the best law of each task, at each checkpoint's N and D. "
        "One colour on one side means that the law is wrong in N or in D.",
        "For each task the checkpoints' tokens against parameters, coloured by the residual.",
    )


def _check(suite: SuiteFit, rows: pd.DataFrame) -> Iterator[str]:
    from t2lib.studies import suite_tables as tables

    yield _text(
        "The laws are fitted again without the most overtrained checkpoints, and then asked to "
        "predict them. This is the honest error: in sample every law looks good. Errors are root "
        "mean squares. The last column is the mean error of pass@k on the held-out checkpoints, "
        "relative to what was seen."
    )
    yield table(tables.errors(suite), caption="Errors")
    yield table(tables.held_out(suite), caption="What was held out")
    yield _text(
        "A held-out error several times the error in sample means: do not follow this law into "
        "overtraining."
    )


def _plan(suite: SuiteFit, rows: pd.DataFrame) -> Iterator[str]:
    from t2lib.studies import suite_figures as figures
    from t2lib.studies import suite_tables as tables

    yield _text(
        "Two budgets: training FLOPs 6<i>ND</i>, and FLOPs 2<i>Nk</i> for each token of the "
        "answer. A smaller model may draw more samples. The table has two plans of each law: "
        "<em>free</em>, wherever the law leads, with its 95 % interval, and <em>inside</em>, the "
        "best in the hull of the checkpoints with no more samples than were measured near by. "
        "Where the two differ much, the law is asked about models that nobody has seen. What is "
        "predicted has the 95 % interval of the resampled laws."
    )
    for task in suite.tasks:
        yield table(tables.plans(suite, task), caption=task)
        if len(near := tables.nearest(suite, task)):
            yield table(near, caption=f"Checkpoints around the best law's inside plan of {task}")
    for tasks in figures.groups(suite):
        yield picture(
            figures.plans(suite, tasks),
            "What the best law of each task predicts at every model size that spends the budgets. "
            "Thin lines, the law of each resample; dot, the best of them. Shaded, sizes whose N "
            "and D lie in the hull of the checkpoints.",
            "For each task the predicted metric against model size at fixed budgets, with a line "
            "for each resample, a dot at the best size and a shaded trained range.",
        )
    yield _text(
        "A flat curve means that the size hardly matters, and that the interval of the best size "
        "is wide for that reason. Lines that go different ways mean that the data do not tell."
    )


# ------------------------------------------------------------------------------------ the pieces


def _text(markup: str) -> str:
    return f"<p>{markup}</p>"


def _formula(markup: str) -> str:
    return f'<p class="formula">{markup}</p>'


def table(frame: pd.DataFrame, caption: str = "") -> str:
    """Return a table as HTML, every cell escaped: names in it are the reader's own."""
    text = frame.to_html(index=False, escape=True, border=0, na_rep="–", justify="left")
    if caption:
        text = text.replace("<thead>", f"<caption>{html.escape(caption)}</caption>\n<thead>", 1)
    return f'<div class="table" tabindex="0">{text}</div>'


def picture(figure: Figure, caption: str, alt: str) -> str:
    """Return a figure as HTML, its image as data, and close it."""
    from matplotlib import pyplot as plt

    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=150, facecolor="white")
    plt.close(figure)
    source = f"data:image/png;base64,{base64.b64encode(image.getvalue()).decode()}"
    shown = f'<img alt="{html.escape(alt, quote=True)}" src="{source}">'
    return f"<figure>{shown}<figcaption>{html.escape(caption)}</figcaption></figure>"


_STYLE = """
:root { color-scheme: light; --ink: #22282c; --muted: #565d63; --line: #ddd8ca; --head: #123f4b; }
* { box-sizing: border-box; }
body { margin: 0; background: #fdfcf9; color: var(--ink);
  font: 1.06rem/1.6 Charter, "Bitstream Charter", Cambria, "Noto Serif", serif; }
main { max-width: 60rem; margin: 0 auto; padding: 1.5rem 1.1rem 4rem; }
h1, h2, h3, nav, table, figcaption, footer {
  font-family: system-ui, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif; }
h1, h2, h3 { color: var(--head); line-height: 1.25; }
h1 { font-size: 1.9rem; margin: 1rem 0 .4rem; }
h2 { font-size: 1.4rem; margin: 2.6rem 0 .6rem; padding-top: .5rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1.1rem; margin: 1.6rem 0 .4rem; }
p, li { overflow-wrap: anywhere; max-width: 46rem; }
a { color: #0b6070; }
nav ul { list-style: none; padding: 0; margin: .6rem 0 0; display: flex; flex-wrap: wrap;
  gap: .2rem 1.1rem; font-size: .92rem; }
.table { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .86rem; line-height: 1.4;
  font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .7rem .35rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
caption { text-align: left; font-weight: 600; color: var(--head); padding-bottom: .3rem; }
thead th { border-bottom: 2px solid var(--head); white-space: nowrap; }
figure { margin: 1.4rem 0; max-width: 46rem; }
img { max-width: 100%; height: auto; display: block; margin: 0 auto; }
figcaption { color: var(--muted); font-size: .88rem; margin-top: .5rem; }
pre, code { font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: .88em; }
pre { overflow-x: auto; background: #f3f0e8; padding: .7rem; }
.formula { margin: .9rem 0 .9rem 2rem; }
footer { color: var(--muted); font-size: .85rem; margin-top: 3rem;
  border-top: 1px solid var(--line); padding-top: .8rem; }
@media print { nav { display: none; } figure, tr { break-inside: avoid; } }
"""

_TEMPLATE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
<nav aria-label="Contents"><ul>
{contents}
</ul></nav>
{body}
<footer>Made by <code>t2 fit</code>. The numbers are in the JSON file beside this report, and
<code>t2 plan</code> answers other budgets from it.</footer>
</main>
</body>
</html>
"""
