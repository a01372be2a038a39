"""What the site needs beyond Jupyter Book's settings: a few listings, and MathJax of its own.

``{t2-api}``        every public name of t2lib, from its docstring, one section a module
``{t2-released}``   the released files that data/registry.csv pins
``{t2-recorded}``   the results in data/recorded/, with the files they were computed from
"""

import importlib.util
import inspect
import json
import pydoc
import re
import sys
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective
from sphinx.util.fileutil import copy_asset
from sphinx.util.nodes import nested_parse_with_titles

import t2lib
from t2lib.data.registry import registry

sys.path.insert(0, str(Path(__file__).parents[1]))
import licences
import overview
import policy
import polish
import sbom

PACKAGE = t2lib.__name__
ROOT = Path(t2lib.__file__).parents[1]
RECORDED = ROOT / "data/recorded"
MATHJAX = Path(str(importlib.util.find_spec("sphinx-mathjax-offline").origin)).parent / "static"
# The parts that pages ask for; the whole package is eight times as large.
MATHJAX_PARTS = ["tex-chtml.js", "input/tex/extensions", "output/chtml/fonts"]


class Listing(SphinxDirective):
    """A directive that writes Markdown and has it parsed where it stands."""

    @abstractmethod
    def lines(self) -> Iterator[str]:
        """Yield the lines to parse."""

    def run(self) -> list[nodes.Node]:
        """Parse the lines."""
        parent = nodes.section()
        parent.document = self.state.document
        content = StringList(list(self.lines()), source=self.env.docname)
        nested_parse_with_titles(self.state, content, parent, self.content_offset)
        return parent.children


def table(header: list[str], rows: list[list[str]]) -> Iterator[str]:
    """Yield a Markdown table."""
    for row in [header, ["---"] * len(header), *rows]:
        yield f"| {' | '.join(row)} |"
    yield ""


class ApiListing(Listing):
    """``{t2-api}``."""

    def lines(self) -> Iterator[str]:
        """Yield one section a module."""
        for module, names in public_names().items():
            yield from [f"## `{module}`", "", "```{eval-rst}"]
            # The module's docstring is its introduction, and names in it are looked up in t2lib.
            # No index entry for it: a module and a function in it may share a name.
            yield from [f".. automodule:: {module}", "   :no-index:", ""]
            yield from [f".. currentmodule:: {PACKAGE}", ""]
            for name, value in names.items():
                yield from autodoc(name, value)
            yield from ["```", ""]


def public_names() -> dict[str, dict[str, Any]]:
    """Return every public class and function of t2lib, grouped by the module that defines it."""
    groups: dict[str, dict[str, Any]] = {}
    for name in t2lib.__all__:
        value = getattr(t2lib, name)
        if inspect.ismodule(value):  # offered as a whole, like t2lib.plots
            own = [f for f in inspect.getmembers(value, inspect.isfunction) if f[0][0] != "_"]
            members = {f"{name}.{k}": v for k, v in own if v.__module__ == value.__name__}
            groups.setdefault(value.__name__, {}).update(members)
        elif callable(value):
            groups.setdefault(value.__module__, {})[name] = value
    return groups


def autodoc(name: str, value: Any) -> Iterator[str]:
    """Yield the autodoc directive for one public name."""
    kind = "function"
    if inspect.isclass(value):
        kind = "exception" if issubclass(value, BaseException) else "class"
    yield f".. auto{kind}:: {PACKAGE}.{name}"
    if kind == "class":
        yield "   :members:"
    yield ""


class ReleasedListing(Listing):
    """``{t2-released}``."""

    def lines(self) -> Iterator[str]:
        """Yield a table with one row a file, or a group of files."""
        files = registry()
        folder = (
            files["path"].str.rpartition("/")[0].where(files["repository"] == "", files["name"])
        )
        rows = []
        for _, group in files.groupby(folder, sort=False):  # converted tables of one folder
            first, count = group.iloc[0], group["files"].sum()
            name = f"`{first['name']}`"
            digest = f"`{first.sha256[:16]}…`"
            if len(group) > 1:
                name += f" to `{group.iloc[-1]['name']}`"
                digest = "each in the registry"
            elif count > 1:
                digest += " of their manifest"
            pinned = f"{first.repository} at `{first.commit[:12]}`" if first.repository else "–"
            size = f"{count:,} files, " if count > 1 else ""
            size += f"{group['bytes'].sum() / 1e3:,.0f} kB"
            rows.append([name, pinned, size, digest, first.licence, f"{{cite}}`{first.citation}`"])
        header = ["Name", "Repository and commit", "Size", "sha256", "Licence", "Source"]
        yield from table(header, rows)


class RecordedListing(Listing):
    """``{t2-recorded}``."""

    def lines(self) -> Iterator[str]:
        """Yield a table with one row a recorded result."""
        paths = sorted(RECORDED.glob("*.json"))
        rows = [self.row(path) for path in paths]
        if rows:
            yield from table(["Result", "Computed from", "Settings", "Holds"], rows)
        else:
            yield from ["Nothing is recorded yet.", ""]

    @staticmethod
    def row(path: Path) -> list[str]:
        """Return one result's cells."""
        content = json.loads(path.read_text())
        names = [f"`{name}` (`{sha256[:16]}…`)" for name, sha256 in content["inputs"].items()]
        inputs = ", ".join(names) if len(names) <= 4 else f"{names[0]} and {len(names) - 1} more"
        settings = [f"`{key}` = {value}" for key, value in (content["settings"] or {}).items()]
        holds = ", ".join(f"`{key}`" for key in content["values"])
        return [f"`{path.stem}`", inputs, ", ".join(settings) or "–", holds]


