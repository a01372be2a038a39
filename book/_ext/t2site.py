"""What the site needs beyond Jupyter Book's settings: the listing of t2lib's public names."""

import inspect
import sys
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import nested_parse_with_titles

PACKAGE = "t2lib"
OUTSIDE_MODULES = "re-exported"  # group of public names that carry no module (constants)


def public_names_by_module() -> dict[str, list[str]]:
    """Group the names in ``t2lib.__all__`` by the module that defines them."""
    package = __import__(PACKAGE)
    groups: dict[str, list[str]] = {}
    for name in getattr(package, "__all__", []):
        value = getattr(package, name)
        if inspect.ismodule(value):
            # A module offered as a whole (t2lib.plots) contributes its own public functions.
            members = inspect.getmembers(value, inspect.isfunction)
            names = [
                f"{name}.{member}"
                for member, function in members
                if function.__module__ == value.__name__ and not member.startswith("_")
            ]
            groups.setdefault(value.__name__, []).extend(names)
        elif callable(value):
            groups.setdefault(value.__module__, []).append(name)
        else:
            groups.setdefault(OUTSIDE_MODULES, []).append(name)
    return groups


class ApiListing(SphinxDirective):
    """``{t2-api}``: every public name of t2lib from its docstring, one section a module."""

    def run(self) -> list[nodes.Node]:
        """Write the listing as reStructuredText and parse it where the directive stands."""
        lines = [f".. currentmodule:: {PACKAGE}", ""]
        for module, names in public_names_by_module().items():
            if module == OUTSIDE_MODULES:
                continue
            title = f"``{module}``"
            lines += [title, "-" * len(title), ""]
            summary = inspect.getdoc(sys.modules[module])
            lines += [(summary or "").split("\n\n")[0].replace("\n", " "), ""]
            for name in names:
                lines += self._autodoc(name)
        content = StringList(lines, source=self.env.docname)
        parent = nodes.section()
        parent.document = self.state.document
        nested_parse_with_titles(self.state, content, parent, self.content_offset)
        return parent.children

    @staticmethod
    def _autodoc(name: str) -> list[str]:
        value: Any = __import__(PACKAGE)
        for part in name.split("."):
            value = getattr(value, part)
        kind = "function"
        if inspect.isclass(value):
            kind = "autoexception" if issubclass(value, BaseException) else "autoclass"
        directive = kind if kind.startswith("auto") else f"auto{kind}"
        lines = [f".. {directive}:: {PACKAGE}.{name}"]
        if directive == "autoclass":
            lines.append("   :members:")
        return [*lines, ""]


def resolve_by_module(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: nodes.Element
) -> nodes.Element | None:
    """Let ``t2lib.fit.fit_chinchilla`` in a docstring lead to ``t2lib.fit_chinchilla``."""
    target = node.get("reftarget", "")
    parts = target.split(".")
    if node.get("refdomain") != "py" or parts[0] != PACKAGE or len(parts) < 3:
        return None
    short = ".".join([PACKAGE, *parts[2:]])
    domain = env.get_domain("py")
    return domain.resolve_xref(
        env, node["refdoc"], app.builder, node["reftype"], short, node, contnode
    )


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_directive("t2-api", ApiListing)
    app.connect("missing-reference", resolve_by_module)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
