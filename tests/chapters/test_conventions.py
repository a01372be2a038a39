"""What every chapter has in common: its parts, its numbering, what it may not hold, its size."""

import re
import sys
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pytest
from at_hand import ROOT

sys.path.insert(0, str(ROOT / "book"))
import build

LIMITS = {
    "words": 2200,
    "lines of code": 200,
    "lines in a cell": 20,
    "keyed numbers": 25,
    "figures": 6,
    "functions": 1,
}
COLUMN = 332  # px that a figure has on a screen of 390
SMALLEST_LABEL = 9  # px
MARKUP = {
    "roles": r"\{[\w:+-]+\}`",
    "directives": r"^ *(?:```+|:::+) *\{(?!code-cell)",
    "figures outside text": r"^ *figure:",
    "glue": r"\bglue\b",
}
DETAILS = re.compile(r"<details><summary>Solution</summary>\n\n.*?\n\n</details>", re.S)
CITED = re.compile(r"(?<!!)\[[^\]]*\]\((https?://[^)\s]+)\)")


class Chapter:
    """A chapter as its conventions see it."""

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        self.number = path.stem.split("_")[0].lstrip("0")
        self.raw = path.read_text()
        self.cells = jupytext.read(path).cells
        self.code = [c for c in self.cells if c.cell_type == "code"]
        self.text = "\n\n".join(c.source for c in self.cells if c.cell_type == "markdown")

    def tagged(self, tag: str) -> list[Any]:
        """Return the code cells with a tag."""
        return [c for c in self.code if tag in c.metadata.get("tags", [])]

    @property
    def prose(self) -> str:
        """The text without code and without equations."""
        text = re.sub(r"^ *(```+).*?^ *\1 *$", "", self.text, flags=re.M | re.S)
        return re.sub(r"\$\$.*?\$\$|\\begin\{.*?\\end\{\w+\*?\}", "", text, flags=re.S)

    def sizes(self) -> dict[str, int]:
        """Return what the limits are about."""
        lines = [[x for x in c.source.splitlines() if x.strip()] for c in self.code]
        # The cell of the numbers has a line for each of them.
        numbers = [c.source for c in self.tagged("numbers")]
        others = [x for x, c in zip(lines, self.code, strict=True) if c.source not in numbers]
        return {
            "words": len(re.sub(r"<!--.*?-->|<[^>]*>|\$[^$]*\$", " x ", self.prose).split()),
            "lines of code": sum(map(len, lines)),
            "lines in a cell": max(map(len, others)),
            "keyed numbers": len(set(re.findall(r"<!--=([^:]*?)-->", self.text))),
            "figures": len(re.findall(r"^\*\*Figure [\w.]+\.\*\*", self.text, re.M)),
            "functions": sum(len(re.findall(r"^ *def ", c.source, re.M)) for c in self.code),
        }


def faults_of_parts(chapter: Chapter) -> list[str]:
    """Title, what to know first, parameters, numbers, exercises: each once and in this order."""
    faults = []
    headings = re.findall(r"^(#+) +(.+?) *$", chapter.prose, re.M)
    if [level for level, _ in headings].count("#") != 1 or headings[0][0] != "#":
        faults.append("one title is wanted, at the top")
    if not re.match(r"# [^\n]*\n\n\*\*Before you read\.\*\* \S", chapter.text):
        faults.append("the title is not followed by **Before you read.**")
    sections = [h for level, h in headings if level == "##" and not h.startswith("The numbers")]
    if sections[-1:] != ["Exercises"]:
        faults.append("the last section is not ## Exercises")
    for tag in ["parameters", "numbers"]:
        if len(chapter.tagged(tag)) != 1:
            faults.append(f"{len(chapter.tagged(tag))} cells have the tag {tag}")
    for cell in chapter.tagged("parameters"):
        if not {"n_bootstrap", "seed"} <= set(re.findall(r"^(\w+) *=", cell.source, re.M)):
            faults.append("the parameters are not n_bootstrap and seed")
    return faults


