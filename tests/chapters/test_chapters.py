"""Every chapter: its pair, its parts, and that it ran, without released files, to its end."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from at_hand import ROOT

sys.path.insert(0, str(ROOT / "book"))
import build

CHAPTERS = sorted((ROOT / "chapters").glob(build.CHAPTER + ".md"))
each_chapter = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)


def notebook(path: Path) -> Any:
    """Return a notebook file's content."""
    return json.loads(path.read_text())


def test_there_are_chapters_and_the_contents_list_every_one() -> None:
    """A chapter that the table of contents forgets is a chapter that nobody reads."""
    listed = re.findall(r"^ *- file: chapters/(\w+)", (ROOT / "_toc.yml").read_text(), re.M)
    assert listed
    assert sorted(listed) == [c.stem for c in CHAPTERS]


@each_chapter
def test_pair_is_equal_and_carries_no_outputs(chapter: Path) -> None:
    """The notebook that people open says what the text says that people review."""
    build.check_pair(chapter.with_suffix(".ipynb"))
    for cell in notebook(chapter.with_suffix(".ipynb"))["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@each_chapter
def test_every_cell_ran_without_a_word_on_stderr(chapter: Path, executed: Path) -> None:
    """What the site shows is a complete run, with no warning in it."""
    for cell in notebook(executed / f"{chapter.stem}.ipynb")["cells"]:
        if cell["cell_type"] == "code" and "".join(cell["source"]).strip():
            assert cell["execution_count"]
            for output in cell["outputs"]:
                assert output["output_type"] != "error"
                assert output.get("name") != "stderr", "".join(output["text"])


@pytest.mark.slow
@each_chapter
def test_runs_as_a_quick_draft(chapter: Path, tmp_path: Path) -> None:
    """Few resamples are enough for every cell and every solution to end."""
    out = tmp_path / f"{chapter.stem}.ipynb"
    task = {"chapter": str(chapter.with_suffix(".ipynb")), "out": str(out), "key": ""}
    task["parameters"] = build.QUICK_PARAMETERS
    nothing = {"on_cell": lambda: None, "on_end": lambda *_: None}
    build.execute(build.Workers(ROOT), 1, [task], **nothing)
    assert notebook(out)["metadata"]["build_key"] == ""
