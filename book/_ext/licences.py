"""The licence of every file in the site's ``_static`` that somebody else wrote.

Pages written: ``_static/licences.txt``. A test fails where a shipped file belongs to none of these.
"""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import t2lib

ROOT = Path(t2lib.__file__).parents[1]
MATHJAX = "sphinx-mathjax-offline"


@dataclass(frozen=True)
class Work:
    """Something that others wrote and the site ships."""

    name: str
    licence: str  # as SPDX names it
    source: str
    files: str  # patterns of paths in _static, between blanks
    package: str  # which of the lock's packages brings the files
    holder: str = ""  # who holds the copyright, where the package has no text that says so

    def covers(self, path: str) -> bool:
        """Tell whether a path in _static belongs to this work."""
        return any(fnmatchcase(path, pattern) for pattern in self.files.split())

    def text(self) -> str:
        """Return the licence: the package's own where the work is the package, else the form."""
        if not self.holder:
            return licence_file(self.package, "LICENSE")
        forms = [FORMS[part]() for part in self.licence.split(" AND ")]
        return "\n\n".join([f"Copyright {self.holder}", *forms])


def licence_file(package: str, name: str) -> str:
    """Return the text of a licence as an installed package carries it."""
    path = next(f for f in importlib.metadata.files(package) or [] if f.stem == name)
    return path.read_text(encoding="utf-8").strip()


def mit() -> str:
    """Return the MIT licence without a holder: this book's own, from its permission on."""
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    return "MIT License\n\n" + text[text.index("Permission is hereby") :].strip()


def open_font() -> str:
    """Return the SIL Open Font License, which Matplotlib ships for fonts of its own."""
    text = licence_file("matplotlib", "LICENSE_STIX")
    return text[text.index("SIL OPEN FONT LICENSE") :].strip()


FORMS = {
    "MIT": mit,
    "Apache-2.0": lambda: licence_file("cyclonedx-python-lib", "LICENSE"),
    "OFL-1.1": open_font,
    "CC-BY-4.0": lambda: "Icons: https://creativecommons.org/licenses/by/4.0/legalcode",
}

WORKS = [
    Work(
        "Sphinx",
        "BSD-2-Clause",
        "https://www.sphinx-doc.org",
        "basic.css doctools.js documentation_options.js language_data.js searchtools.js "
        "sphinx_highlight.js file.png minus.png plus.png",
        "sphinx",
    ),
    Work(
        "Sphinx Book Theme",
        "BSD-3-Clause",
        "https://github.com/executablebooks/sphinx-book-theme",
        "scripts/sphinx-book-theme.js* styles/sphinx-book-theme.css* images/logo_* "
        "locales/* sbt-webpack-macros.html",
        "sphinx-book-theme",
    ),
    Work(
        "PyData Sphinx Theme",
        "BSD-3-Clause",
        "https://github.com/pydata/pydata-sphinx-theme",
        "scripts/*.js scripts/*.js.map styles/pydata-sphinx-theme.css* "
        "styles/theme.css webpack-macros.html",
        "pydata-sphinx-theme",
    ),
    Work(
        "Bootstrap 5",
        "MIT",
        "https://getbootstrap.com",
        "scripts/bootstrap.js* styles/pydata-sphinx-theme.css*",
        "pydata-sphinx-theme",
        "2011-2024 The Bootstrap Authors",
    ),
    Work(
        "Popper 2",
        "MIT",
        "https://popper.js.org",
        "scripts/bootstrap.js*",
        "pydata-sphinx-theme",
        "2019 Federico Zivolo",
    ),
    Work(
        "compare-versions",
        "MIT",
        "https://github.com/omichelsen/compare-versions",
        "scripts/pydata-sphinx-theme.js*",
        "pydata-sphinx-theme",
        "2015-2021 Ole Michelsen",
    ),
    Work(
        "Font Awesome Free 6",
        "CC-BY-4.0 AND OFL-1.1 AND MIT",
        "https://fontawesome.com/license/free",
        "scripts/fontawesome.js* vendor/fontawesome/*",
        "pydata-sphinx-theme",
        "2024 Fonticons, Inc. (icons under CC BY 4.0, fonts under OFL 1.1, code under MIT)",
    ),
    Work(
        "MathJax 3",
        "Apache-2.0",
        "https://www.mathjax.org",
        "mathjax/*",
        MATHJAX,
        "2009-2022 The MathJax Consortium",
    ),
    Work(
        "mhchemParser",
        "Apache-2.0",
        "https://github.com/mhchem/mhchemParser",
        "mathjax/tex-chtml.js mathjax/input/tex/extensions/*",
        MATHJAX,
        "2015-2021 Martin Hensel",
    ),
    Work(
        "sphinx-copybutton",
        "MIT",
        "https://github.com/executablebooks/sphinx-copybutton",
        "copybutton*",
        "sphinx-copybutton",
    ),
    Work(
        "clipboard.js 2",
        "MIT",
        "https://clipboardjs.com",
        "clipboard.min.js",
        "sphinx-copybutton",
        "Zeno Rocha",
    ),
    Work(
        "Tabler Icons",
        "MIT",
        "https://tabler.io/icons",
        "copy-button.svg check-solid.svg",
        "sphinx-copybutton",
        "2020-2024 Paweł Kuna",
    ),
    Work(
        "sphinx-togglebutton",
        "MIT",
        "https://github.com/executablebooks/sphinx-togglebutton",
        "togglebutton*",
        "sphinx-togglebutton",
    ),
    Work(
        "sphinx-design",
        "MIT",
        "https://github.com/executablebooks/sphinx-design",
        "sphinx-design.min.css design-tabs.js",
        "sphinx-design",
    ),
    Work(
        "MyST-NB",
        "BSD-3-Clause",
        "https://github.com/executablebooks/MyST-NB",
        "mystnb.*.css",
        "myst-nb",
    ),
    Work("Pygments", "BSD-2-Clause", "https://pygments.org", "pygments.css", "pygments"),
    Work(
        "accessible-pygments",
        "BSD-3-Clause",
        "https://github.com/Quansight-Labs/accessible-pygments",
        "pygments.css",
        "accessible-pygments",
    ),
]


def page() -> str:
    """Return the text of ``licences.txt``."""
    head = (
        "What this site ships in _static that others wrote, with the licence of each work.\n"
        "Everything else in it is the book's own: code MIT, text and figures CC BY 4.0.\n"
    )
    return "\n".join([head, *map(section, WORKS)])


def section(work: Work) -> str:
    """Return one work's part of the text."""
    version = importlib.metadata.version(work.package)
    return (
        f"{'=' * 80}\n{work.name}\nLicence: {work.licence}\nSource: {work.source}\n"
        f"Shipped by: {work.package} {version}\nFiles: {work.files}\n"
        f"{'-' * 80}\n{work.text()}\n"
    )