def faults_of_numbering(chapter: Chapter) -> list[str]:
    """Equations, figures and exercises count from 1, and every one that is referred to exists."""
    kinds = {
        "equation": (r"\\tag\{([\w.]+)\}", r"\((A?\d+\.\d+[a-z]?)\)"),
        "figure": (r"^\*\*Figure ([\w.]+)\.\*\*", r"\b[Ff]igures? ([A\d]+\.\d+)"),
        "exercise": (r"^\*\*Exercise ([\w.]+)\.\*\*", r"\b[Ee]xercises? ([A\d]+\.\d+)"),
    }
    faults = []
    for kind, (set_here, referred) in kinds.items():
        there = re.findall(set_here, chapter.text, re.M)
        wanted = [f"{chapter.number}.{i + 1}" for i in range(len(there))]
        if there != wanted:
            faults.append(f"{kind}s are numbered {', '.join(there)}")
        for number in re.findall(referred, chapter.prose):
            if number.split(".")[0] == chapter.number and number.rstrip("abc") not in there:
                faults.append(f"there is no {kind} {number}")
    # JupyterLab puts a number of its own beside equations of any other form.
    others = set(re.findall(r"\$\$|\\begin\{(?:align|gather|multline)\*?\}", chapter.text))
    return [*faults, *(f"an equation in {form}: want equation*" for form in sorted(others))]


def faults_of_exercises(chapter: Chapter) -> list[str]:
    """Every exercise is followed by its folded solution, in one form and in the same cell."""
    exercises = chapter.text.split("\n## Exercises", 1)[-1]
    parts = re.split(r"^\*\*Exercise ", exercises, flags=re.M)[1:]
    faults = [] if parts else ["there is no exercise"]
    for part in parts:
        if len(DETAILS.findall(part)) != 1 or part.count("<details") != 1:
            faults.append(f"exercise {part.split('**')[0]} has not one folded solution")
    return faults


def faults_of_folds(chapter: Chapter, executed: Path) -> list[str]:
    """A folded cell is folded everywhere, and something stands below it."""
    ran = {c.source: c.outputs for c in nbformat.read(executed, 4).cells if c.cell_type == "code"}
    faults = []
    for cell in chapter.code:
        hidden = "hide-input" in cell.metadata.get("tags", [])
        first = next(iter(cell.source.splitlines()), "")
        if hidden != bool(cell.metadata.get("jupyter", {}).get("source_hidden")):
            faults.append(f"folded on the site or in Jupyter only: {first}")
        if hidden and not ran.get(cell.source):
            faults.append(f"folded, with no output: {first}")
    return faults


def faults_of_outputs(executed: Path) -> list[str]:
    """Figures whose labels are too small on a phone, tables that show names of columns as coded."""
    faults = []
    for cell in nbformat.read(executed, 4).cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            figure, table = data.get("image/svg+xml", ""), data.get("text/html", "")
            # matplotlib draws a letter by a path of 100 units, scaled to the size of its font.
            sizes = [100 * float(x) for x in re.findall(r"scale\(([\d.]+) -", figure)]
            width = float((re.findall(r'viewBox="0 0 ([\d.]+)', figure) or [1])[0])
            if sizes and min(sizes) * COLUMN / width < SMALLEST_LABEL:
                faults.append(f"labels of {min(sizes) * COLUMN / width:.1f} px: {cell.source[:60]}")
            names = re.findall(r"<th[^>]*>([^<]*\w_\w[^<]*)</th>", table)
            faults += [f"a table's {name}" for name in names]
    return faults


def faults_of_markup(chapter: Chapter) -> list[str]:
    """Nothing that JupyterLab, Colab and nbviewer would show as it is written."""
    return [
        f"{kind}: {found.group()}"
        for kind, pattern in MARKUP.items()
        for found in re.finditer(pattern, chapter.raw, re.M)
    ]


