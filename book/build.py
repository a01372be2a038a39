"""Build the book: run every chapter through papermill, then render the site with Jupyter Book.

Only what changed is run again: a chapter counts as unchanged while its source, t2lib, data/, the
lock, the parameters and the released files at hand are. The new site is made beside the old one
and takes its place when it is whole. `_build/` holds everything:

    executed/    the chapters with outputs (`executed-quick/` with --quick); where a chapter fails,
                 NAME.failed.ipynb shows how far it came
    source/      what Jupyter Book renders
    html/        the site
"""

import argparse
import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import jupytext
import keyed
import nbformat
import worker
import yaml
from tqdm import tqdm

HERE = Path(__file__).resolve().parent

CHAPTER = "[0-9A][0-9]*"  # 01_topic, and A1_topic for an appendix
TIMES = "times.json"
CLASSES = [(10, "under 10 seconds"), (30, "under 30 seconds"), (120, "under 2 minutes")]
NO_ROOM = [os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)]
PDF = "_static/t2-book.pdf"
QUICK_PARAMETERS = {"n_bootstrap": 20}


class BuildError(Exception):
    """Something the reader of the message has to mend; the site stays as it was."""


def say(text: str) -> None:
    """Tell on standard error, above the progress bar if there is one."""
    tqdm.write(text, file=sys.stderr)
    sys.stderr.flush()


# ---------------------------------------------------------------------------------- chapters


def find_chapters(root: Path) -> list[Path]:
    """Return every chapter's notebook, after checking that its text pair says the same."""
    folder = root / "chapters"
    for alone in {p.with_suffix("") for p in folder.glob(CHAPTER + ".*")}:
        for suffix in [".md", ".ipynb"]:
            if not alone.with_suffix(suffix).is_file():
                other = alone.with_suffix(".ipynb" if suffix == ".md" else ".md")
                raise BuildError(
                    f"chapters/{alone.name}{suffix} is missing: "
                    f"run jupytext --sync chapters/{other.name}"
                )
    chapters = sorted(folder.glob(CHAPTER + ".ipynb"))
    for chapter in chapters:
        check_pair(chapter)
    return chapters


def check_pair(chapter: Path) -> None:
    """Raise BuildError unless the notebook and its text pair hold the same notebook."""
    pair = chapter.with_suffix(".md")
    written, opened = as_text(pair), as_text(chapter)
    if written != opened:
        both = enumerate(zip([*written, ""], [*opened, ""], strict=False), start=1)
        line, (left, right) = next((n, pair) for n, pair in both if pair[0] != pair[1])
        raise BuildError(
            f"chapters/{chapter.name} differs from chapters/{pair.name} "
            f"(near line {line}: {right!r} instead of {left!r}): "
            f"run jupytext --sync chapters/{pair.name}"
        )
    for number, cell in enumerate(jupytext.read(chapter).cells, start=1):
        if cell.get("outputs") or cell.get("execution_count"):
            raise BuildError(
                f"chapters/{chapter.name}, cell {number}: outputs are not kept in the repository: "
                f"run jupytext --to ipynb chapters/{pair.name}"
            )


def as_text(notebook: Path) -> list[str]:
    """Return the text that jupytext makes of a notebook in either form, line by line."""
    # Both forms take the same way, so neither the layout nor the order of metadata can differ.
    content = json.dumps(jupytext.read(notebook), sort_keys=True)
    return jupytext.writes(nbformat.reads(content, as_version=4), fmt="md:myst").splitlines()


