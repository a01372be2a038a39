"""The build: what it runs again, how it fails, and that nothing is left when it is stopped."""

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jupytext
import nbformat
import psutil
import pytest
from at_hand import ROOT, no_room

sys.path.insert(0, str(ROOT / "book"))
import build

CONFIG = "title: Trial\nauthor: Nobody\nonly_build_toc_files: true\nrepository: {url: ''}\n"
TOC = "format: jb-book\nroot: book/intro\nchapters:\n"


def write_chapter(root: Path, name: str, *code: str, parameters: str = "n_bootstrap = 500") -> None:
    """Write a chapter of these code cells, paired."""
    metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "jupytext": {"formats": "ipynb,md:myst"},
    }
    cells = [nbformat.v4.new_markdown_cell(f"# Chapter {name}")]
    cells += [nbformat.v4.new_code_cell(source) for source in [parameters, *code]]
    cells[1].metadata["tags"] = ["parameters"]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=metadata)
    path = root / "chapters" / name
    jupytext.write(notebook, path.with_suffix(".md"), fmt="md:myst")
    jupytext.write(notebook, path.with_suffix(".ipynb"))


def make_book(root: Path) -> Path:
    """Write a book of two chapters."""
    for folder in ["book", "chapters", "data", "t2lib"]:
        (root / folder).mkdir(parents=True)
    (root / "_config.yml").write_text(CONFIG)
    (root / "_toc.yml").write_text(TOC + "- file: chapters/01_one\n- file: chapters/02_two\n")
    (root / "book/intro.md").write_text("# Trial\n\nSee {doc}`../chapters/01_one`.\n")
    (root / "requirements.lock").write_text("")
    (root / "data/table.csv").write_text("a\n1\n")
    (root / "t2lib/module.py").write_text("")
    threads = "import os; print('threads', os.environ['OMP_NUM_THREADS'])"
    figure = "import matplotlib.pyplot as plt; plt.plot([1, 2]); plt.show()"
    write_chapter(root, "01_one", "print('bootstraps', n_bootstrap)", threads, figure)
    modules = "from importlib.util import find_spec; print(*map(find_spec, ['build', 'kernels']))"
    write_chapter(root, "02_two", "print('hash', hash('seed'))", modules, parameters="seed = 1")
    return root