def cited_addresses() -> set[str]:
    """Return the address of every entry of the bibliography."""
    entries = (ROOT / "book/references.bib").read_text()
    fields = re.findall(r"^\s*(eprint|doi|url) = \{(.*?)\}", entries, re.M)
    hosts = {"eprint": "https://arxiv.org/abs/", "doi": "https://doi.org/", "url": ""}
    return {hosts[field] + value for field, value in fields}


REWRITTEN = [
    chapter
    for chapter in map(Chapter, sorted((ROOT / "chapters").glob(build.CHAPTER + ".md")))
    if chapter.tagged("numbers")
]
each = pytest.mark.parametrize("chapter", REWRITTEN, ids=lambda chapter: chapter.name)


@each
@pytest.mark.parametrize(
    "faults", [faults_of_parts, faults_of_numbering, faults_of_exercises, faults_of_markup]
)
def test_is_written_like_the_others(chapter: Chapter, faults: Any) -> None:
    assert faults(chapter) == []


@each
def test_folded_cells_are_folded_everywhere_and_show_something(
    chapter: Chapter, executed: Path
) -> None:
    assert faults_of_folds(chapter, executed / f"{chapter.name}.ipynb") == []


@each
def test_figures_and_tables_are_readable(chapter: Chapter, executed: Path) -> None:
    assert faults_of_outputs(executed / f"{chapter.name}.ipynb") == []


@each
def test_cites_only_what_the_bibliography_lists(chapter: Chapter) -> None:
    assert set(CITED.findall(chapter.prose)) - cited_addresses() == set()


@each
def test_links_lead_to_files(chapter: Chapter) -> None:
    """Readers of the notebook follow them in JupyterLab, where nothing warns."""
    links = re.findall(r"\]\(((?!https?:|#)[^)\s]+)\)", chapter.prose)
    missing = [x for x in links if not (ROOT / "chapters" / x.split("#")[0]).is_file()]
    assert missing == []


@each
def test_is_no_longer_than_a_lecture(chapter: Chapter) -> None:
    sizes = chapter.sizes()
    over = {name: size for name, size in sizes.items() if size > LIMITS[name]}
    assert over == {}, f"{chapter.name} has {sizes}, the limits are {LIMITS}"


def test_faults_are_found(tmp_path: Path) -> None:
    """The checks are no rubber stamp."""
    path = tmp_path / "05_wrong.md"
    path.write_text(
        "---\njupytext:\n  text_representation:\n    extension: .md\n    format_name: myst\n---\n\n"
        "# Title\n\nSee figure 5.2, (5.3) and {eq}`x`.\n\n$$ x \\tag{5.2} $$\n\n"
        "**Figure 5.1.** A caption.\n\n## Exercises\n\n**Exercise 5.1.** Why?\n\n"
        "```{code-cell} ipython3\n:tags: [hide-input]\n\nx = 1\n```\n"
    )
    chapter = Chapter(path)
    assert len(faults_of_parts(chapter)) == 3
    assert faults_of_numbering(chapter) == [
        "equations are numbered 5.2",
        "there is no equation 5.3",
        "there is no figure 5.2",
        "an equation in $$: want equation*",
    ]
    assert faults_of_exercises(chapter) == ["exercise 5.1. has not one folded solution"]
    assert faults_of_markup(chapter) == ["roles: {eq}`"]
    drawn = '<svg viewBox="0 0 500 300"><g transform="scale(0.1 -0.1)"/></svg>'
    data = {"image/svg+xml": drawn, "text/html": "<table><th>max_ratio</th></table>"}
    outputs = [nbformat.v4.new_output("display_data", data)]
    cells = [nbformat.v4.new_code_cell("x = 2", outputs=outputs)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "drawn.ipynb")
    assert faults_of_outputs(tmp_path / "drawn.ipynb") == [
        "labels of 6.6 px: x = 2",
        "a table's max_ratio",
    ]
    ran = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x = 1")])
    nbformat.write(ran, tmp_path / "ran.ipynb")
    assert faults_of_folds(chapter, tmp_path / "ran.ipynb") == [
        "folded on the site or in Jupyter only: x = 1",
        "folded, with no output: x = 1",
    ]
