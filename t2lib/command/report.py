"""The report of ``t2 fit``: chapter 11 run through papermill, rendered to one HTML file.

The file asks no host for anything: figures are in it as data, equations as MathML, and its content
security policy forbids scripts. Text that comes from the data is escaped twice over: the chapter
puts it into tables that escape, and Markdown is rendered with HTML off.
"""

from __future__ import annotations

import contextlib
import html
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from markdown_it import MarkdownIt

CHAPTER = "11_your_own_checkpoints.ipynb"
BOOK_ONLY = "book-only"  # tag of cells that the report leaves out
_ONE_THREAD = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "VECLIB_MAXIMUM")


class MissingPieceError(RuntimeError):
    """Something that a report needs is not installed; the message says how to get it."""


def require_pieces() -> Path:
    """Return the path of the chapter behind the report.

    Raises
    ------
    MissingPieceError
        Where the book's packages or its chapters are not there.
    """
    from importlib.util import find_spec

    needed = ("papermill", "ipykernel", "nbformat", "markdown_it", "mdit_py_plugins", "docutils")
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise MissingPieceError(
            f"a report needs {', '.join(missing)}: pip install 't2lib[book]', "
            "or ask for the numbers alone with --no-report"
        )
    chapter = Path(__file__).resolve().parents[2] / "chapters" / CHAPTER
    if not chapter.is_file():
        raise MissingPieceError(
            f"a report needs the book's chapters, and {chapter} is not there: run t2 from a clone "
            "of the repository, or ask for the numbers alone with --no-report"
        )
    return chapter


def make_report(curves: Path, numbers: Path, *, on_step: Callable[[int, int], None]) -> str:
    """Run the chapter on a fitted suite and return the report as HTML text.

    Parameters
    ----------
    curves : Path
        A curve table, Parquet.
    numbers : Path
        The suite's JSON, as ``SuiteFit.text`` gives it.
    on_step : callable
        Called as ``on_step(done, total)`` before each cell.

    Raises
    ------
    MissingPieceError
        As :func:`require_pieces`.
    RuntimeError
        Where a cell of the chapter fails.
    """
    chapter = require_pieces()
    parameters = {"curves": str(curves.resolve()), "numbers": str(numbers.resolve())}
    return render(execute(chapter, parameters, on_step), "Train-to-test report")


def execute(chapter: Path, parameters: dict[str, Any], on_step: Callable[[int, int], None]) -> Any:
    """Run a notebook through papermill, in an empty folder, and return it with its outputs."""
    import papermill
    from papermill.engines import NBClientEngine, papermill_engines

    class ReportingEngine(NBClientEngine):
        """Papermill's own engine, which also tells of every cell as it starts."""

        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> Any:
            start = nb_man.cell_start

            def tell(cell: Any, index: int | None = None, **more: Any) -> None:
                on_step(index or 0, len(nb_man.nb.cells))
                start(cell, index, **more)

            nb_man.cell_start = tell
            return super().execute_managed_notebook(nb_man, kernel_name, **options)

    papermill_engines.register("t2-report", ReportingEngine)
    with tempfile.TemporaryDirectory(prefix="t2-report-") as folder, _environment(folder):
        try:
            return papermill.execute_notebook(
                chapter,
                None,
                parameters,
                engine_name="t2-report",
                progress_bar=False,
                cwd=folder,
                extra_arguments=["--IPKernelApp.log_level=40"],  # its advice is not the reader's
            )
        except papermill.PapermillExecutionError as error:
            raise RuntimeError(f"the report's cell {error.cell_index}: {error.evalue}") from None