def digest(root: Path, files: Iterable[Path], *more: Any) -> str:
    """Return the sha256 of these files' names and contents, and of anything else that counts."""
    sha = hashlib.sha256(json.dumps(more, sort_keys=True).encode())
    for path in sorted(files):
        if path.is_file() and "__pycache__" not in path.parts:
            name = path.relative_to(root).as_posix()
            sha.update(f"\0{name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return sha.hexdigest()


def code_of(chapter: Path) -> list[Any]:
    """Return what of a chapter decides its outputs: code cells, and code in solutions."""
    notebook = nbformat.read(chapter, as_version=4)
    code = [c for c in notebook.cells if c.cell_type == "code"]
    cells = [[c.source, c.metadata.get("tags", [])] for c in code]
    return [*cells, *worker.solutions(notebook)]


def refresh(chapter: Path, executed: Path) -> None:
    """Give an executed chapter the text of its source: a changed sentence costs no run."""
    new, old = (nbformat.read(path, as_version=4) for path in (chapter, executed))
    outputs = iter([c for c in old.cells if c.cell_type == "code"])
    cells = []
    for cell in new.cells:
        if cell.cell_type == "code":
            ran = next(outputs)
            if worker.injected(ran):
                cells.append(ran)
                ran = next(outputs)
            cell.outputs, cell.execution_count = ran.outputs, ran.execution_count
        cells.append(cell)
    new.cells = cells
    new.metadata["build_key"] = old.metadata["build_key"]
    text = nbformat.writes(new) + "\n"
    if text != executed.read_text():
        write_whole(executed, text)


def write_whole(path: Path, text: str) -> None:
    """Write a file so that it appears whole or not at all."""
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_text(text)
    os.replace(unfinished, path)


def common_files(root: Path) -> list[Path]:
    """Return the files that every chapter may depend on."""
    return [
        *root.glob("t2lib/**/*.py"),
        *root.glob("data/**/*"),
        root / "requirements.lock",
        root / "book/worker.py",
    ]


def released_at_hand(root: Path) -> list[str]:
    """Return the released files that chapters would find without network."""
    if not (root / "data/registry.csv").is_file():
        return []
    from t2lib.data.registry import expand, local_path

    try:
        return [file.name for file in expand() if local_path(file)]
    except (OSError, ValueError) as error:  # such as a mirror that is missing or damaged
        raise BuildError(str(error)) from None


def last_key(executed: Path) -> str | None:
    """Return the key that an executed chapter was made with."""
    if not executed.is_file():
        return None
    return json.loads(executed.read_text())["metadata"].get("build_key")


# ---------------------------------------------------------------------------------- processes


class Workers:
    """The child processes that are running; leaving the context ends them all."""

    def __init__(self, root: Path) -> None:
        self.running: set[subprocess.Popen[str]] = set()
        self.lock = threading.Lock()
        self.ended = False
        self.environment = os.environ | worker.environment(root)

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.ended = True
            running = list(self.running)
        for process in running:
            if process.stdin:
                process.stdin.close()
        for process in running:
            process.wait()

    def run(self, *arguments: str, on_line: Callable[[str], None]) -> int:
        """Run one worker to its end, handing on every line it prints."""
        with self.lock:
            if self.ended:
                return 1
            process = subprocess.Popen(
                [sys.executable, str(HERE / "worker.py"), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env=self.environment,
                start_new_session=True,  # a Ctrl-C reaches the build, which then ends its workers
            )
            self.running.add(process)
        assert process.stdout
        for line in process.stdout:
            on_line(line)
        code = process.wait()
        self.running.discard(process)
        return code


def execute(
    workers: Workers,
    jobs: int,
    tasks: list[dict[str, Any]],
    *,
    on_cell: Callable[[], object],
    on_end: Callable[[str, float], None],
) -> None:
    """Run chapters, `jobs` at a time; tell of every cell, and of a chapter its cells' seconds.

    Raises
    ------
    BuildError
        Where a cell fails.
    """
    failed, other = dict[str, Any](), list[str]()

    def on_line(line: str) -> None:
        try:
            message = dict(json.loads(line))
        except (ValueError, TypeError):
            other.append(line.rstrip())
            return
        if "error" in message:
            failed.update(message)
        elif "seconds" in message:
            name = Path(message["chapter"]).stem
            say(f"{name}: {message['took']:.1f} s")
            on_end(name, message["seconds"])
        else:
            on_cell()

    with workers:
        code = workers.run("execute", str(jobs), json.dumps(tasks), on_line=on_line)
    if failed:
        first_line = next(iter(failed["source"].strip().splitlines()), "")
        where = f"chapters/{failed['chapter']}, cell {failed['number']} ({first_line})"
        raise BuildError(f"{where}: {failed['error']}")
    if code:
        raise BuildError("the chapters' worker: " + ("\n".join(other) or f"exit code {code}"))


def execute_chapters(
    workers: Workers, root: Path, chapters: list[Path], *, only: list[str], quick: bool, jobs: int
) -> list[Path]:
    """Run the chapters that need it, `jobs` at a time; return all of them as executed."""
    parameters = QUICK_PARAMETERS if quick else {}
    folder = root / "_build" / ("executed-quick" if quick else "executed")
    folder.mkdir(parents=True, exist_ok=True)
    inputs = digest(root, common_files(root), parameters, released_at_hand(root), sys.version)
    keys = {c: digest(root, [], inputs, code_of(c)) for c in chapters}
    out = {c: folder / c.name for c in chapters}
    for left in set(folder.glob("*.ipynb")) - set(out.values()):
        left.unlink()
    changed = [c for c in chapters if last_key(out[c]) != keys[c]]
    todo = choose(chapters, only, changed, [c for c in chapters if not out[c].is_file()])
    # The longest first, as last measured: none is left alone at the end.
    seconds = read_times(folder)
    todo.sort(key=lambda chapter: -seconds.get(chapter.stem, 1e9))
    tasks = [
        {"chapter": str(c), "out": str(out[c]), "parameters": parameters, "key": keys[c]}
        for c in todo
    ]
    cells = sum(len(json.loads(c.read_text())["cells"]) for c in todo)

    def on_end(name: str, took: float) -> None:
        seconds[name] = took
        write_whole(folder / TIMES, json.dumps(seconds, indent=1, sort_keys=True))

    if tasks:
        with tqdm(total=cells, unit="cell", disable=not sys.stderr.isatty()) as bar:
            execute(workers, jobs, tasks, on_cell=bar.update, on_end=on_end)
    for chapter in chapters:
        # A chapter that was kept although its code changed shows what was run.
        if last_key(out[chapter]) == keys[chapter]:
            refresh(chapter, out[chapter])
    return list(out.values())


def read_times(folder: Path) -> dict[str, float]:
    """Return the seconds that each chapter took when it was last run."""
    return json.loads((folder / TIMES).read_text()) if (folder / TIMES).is_file() else {}


def choose(
    chapters: list[Path], only: list[str], changed: list[Path], missing: list[Path]
) -> list[Path]:
    """Return the chapters to run."""
    if not only:
        # A chapter writes down what it computed only while it runs.
        return chapters if os.environ.get("T2LIB_RECORD") == "1" else changed
    for prefix in only:
        if not any(c.name.startswith(prefix) for c in chapters):
            names = ", ".join(c.stem for c in chapters)
            raise BuildError(f"--only {prefix}: no such chapter, there are {names}")
    todo = [c for c in chapters if c in missing or c.name.startswith(tuple(only))]
    kept = [c.stem for c in changed if c not in todo]
    if kept:
        say(f"kept as last executed, although something changed since: {', '.join(kept)}")
    return todo


# ---------------------------------------------------------------------------------- numbers


def numbers_of(executed: Iterable[Path]) -> dict[str, dict[str, str]]:
    """Return the numbers that the chapters computed for the prose, by chapter and key."""
    try:
        return {p.stem: keyed.computed(json.loads(p.read_text()), p.stem) for p in executed}
    except ValueError as error:
        raise BuildError(f"chapters/{error}") from None


def prose(root: Path) -> list[Path]:
    """Return the texts that may mention a chapter's number."""
    return sorted([*root.glob(f"chapters/{CHAPTER}.md"), *root.glob("book/*.md")])


def compare_numbers(root: Path, executed: list[Path]) -> None:
    """Raise BuildError where a number in the prose is not what was computed."""
    pages = {str(p.relative_to(root)): p.read_text() for p in prose(root)}
    if wrong := keyed.faults(pages, numbers_of(executed)):
        count = f"{len(wrong)} numbers in the text are not what was computed"
        raise BuildError("\n".join([f"{count} (make numbers writes them anew):", *wrong]))


def write_numbers(root: Path, executed: list[Path]) -> None:
    """Write the computed numbers into the prose, both files of a chapter's pair."""
    numbers = numbers_of(executed)
    for page in prose(root):
        text = page.read_text()
        new = keyed.rewritten(text, page.stem, numbers)
        if new == text:
            continue
        if page.parent.name == "chapters":
            notebook = nbformat.read(page.with_suffix(".ipynb"), as_version=4)
            for cell in notebook.cells:
                if cell.cell_type == "markdown":
                    cell.source = keyed.rewritten(cell.source, page.stem, numbers)
            write_whole(page.with_suffix(".ipynb"), nbformat.writes(notebook) + "\n")
        write_whole(page, new)
        say(f"numbers written: {page.relative_to(root)}")


# ---------------------------------------------------------------------------------- site


def stage(root: Path, executed: list[Path], *, pdf: bool = False) -> Path:
    """Lay out what Jupyter Book renders: the repository's pages with the executed chapters."""
    source = root / "_build/source"
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(root / "book", source / "book", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ["_toc.yml", "CHANGELOG.md"]:
        if (root / name).is_file():
            shutil.copy(root / name, source)
    config = settle(yaml.safe_load((root / "_config.yml").read_text()))
    if pdf:
        footer = config.setdefault("html", {}).get("extra_footer", "")
        config["html"]["extra_footer"] = f'{footer}<p><a href="{PDF}">The whole book as PDF</a></p>'
    (source / "_config.yml").write_text(yaml.safe_dump(config, sort_keys=False))
    (source / "chapters").mkdir()
    for notebook in executed:
        shutil.copy(notebook, source / "chapters")
    (source / TIMES).write_text(json.dumps(efforts(executed)))
    return source


def efforts(executed: list[Path]) -> dict[str, str]:
    """Say roughly how long each chapter runs: two builds of one book say the same."""
    seconds = read_times(executed[0].parent) if executed else {}
    return {p.stem: seconds_class(seconds[p.stem]) for p in executed if p.stem in seconds}


def seconds_class(seconds: float) -> str:
    """Name a chapter's seconds in classes wider than what two runs differ by."""
    return next((text for most, text in CLASSES if seconds < most), "a few minutes")


def settle(config: dict[str, Any]) -> dict[str, Any]:
    """Return the book's settings with execution off, and no link where no address is set."""
    config["execute"] = (config.get("execute") or {}) | {"execute_notebooks": "off"}
    repository = config.setdefault("repository", {})
    if not repository.get("url"):
        # Jupyter Book would put its own repository's address here.
        repository["url"] = ""
        config["launch_buttons"] = {"binderhub_url": "", "colab_url": ""}
        for button in ["repository", "issues", "edit_page"]:
            config.setdefault("html", {})[f"use_{button}_button"] = False
    return config


def render(workers: Workers, root: Path, source: Path, builder: str = "html") -> Path:
    """Render the staged book beside the site; raise BuildError where there is any warning."""
    out = root / f"_build/render-{builder}"
    shutil.rmtree(out, ignore_errors=True)
    lines: list[str] = []
    with workers:
        code = workers.run("render", str(source), str(out), builder, on_line=lines.append)
    if full := [text for text in NO_ROOM if any(text in line for line in lines)]:
        raise BuildError(f"{out}: {full[0]}")
    if code:
        marks = ("WARNING", "ERROR", "CRITICAL", "Error:")
        wrong = "".join([line for line in lines if any(m in line for m in marks)] or lines)
        wrong = re.sub(r"\x1b\[[\d;]*m", "", wrong)  # colours
        # MyST-NB counts a notebook's lines as 10000 x cell + line.
        wrong = re.sub(r"\.ipynb:(\d+)\d{4}:", r".ipynb, cell \1:", wrong)
        raise BuildError("the site has warnings:\n" + wrong.replace(f"{source}/", "").strip())
    return out / f"_build/{builder}"


def print_book(root: Path, source: Path, out: Path) -> None:
    """Render the staged book as one page, and print that to a PDF."""
    started = time.perf_counter()
    page = render(Workers(root), root, source, "singlehtml")
    name = yaml.safe_load((source / "_toc.yml").read_text())["root"]
    said: list[str] = []
    with Workers(root) as workers:
        if workers.run("print", str(page), f"{name}.html", str(out), on_line=said.append):
            raise BuildError(f"the PDF was not printed: {''.join(said).strip()}")
    shutil.rmtree(root / "_build/render-singlehtml", ignore_errors=True)
    say(f"PDF: {time.perf_counter() - started:.1f} s")


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Let no signal come between the two renames of a swap."""
    held = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, held)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def swap(new: Path, site: Path) -> None:
    """Put a whole new site into the old one's place."""
    old = site.with_suffix(".old")
    shutil.rmtree(old, ignore_errors=True)
    with signals_held():
        if site.exists():
            site.rename(old)
        new.rename(site)
    shutil.rmtree(old, ignore_errors=True)


# ---------------------------------------------------------------------------------- command


def build(
    root: Path, *, only: list[str], quick: bool, jobs: int, write: bool = False, pdf: bool = False
) -> Path:
    """Build the book in `root` and return the site's first page."""
    site = root / "_build/html"
    old = site.with_suffix(".old")
    if old.exists() and not site.exists():
        old.rename(site)  # an earlier build was killed in the middle of a swap
    chapters = find_chapters(root)
    executed = execute_chapters(Workers(root), root, chapters, only=only, quick=quick, jobs=jobs)
    if write:
        write_numbers(root, executed)
        for chapter, out in zip(chapters, executed, strict=True):
            refresh(chapter, out)
    if not quick:  # a draft's bootstraps are too small for the numbers in the text
        compare_numbers(root, executed)
    # The last two for what the site says of its own licence and of its packages.
    names = ["_config.yml", "_toc.yml", "LICENSE", "pyproject.toml"]
    pages = [*(root / name for name in names), *root.glob("book/**/*")]
    key = digest(root, {*executed, *pages, *common_files(root)}, efforts(executed), pdf)
    stamp = site / ".build_key"
    if not (stamp.is_file() and stamp.read_text() == key):
        started = time.perf_counter()
        source = stage(root, executed, pdf=pdf)
        new = render(Workers(root), root, source)
        if pdf:
            print_book(root, source, new / PDF)
        (new / stamp.name).write_text(key)
        swap(new, site)
        shutil.rmtree(root / "_build/render-html", ignore_errors=True)
        say(f"site: {time.perf_counter() - started:.1f} s")
    return site / "index.html"


@contextlib.contextmanager
def alone(root: Path) -> Iterator[None]:
    """Hold the tree's build lock, which the system lets go when this process ends."""
    (root / "_build").mkdir(exist_ok=True)
    with open(root / "_build/.lock", "a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise BuildError(f"another build is running here (process {lock.read()})") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="Build the book. Only what changed since the last build is run again."
    )
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="NN",
        help="run these chapters anew; take the others as they were last executed",
    )
    parser.add_argument(
        "--quick", action="store_true", help="a draft: small bootstraps in every chapter"
    )
    parser.add_argument(
        "--write-numbers",
        action="store_true",
        help="write the numbers that the chapters compute into their text",
    )
    parser.add_argument("--pdf", action="store_true", help="print the book to a PDF in the site")
    parser.add_argument("--jobs", type=int, default=2, help="chapters run at a time (default: 2)")
    parser.add_argument("--root", type=Path, default=HERE.parent, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def said_by(error: OSError) -> str:
    """Return a system's error in one line; copying a folder collects many, of which one is told."""
    if isinstance(error, shutil.Error) and isinstance(error.args[0], list):
        _, target, why = error.args[0][0]
        return f"{target}: {why}"
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)


def interrupt(number: int, _frame: object) -> None:
    """Turn a signal into an exception, so that every `with` cleans up."""
    raise SystemExit(128 + number)


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = parse(argv)
    for number in [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]:
        signal.signal(number, interrupt)
    root = arguments.root.resolve()
    try:
        with alone(root):
            options = {"only": arguments.only, "quick": arguments.quick}
            options |= {"jobs": max(1, arguments.jobs), "write": arguments.write_numbers}
            options |= {"pdf": arguments.pdf}
            print(build(root, **options))
    except BuildError as error:
        print(f"build: {error}", file=sys.stderr)
        return 1
    except OSError as error:  # such as a full disk
        print(f"build: {said_by(error)}; the site stays as it was", file=sys.stderr)
        return 1
    except SystemExit:
        print("build: interrupted, the site stays as it was", file=sys.stderr)
        raise
    return 0


if __name__ == "__main__":
    sys.exit(main())