def resolve_by_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: nodes.Element
) -> nodes.Element | None:
    """Let docstrings name things as their own module sees them.

    Public names lead to their entry. Others that exist stay plain text; the rest are warnings.
    """
    module, target = node.get("py:module") or PACKAGE, node.get("reftarget", "")
    if node.get("refdomain") != "py" or not module.startswith(PACKAGE):
        return None
    name = re.sub(rf"^{PACKAGE}\.(\w+\.)?(?=\w)", "", target)
    kind = node["reftype"]
    found = env.get_domain("py").resolve_xref(
        env, node["refdoc"], app.builder, kind, f"{PACKAGE}.{name}", node, contnode
    )
    exists = any(pydoc.locate(f"{place}{target}") for place in (f"{module}.", f"{PACKAGE}.", ""))
    return found or (contnode if exists else None)


def quote_overview(app: Sphinx, config: Config) -> None:
    """Compute the numbers that the landing page quotes: ``{{ overview_... }}``."""
    config.myst_substitutions |= overview.facts(overview.points())


def copy_mathjax(app: Sphinx) -> None:
    """Put MathJax into the site, before the pages that name it are written."""
    for part in MATHJAX_PARTS:
        target = Path(app.outdir) / "_static/mathjax" / part
        target.parent.mkdir(parents=True, exist_ok=True)
        copy_asset(
            str(MATHJAX / "mathjax" / part), str(target if target.suffix == "" else target.parent)
        )


def write_declarations(app: Sphinx) -> None:
    """Put into the site the licences of what it ships, and what it was made with."""
    static = Path(app.outdir) / "_static"
    static.mkdir(parents=True, exist_ok=True)
    (static / "licences.txt").write_text(licences.page(), encoding="utf-8")
    (static / "sbom.cdx.json").write_text(sbom.bill(ROOT), encoding="utf-8")


def place_footer_links(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Have the footer's links lead to _static from pages of every folder."""
    footer = context.get("theme_extra_footer") or ""
    static = context["pathto"]("_static", resource=1)
    context["theme_extra_footer"] = footer.replace('href="_static', f'href="{static}')


def polish_page(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Mend what the theme leaves, and say how long a chapter takes: the build has measured it."""
    if doctree is not None and app.builder.name == "html":
        times = Path(app.srcdir) / "times.json"
        runs = json.loads(times.read_text()) if times.is_file() else {}
        polish.page(page, context, doctree, runs)
    elif "body" in context:
        context["body"] = polish.body(context["body"])


def write_sitemap(app: Sphinx, error: Exception | None) -> None:
    """List the pages by address, where `html_baseurl` says what that is."""
    base = app.config.html_baseurl
    if base and not error and app.builder.name == "html":
        pages = [f"{base.rstrip('/')}/{app.builder.get_target_uri(d)}" for d in app.env.found_docs]
        (Path(app.outdir) / "sitemap.xml").write_text(polish.sitemap(pages))


def protect_pages(app: Sphinx, error: Exception | None) -> None:
    """Give every finished page its policy, and the first address a page that has one too."""
    if error or app.builder.format != "html":
        return
    out = Path(app.outdir)
    # Jupyter Book would write this page, after everybody else and without a policy.
    (out / "index.html").write_text(policy.redirect(f"{app.config.root_doc}.html"))
    paths = [p for p in out.rglob("*.html") if "_static" not in p.relative_to(out).parts]
    pages = {path: path.read_text(encoding="utf-8") for path in paths}
    attributes = set().union(*map(policy.handlers, pages.values()))
    for path, html in pages.items():
        path.write_text(policy.protect(polish.sidebar(html), attributes), encoding="utf-8")


def use_two_processes(app: Sphinx, _config: Config) -> None:
    """Read and write pages side by side, for which Jupyter Book has no setting.

    The one extension that does not say whether this is safe works after all pages are read.
    """
    app.parallel = 2
    silent = app.extensions["sphinx_multitoc_numbering"]
    silent.parallel_read_safe = silent.parallel_write_safe = True


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_directive("t2-api", ApiListing)
    app.add_directive("t2-released", ReleasedListing)
    app.add_directive("t2-recorded", RecordedListing)
    app.connect("missing-reference", resolve_by_name)
    app.connect("config-inited", quote_overview)
    app.connect("config-inited", use_two_processes)
    app.connect("builder-inited", copy_mathjax)
    app.connect("builder-inited", write_declarations)
    app.connect("html-page-context", place_footer_links)
    app.connect("html-page-context", polish_page)
    app.connect("build-finished", write_sitemap)
    app.connect("build-finished", protect_pages)
    app.config.mathjax_path = "mathjax/tex-chtml.js"
    return {"parallel_read_safe": True, "parallel_write_safe": True}