@contextlib.contextmanager
def _environment(folder: str) -> Iterator[None]:
    """Give the kernel this t2lib, one thread, and none of the reader's own start-up files."""
    path = [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", "")]
    settings = {
        "PYTHONPATH": os.pathsep.join(filter(None, path)),
        "IPYTHONDIR": str(Path(folder) / "ipython"),
        "JUPYTER_PREFER_ENV_PATH": "1",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        **{f"{name}_NUM_THREADS": "1" for name in _ONE_THREAD},
    }
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


# ------------------------------------------------------------------------------------ rendering


def render(notebook: Any, title: str) -> str:
    """Render an executed notebook to one HTML page: text, tables and figures, no code."""
    page = _Page(_glued(notebook))
    for cell in notebook.cells:
        tags = set(cell.metadata.get("tags", []))
        if BOOK_ONLY in tags or tags & {"parameters", "injected-parameters"}:
            continue
        if cell.cell_type == "markdown":
            page.add_text(cell.source)
        elif cell.cell_type == "code":
            page.add_outputs(cell.outputs, cell.metadata.get("mystnb", {}))
    body = "\n".join(page.parts)
    return _TEMPLATE.format(
        title=html.escape(title), style=_STYLE, contents=page.contents(), body=body
    )


def table(frame: pd.DataFrame, caption: str = "") -> Any:
    """Show a table in a notebook, every cell escaped: names in it are the reader's own."""
    from IPython.display import HTML

    text = frame.to_html(index=False, escape=True, border=0, na_rep="–", justify="left")
    if caption:
        text = text.replace("<thead>", f"<caption>{html.escape(caption)}</caption>\n<thead>", 1)
    return HTML(text)


def figure_text(name: str, longest: int = 30) -> str:
    """Return a name fit for a figure: short, on one line, and never read as a formula."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in name).split())
    short = plain if len(plain) <= longest else plain[: longest - 1] + "…"
    return short.replace("$", r"\$")


def _glued(notebook: Any) -> dict[str, str]:
    """Texts that cells put under a name for the prose, as MyST-NB's glue does."""
    values = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            name = output.get("metadata", {}).get("scrapbook", {}).get("name")
            for kind, text in output.get("data", {}).items():
                if name and kind.endswith("text/plain"):
                    text = "".join(text)
                    values[name] = text[1:-1] if text[:1] in "'\"" else text
    return values


class _Page:
    """Parts of a page, in order, with the headings that they have."""

    def __init__(self, glued: dict[str, str]) -> None:
        self.parts: list[str] = []
        self.headings: list[tuple[str, str]] = []
        self.markdown = _markdown(glued)

    def contents(self) -> str:
        links = [f'<li><a href="#{anchor}">{text}</a></li>' for anchor, text in self.headings]
        return "\n".join(links)

    def add_text(self, source: str) -> None:
        """Add Markdown; second-level headings get an anchor."""
        text = self.markdown.render(source)

        def anchored(found: re.Match[str]) -> str:
            plain = re.sub(r"<[^>]*>", "", found[1])
            anchor = f"part-{len(self.headings) + 1}"
            self.headings.append((anchor, plain))
            return f'<h2 id="{anchor}">{found[1]}</h2>'

        self.parts.append(re.sub(r"<h2>(.*?)</h2>", anchored, text))

    def add_outputs(self, outputs: Sequence[Any], metadata: dict[str, Any]) -> None:
        """Add what a cell showed; warnings and glued values are not for the reader."""
        for output in outputs:
            if output.output_type == "stream" and output.name == "stdout":
                self.parts.append(f"<pre>{html.escape(output.text)}</pre>")
            data = output.get("data", {})
            if "image/png" in data:
                self.parts.append(_figure(data["image/png"], metadata))
            elif "text/html" in data:
                self.parts.append(
                    f'<div class="table" tabindex="0">{_joined(data["text/html"])}</div>'
                )
            elif "text/markdown" in data:
                self.add_text(_joined(data["text/markdown"]))


def _joined(text: str | Sequence[str]) -> str:
    return text if isinstance(text, str) else "".join(text)


def _figure(data: str, metadata: dict[str, Any]) -> str:
    caption = html.escape(metadata.get("figure", {}).get("caption", ""))
    alt = html.escape(metadata.get("image", {}).get("alt", ""), quote=True)
    data = re.sub(r"\s", "", data)
    image = f'<img alt="{alt}" src="data:image/png;base64,{data}">'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"


def _markdown(glued: dict[str, str]) -> MarkdownIt:
    """Return a renderer of the chapter's Markdown: tables, equations, glued values; no raw HTML."""
    from docutils.utils.math.latex2mathml import tex2mathml  # type: ignore[import-untyped]
    from markdown_it import MarkdownIt
    from mdit_py_plugins.colon_fence import colon_fence_plugin
    from mdit_py_plugins.dollarmath import dollarmath_plugin
    from mdit_py_plugins.myst_role import myst_role_plugin

    def equation(content: str, options: dict[str, Any]) -> str:
        mathml = tex2mathml(content.strip(), as_block=options["display_mode"])
        mathml = re.sub(r">\s+<", "><", mathml)  # a line break inside a formula would be a space
        return mathml.replace("<mi>log</mi>", '<mi>log</mi><mspace width="0.17em"/>')

    def role(_renderer: Any, tokens: Any, index: int, _options: Any, _env: Any) -> str:
        name, content = tokens[index].meta["name"], tokens[index].content
        if name == "glue:text":
            return html.escape(glued[content])
        if name == "math":
            return equation(content, {"display_mode": False})
        raise ValueError(f"the report cannot show the role {{{name}}}: tag the cell {BOOK_ONLY}")

    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    dollarmath_plugin(markdown, renderer=equation, label_renderer=lambda _: "", double_inline=True)
    myst_role_plugin(markdown)
    colon_fence_plugin(markdown)
    markdown.add_render_rule("myst_role", role)
    return markdown


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
math[display="block"] { margin: .9rem 0; max-width: 46rem; overflow-x: auto; overflow-y: hidden; }
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
