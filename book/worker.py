"""One step of the build in a process of its own; `book/build.py` starts these.

    worker.py execute JOBS JSON              run chapters through papermill, so many at a time
    worker.py render SOURCE OUT [BUILDER]    render the staged book with Jupyter Book
    worker.py print FOLDER PAGE OUT.pdf      print the book, rendered as one page

A worker and every process it started (kernels and those kernels' children) end as soon as its
standard input closes. So nothing outlives the build, however the build itself ends.
"""

import json
import os
import re
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import psutil

THREADS = ["OMP", "OPENBLAS", "MKL", "NUMEXPR", "VECLIB_MAXIMUM"]


def environment(root: Path) -> dict[str, str]:
    """Return the variables that a worker runs with: the same chapter, whatever the shell says."""
    path = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        "PYTHONPATH": os.pathsep.join(path),
        "PYTHONHASHSEED": "0",
        "IPYTHONDIR": str(root / "_build/ipython"),  # not the reader's own start-up files
        "JUPYTER_PREFER_ENV_PATH": "1",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        **{f"{library}_NUM_THREADS": "1" for library in THREADS},
    }


def end(code: int) -> None:
    """End the whole process tree."""
    for child in psutil.Process().children(recursive=True):
        child.kill()
    os._exit(code)


def end_with_parent() -> None:
    """Watch standard input and end the whole process tree once it closes."""

    def watch() -> None:
        # os.read, not sys.stdin: a thread blocked in sys.stdin would hold up a normal exit.
        while os.read(0, 1):
            pass
        end(1)

    threading.Thread(target=watch, daemon=True).start()


def report(**message: Any) -> None:
    """Tell the build something: one JSON object on a line of standard output."""
    # In one write: two chapters may end at once.
    print(json.dumps(message) + "\n", end="", flush=True)


def injected(cell: Any) -> bool:
    """Tell whether papermill put in this cell, with the parameters of this run."""
    return "injected-parameters" in cell.metadata.get("tags", [])


def solutions(notebook: Any) -> list[tuple[str, str]]:
    """Return the code in a chapter's folded solutions, each with the exercise that it solves."""
    found = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for part in re.split(r"(?=\*\*Exercise )", cell.source)[1:]:
                name = part.split("**")[1].rstrip(".")
                folded = "\n".join(re.findall(r"<details>.*?</details>", part, re.S))
                code = re.findall(r"^```python\n(.*?)^```", folded, re.S | re.M)
                found += [(name, text) for text in code]
    return found


def settle(notebook: Any) -> None:
    """Take out of the outputs what differs from run to run: random names and addresses in memory.

    A Styler invents an id for its table, and what has no text of its own shows its address.
    """
    names: dict[str, str] = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "text/html" in data:
                data["text/html"] = re.sub(
                    r"(?<=T_)[0-9a-f]{5}(?=[\W_])",
                    lambda found: names.setdefault(found[0], f"{len(names) + 1:05x}"),
                    data["text/html"],
                )
            if "text/plain" in data:
                data["text/plain"] = re.sub(r" at 0x[0-9a-f]+", "", data["text/plain"])


def execute(jobs: int, tasks: list[dict[str, Any]]) -> int:
    """Run chapters in this order, `jobs` at a time, until one fails."""
    import kernels

    kernels.prepare(many=len(tasks) > 2 * jobs)
    with ThreadPoolExecutor(jobs) as pool:
        running = [pool.submit(execute_one, **task) for task in tasks]
        try:
            succeeded = all(done.result() for done in as_completed(running))
        except Exception as error:  # such as a full disk: the build says it in one line
            print(f"{type(error).__name__}: {error}", flush=True)
            succeeded = False
        if not succeeded:
            end(1)  # the other chapters would run to their ends
    return 0


def execute_one(chapter: str, out: str, parameters: dict[str, Any], key: str) -> bool:
    """Run a chapter through papermill; `out` appears whole, and only if every cell succeeded."""
    import papermill
    from kernels import Kernels
    from nbformat import NotebookNode, read, v4, write
    from papermill.engines import NBClientEngine, papermill_engines

    started, name = time.perf_counter(), Path(chapter).name
    cell_now = {"source": "", "number": 0}

    class ReportingEngine(NBClientEngine):
        """Papermill's own engine, which also reports every cell as it starts."""

        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> Any:
            start = nb_man.cell_start

            def report_start(cell: NotebookNode, index: int | None = None, **more: Any) -> None:
                own = [c for c in nb_man.nb.cells[: index or 0] if not injected(c)]
                source = f"{cell.metadata.get('solves', '')} {cell.source}"
                cell_now.update(source=source, number=len(own) + 1)
                report(chapter=name, cell=cell_now["number"])
                start(cell, index, **more)

            nb_man.cell_start = report_start
            try:
                return super().execute_managed_notebook(nb_man, kernel_name, **options)
            except Exception:  # a kernel that died: what it has done until then is shown
                write(nb_man.nb, unfinished)
                raise

    papermill_engines.register(name, ReportingEngine)
    declared = papermill.inspect_notebook(chapter)
    unfinished = Path(out).with_suffix(".failed.ipynb")
    # What the solutions say in code must run too, after the chapter; it is not shown as output.
    source = read(chapter, as_version=4)
    for exercise, code in solutions(source):
        source.cells.append(v4.new_code_cell(code, metadata={"solves": exercise}))
    write(source, unfinished)
    try:
        notebook = papermill.execute_notebook(
            unfinished,
            unfinished,
            {name: value for name, value in parameters.items() if name in declared},
            engine_name=name,
            progress_bar=False,
            request_save_on_cell_execute=False,  # a whole chapter, sixty times, costs seconds
            kernel_manager_class=Kernels,
            resources={"metadata": {"path": str(Path(chapter).parent)}},
        )
    except Exception as error:  # whatever went wrong in the chapter, the build has to name it
        kind = getattr(error, "ename", type(error).__name__)
        text = getattr(error, "evalue", None) or str(error)
        report(chapter=name, error=f"{kind}: {text}", **cell_now)
        return False
    notebook.cells = [cell for cell in notebook.cells if "solves" not in cell.metadata]
    ran = [cell.metadata.papermill.get("duration") or 0 for cell in notebook.cells]
    settle(notebook)
    # Times and paths of this machine do not belong into a page that others compare with theirs.
    for part in [notebook, *notebook.cells]:
        part.metadata.pop("papermill", None)
        part.metadata.pop("execution", None)
    notebook.metadata["build_key"] = key
    write(notebook, unfinished)
    os.replace(unfinished, out)
    took = time.perf_counter() - started
    report(chapter=name, seconds=round(sum(ran), 1), took=round(took, 1))
    return True


def render(source: str, out: str, builder: str = "html") -> int:
    """Render a staged book: execution is off in its settings, and any warning is an error."""
    from jupyter_book.cli.main import main

    options = ["-n", "-W", "--keep-going", "--builder", builder, "--path-output", out]
    return main(["build", source, *options], standalone_mode=False) or 0


def print_book(folder: str, page: str, out: str) -> int:
    """Print the book, rendered as one page, to a PDF."""
    import pdf

    try:
        pdf.make(Path(folder), page, Path(out))
    except Exception as error:  # whatever a browser says, the build has to name it
        print(f"{type(error).__name__}: {error}")
        return 1
    return 0


if __name__ == "__main__":
    end_with_parent()
    step, *given = sys.argv[1:]
    if step == "execute":
        sys.exit(execute(int(given[0]), json.loads(given[1])))
    sys.exit(render(*given) if step == "render" else print_book(*given))