def run_build(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    command = [sys.executable, ROOT / "book/build.py", "--root", root, *options]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a book that was built once; tests take a copy."""
    root = make_book(tmp_path_factory.mktemp("trial") / "book")
    done = run_build(root)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{root}/_build/html/index.html\n"
    assert [line.split(":")[0] for line in sorted(done.stderr.splitlines())] == [
        "01_one",
        "02_two",
        "site",
    ]
    return root


@pytest.fixture
def book(built: Path, tmp_path: Path) -> Path:
    """Return a copy of the built book."""
    return shutil.copytree(built, tmp_path / "book")


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Return a function that says which chapters a build would run."""

    def which(root: Path, only: list[str] | None = None, *, quick: bool = False) -> list[str]:
        started: list[str] = []
        monkeypatch.setattr(
            build,
            "execute",
            lambda _w, _j, tasks, **_: started.extend(Path(t["chapter"]).stem for t in tasks),
        )
        chapters = build.find_chapters(root)
        build.execute_chapters(
            build.Workers(root), root, chapters, only=only or [], quick=quick, jobs=1
        )
        return sorted(started)

    return which


def state(site: Path) -> dict[str, bytes]:
    """Return every file of a site."""
    return {str(p.relative_to(site)): p.read_bytes() for p in site.rglob("*") if p.is_file()}


# ------------------------------------------------------------------------------ what is built


def test_site_shows_what_was_run(built: Path) -> None:
    """Chapters run with their own parameters, one thread, and a hash that does not change."""
    one = (built / "_build/html/chapters/01_one.html").read_text()
    assert "bootstraps 500" in one
    assert "threads 1" in one
    command = [sys.executable, "-c", "print('hash', hash('seed'))"]
    said = subprocess.run(command, capture_output=True, text=True, env={"PYTHONHASHSEED": "0"})
    two = (built / "_build/html/chapters/02_two.html").read_text()
    assert said.stdout.strip() in two
    assert "None None" in two  # of the build's own modules a chapter sees none


def test_executed_chapters_carry_nothing_of_this_machine(built: Path) -> None:
    """Neither a path nor a time: the same run gives the same file."""
    text = (built / "_build/executed/01_one.ipynb").read_text()
    assert str(built) not in text
    assert "papermill" not in text
    assert "iopub" not in text


def test_figures_do_not_depend_on_the_shell(built: Path) -> None:
    """A matplotlib backend set there, as in this run, would leave a chapter without any."""
    assert os.environ["MPLBACKEND"] == "Agg"
    assert "image/png" in (built / "_build/executed/01_one.ipynb").read_text()


def test_without_repository_address_the_site_names_none(built: Path) -> None:
    """Jupyter Book would fill in its own."""
    for page in (built / "_build/html").rglob("*.html"):
        assert "github" not in page.read_text().lower(), page.name


def test_with_repository_address_the_buttons_lead_there(book: Path) -> None:
    """One setting puts every link in."""
    address = "https://example.org/owner/name"
    settings = {"repository": {"url": address}, "launch_buttons": {"binderhub_url": "b"}}
    assert build.settle(dict(settings)) == settings | {"execute": {"execute_notebooks": "off"}}


def test_two_builds_give_the_same_bytes(book: Path) -> None:
    """Tables with invented ids, figures with dates, addresses in memory: none of it is left."""
    code = [
        "import pandas as pd, t2lib as t2; t2.plots.use_style()",
        "pd.DataFrame({'a': [1]}).style",
        "object()",
        "import matplotlib.pyplot as plt; _, ax = plt.subplots(); ax.plot([1, 2], label='one')",
        "ax.legend()",
    ]
    shutil.rmtree(book / "t2lib")  # the real one
    write_chapter(book, "01_one", *code)
    sites = []
    for _ in range(2):
        shutil.rmtree(book / "_build")
        assert run_build(book).returncode == 0
        sites.append(state(book / "_build/html"))
    assert "image/svg" in (book / "_build/executed/01_one.ipynb").read_text()
    assert [name for name in sites[0] if sites[0][name] != sites[1].get(name)] == []
    assert sites[0].keys() == sites[1].keys()


def test_the_whole_book_is_printed(book: Path, chromium: str) -> None:
    """Twice the same bytes, with every chapter in it."""
    done = run_build(book, "--pdf")
    assert done.returncode == 0, done.stderr
    printed = (book / "_build/html" / build.PDF).read_bytes()
    assert printed.startswith(b"%PDF-")
    assert printed.count(b"/Title (Chapter ") == 2  # in the outline
    build.print_book(book, book / "_build/source", book / "again.pdf")
    assert (book / "again.pdf").read_bytes() == printed


# ------------------------------------------------------------------------- what is run again


def test_nothing_changed_nothing_run(book: Path) -> None:
    """A second build only says where the site is."""
    before = (book / "_build/html").stat().st_mtime_ns
    done = run_build(book)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{book}/_build/html/index.html\n"
    assert (book / "_build/html").stat().st_mtime_ns == before


@pytest.mark.parametrize("path", ["t2lib/module.py", "data/table.csv", "requirements.lock"])
def test_every_chapter_runs_again_after_a_change_of(
    book: Path, runs: Callable[..., list[str]], path: str
) -> None:
    """Any chapter may depend on any of these."""
    assert runs(book) == []
    (book / path).write_text((book / path).read_text() + "\n")
    assert runs(book) == ["01_one", "02_two"]


def test_only_the_changed_chapter_runs_again(
    book: Path, runs: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    """And --only runs what it names, says what it keeps, and refuses what is not there."""
    write_chapter(book, "02_two", "print('new')")
    assert runs(book) == ["02_two"]
    assert runs(book, ["01"]) == ["01_one"]
    assert "something changed since: 02_two" in capsys.readouterr().err
    assert runs(book, ["01", "02"]) == ["01_one", "02_two"]
    with pytest.raises(build.BuildError, match="--only 03: no such chapter"):
        runs(book, ["03"])


def test_a_changed_sentence_costs_no_run(book: Path, runs: Callable[..., list[str]]) -> None:
    """The site shows it beside the outputs of the last run."""
    for suffix in [".md", ".ipynb"]:
        path = (book / "chapters/01_one").with_suffix(suffix)
        path.write_text(path.read_text().replace("# Chapter 01_one", "# Another title"))
    assert runs(book) == []
    text = (book / "_build/executed/01_one.ipynb").read_text()
    assert "# Another title" in text
    assert "bootstraps 500" in text


SOLUTION = """## Exercises

**Exercise 1.1.** How many?

<details><summary>Solution</summary>

```python
{code}
```

</details>"""


def add_exercise(book: Path, code: str) -> None:
    """Write an exercise with this solution into both files of chapter 01."""
    notebook = jupytext.read(book / "chapters/01_one.md")
    notebook.cells.append(nbformat.v4.new_markdown_cell(SOLUTION.format(code=code)))
    for suffix, form in [(".md", "md:myst"), (".ipynb", "ipynb")]:
        jupytext.write(notebook, (book / "chapters/01_one").with_suffix(suffix), fmt=form)


def test_solutions_run_in_the_chapters_own_names(book: Path) -> None:
    """They are not shown, and one that fails is named."""
    add_exercise(book, "assert n_bootstrap == 500")
    assert run_build(book).returncode == 0
    cells = json.loads((book / "_build/executed/01_one.ipynb").read_text())["cells"]
    assert cells[-1]["cell_type"] == "markdown"
    assert not any("assert n_bootstrap" in c["source"] for c in cells if c["cell_type"] == "code")
    add_exercise(book, "how_many")
    expect_failure(book, "chapters/01_one.ipynb", "Exercise 1.1", "NameError: name 'how_many'")


def add_numbers(book: Path, literal: str) -> None:
    """Write a sentence with a number, and the cell that computes it, into chapter 01."""
    notebook = jupytext.read(book / "chapters/01_one.md")
    notebook.cells[0].source += f"\n\nSeven is {literal}<!--=seven-->."
    code = nbformat.v4.new_code_cell('{"seven": f"{3 + 4}"}', metadata={"tags": ["numbers"]})
    notebook.cells.append(code)
    for suffix, form in [(".md", "md:myst"), (".ipynb", "ipynb")]:
        jupytext.write(notebook, (book / "chapters/01_one").with_suffix(suffix), fmt=form)


def test_numbers_in_the_text_are_those_that_were_computed(book: Path) -> None:
    """All that differ are named, --write-numbers mends both files, a draft does not compare."""
    add_numbers(book, "8")
    (book / "book/intro.md").write_text("# Trial\n\nOr 9<!--=01_one:seven-->.\n")
    said = expect_failure(
        book,
        "book/intro.md, line 3: seven is 7, the text says 9",
        "chapters/01_one.md, line 17: seven is 7, the text says 8",
    )
    assert len(said.splitlines()) == 4  # and the chapter that was run, and the remedy
    assert run_build(book, "--quick").returncode == 0
    done = run_build(book, "--write-numbers")
    assert done.returncode == 0, done.stderr
    assert "Seven is 7<!--=seven-->." in (book / "chapters/01_one.md").read_text()
    assert "Or 7<!--=01_one:seven-->." in (book / "book/intro.md").read_text()
    build.find_chapters(book)
    assert run_build(book).stderr == ""


def test_a_record_is_written_only_by_a_run(
    book: Path, runs: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So recording runs every chapter, changed or not."""
    monkeypatch.setenv("T2LIB_RECORD", "1")
    assert runs(book) == ["01_one", "02_two"]


def test_quick_passes_only_parameters_that_a_chapter_declares(book: Path) -> None:
    """The draft has few bootstraps; the full run stays where it was."""
    full = (book / "_build/executed/01_one.ipynb").read_bytes()
    chapters = build.find_chapters(book)
    one, two = build.execute_chapters(
        build.Workers(book), book, chapters, only=[], quick=True, jobs=2
    )
    assert "bootstraps 20" in one.read_text()
    assert "n_bootstrap" not in json.dumps(json.loads(two.read_text())["cells"])
    assert (book / "_build/executed/01_one.ipynb").read_bytes() == full


def test_released_files_at_hand_count(
    book: Path, runs: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chapter that can now compute what it only showed before has to run."""
    monkeypatch.setattr(build, "released_at_hand", lambda _: ["chinchilla"])
    assert runs(book) == ["01_one", "02_two"]


# ---------------------------------------------------------------------------------- failures


def expect_failure(root: Path, *messages: str, options: tuple[str, ...] = ()) -> str:
    """Build, expect exit code 1, these messages, and the site as it was."""
    before = state(root / "_build/html")
    done = run_build(root, *options)
    assert done.returncode == 1
    assert done.stdout == ""
    for message in messages:
        assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert state(root / "_build/html") == before
    return done.stderr


def test_failing_chapter_is_named_with_its_cell_and_stops_the_other(book: Path) -> None:
    """The chapter that still runs is ended at once."""
    write_chapter(book, "01_one", "import time; time.sleep(500)")
    write_chapter(book, "02_two", "# why\nvalue = 1 / 0\nprint(value)")
    started = time.monotonic()
    said = expect_failure(
        book, "chapters/02_two.ipynb, cell 3 (# why): ZeroDivisionError: division by zero"
    )
    assert len(said.splitlines()) == 1
    assert time.monotonic() - started < 60
    assert not processes_of(book)
    failed = json.loads((book / "_build/executed/02_two.failed.ipynb").read_text())
    assert "ZeroDivisionError" in json.dumps(failed)


def test_a_kernel_that_dies_is_a_failing_chapter(book: Path) -> None:
    """Such as one that the system killed for its memory."""
    write_chapter(book, "02_two", "import os; os._exit(9)")
    expect_failure(book, "chapters/02_two.ipynb, cell 3 (import os; os._exit(9)): DeadKernelError")
    came = json.loads((book / "_build/executed/02_two.failed.ipynb").read_text())
    assert came["cells"][1]["execution_count"] == 1


def test_a_warning_of_the_site_is_an_error(book: Path) -> None:
    """A reference to nowhere, for one."""
    (book / "book/intro.md").write_text("# Trial\n\n{ref}`nowhere` and [](#neither)\n")
    notebook = jupytext.read(book / "chapters/01_one.md")
    notebook.cells[0].source += "\n\n{ref}`lost`"
    for suffix in [".md", ".ipynb"]:
        jupytext.write(notebook, (book / "chapters/01_one").with_suffix(suffix))
    expect_failure(
        book,
        "\nbook/intro.md:3: WARNING: undefined label: 'nowhere'",
        "'neither'",
        "\nchapters/01_one.ipynb, cell 1: WARNING: undefined label: 'lost'",
    )


def test_differing_pair_names_the_chapter_and_the_remedy(book: Path) -> None:
    """Whichever of the two was edited; and the remedy is one."""
    text = book / "chapters/01_one.md"
    text.write_text(text.read_text().replace("'bootstraps'", "'resamples'"))
    said = expect_failure(book, "chapters/01_one.ipynb differs", "resamples")
    remedy = said.split(": run ")[1].split()
    subprocess.run([sys.executable, "-m", *remedy], cwd=book, check=True, capture_output=True)
    build.find_chapters(book)


@pytest.mark.parametrize("suffix", [".md", ".ipynb"])
def test_half_a_pair(book: Path, suffix: str) -> None:
    """Neither half is a chapter alone."""
    (book / "chapters/02_two").with_suffix(suffix).unlink()
    with pytest.raises(build.BuildError, match=rf"chapters/02_two\{suffix} is missing: run"):
        build.find_chapters(book)


def test_a_tag_that_only_one_half_has(book: Path) -> None:
    """The pair check sees metadata too."""
    path = book / "chapters/01_one.ipynb"
    notebook = json.loads(path.read_text())
    notebook["cells"][2]["metadata"]["tags"] = ["hide-input"]
    path.write_text(json.dumps(notebook))
    with pytest.raises(build.BuildError, match=r"01_one\.ipynb differs"):
        build.find_chapters(book)


def test_committed_outputs_are_refused(book: Path) -> None:
    """An executed notebook does not belong into the repository."""
    path = book / "chapters/01_one.ipynb"
    notebook = json.loads(path.read_text())
    notebook["cells"][2]["execution_count"] = 1
    path.write_text(json.dumps(notebook))
    with pytest.raises(build.BuildError, match="cell 3: outputs are not kept"):
        build.find_chapters(book)


def test_two_builds_at_once(book: Path) -> None:
    """The second says so and leaves the first alone."""
    with open(book / "_build/.lock", "a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert len(expect_failure(book, "another build is running here").splitlines()) == 1


# ------------------------------------------------------------------------------ interruptions


def processes_of(root: Path) -> list[psutil.Process]:
    """Return every process that works on this book."""
    found = []
    for process in psutil.process_iter():
        try:
            # A kernel is told from others by its folder, a worker by its arguments.
            if process.cwd().startswith(str(root)) or str(root) in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_stopped_while_a_chapter_runs(book: Path, number: signal.Signals) -> None:
    """No process is left, not even one that the chapter started, and the site is as it was."""
    child = "import subprocess, pathlib; p = subprocess.Popen(['sleep', '500'])"
    write_chapter(book, "01_one", f"{child}; pathlib.Path('started').touch(); p.wait()")
    before = state(book / "_build/html")
    command = [sys.executable, ROOT / "book/build.py", "--root", book]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    wait_for((book / "chapters/started").exists)
    tree = [*psutil.Process(running.pid).children(recursive=True), *processes_of(book)]
    # The build, its worker, what kernels are forked from, a kernel, and that one's child.
    assert len({p.pid for p in tree}) >= 5
    running.send_signal(number)
    out, said = running.communicate(timeout=30)
    if number != signal.SIGKILL:
        assert running.returncode == 128 + number
        assert said.splitlines()[-1] == "build: interrupted, the site stays as it was"
    assert out == ""
    wait_for(lambda: not any(p.is_running() for p in tree), 5)
    assert state(book / "_build/html") == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_stopped_while_the_site_is_rendered(book: Path, number: signal.Signals) -> None:
    """The new site is not there yet, the old one still is."""
    (book / "book/intro.md").write_text("# Trial\n\nAnother text.\n")
    before = state(book / "_build/html")
    command = [sys.executable, ROOT / "book/build.py", "--root", book]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    wait_for((book / "_build/render-html").exists)
    running.send_signal(number)
    running.communicate(timeout=30)
    wait_for(lambda: not processes_of(book), 5)
    assert state(book / "_build/html") == before
    done = run_build(book)
    assert done.returncode == 0, done.stderr
    assert "Another text." in (book / "_build/html/book/intro.html").read_text()


@pytest.mark.parametrize("largest", [10_000, 400_000])
def test_a_full_disk_is_one_line(book: Path, largest: int) -> None:
    """Whether an executed chapter or the site no longer fits: here files end at so many bytes."""
    write_chapter(book, "01_one", "print('long ' * 5000)")
    before = state(book / "_build/html")
    command = [sys.executable, ROOT / "book/build.py", "--root", book]
    done = subprocess.run(command, capture_output=True, text=True, **no_room(largest))
    assert done.returncode == 1
    said = [line for line in done.stderr.splitlines() if not re.fullmatch(r"\w+: [\d.]+ s", line)]
    assert len([line for line in said if "too large" in line]) == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert len(said) <= 2, done.stderr
    assert state(book / "_build/html") == before


def test_killed_between_the_two_renames(book: Path) -> None:
    """The next build takes the old site back before anything else."""
    before = state(book / "_build/html")
    (book / "_build/html").rename(book / "_build/html.old")
    assert run_build(book).returncode == 0
    assert state(book / "_build/html") == before
