"""No word and no printed digit of the book hangs on the machine that ran it.

Last digits of a sum depend on the processor and on the number of threads. Chapters are run under
two kernels and two numbers of threads, and everything that a reader sees as text must be equal.
"""

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from at_hand import ROOT

sys.path.insert(0, str(ROOT / "book"))
import build

CHAPTERS = ["02", "04", "05", "09"]
# OpenBLAS's newest kernels that every machine of today runs with one thread, its oldest with two.
MACHINES = [("Haswell", "1"), ("Prescott", "2")]
# Two threads are asked to sleep between two products: OpenBLAS would keep a core busy with waiting.
SLEEP = {"OPENBLAS_THREAD_TIMEOUT": "4"}  # 2^4 ticks


def texts(notebook: Path) -> list[tuple[int, str, str]]:
    """Every text that a reader sees among the outputs: cell, kind and text.

    Pictures are left out: they are compared by no byte, and HTML says what text/plain says. So are
    the addresses of objects in memory, which no page shows.
    """
    found = []
    for number, cell in enumerate(json.loads(notebook.read_text())["cells"]):
        for output in cell.get("outputs", []):
            kinds = output.get("data", {output.get("name", ""): output.get("text", "")})
            for kind, text in kinds.items():
                if re.search(r"(plain|markdown|latex|stdout|stderr)$", kind):
                    text = re.sub(r" at 0x[0-9a-f]+", "", "".join(text))
                    found.append((number, kind, text))
    return found


def run(chapter: Path, core: str, threads: str, folder: Path) -> list[tuple[int, str, str]]:
    """Run a chapter on such a machine, and read what it says."""
    out = folder / f"{core}.ipynb"
    task = {"chapter": str(chapter), "out": str(out), "key": ""}
    task["parameters"] = build.QUICK_PARAMETERS
    done = subprocess.Popen(
        [sys.executable, ROOT / "book/worker.py", "execute", "1", json.dumps([task])],
        env=os.environ | SLEEP | {"OPENBLAS_CORETYPE": core, "OPENBLAS_NUM_THREADS": threads},
        stdin=subprocess.PIPE,  # the worker ends once this closes
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.stdout
    said = done.stdout.read()
    assert done.wait() == 0, f"{chapter.name}: {said[-2000:]}"
    return texts(out)


@pytest.mark.parametrize("number", CHAPTERS)
def test_no_text_hangs_on_the_machine(number: str, tmp_path: Path) -> None:
    (chapter,) = (ROOT / "chapters").glob(f"{number}_*.ipynb")
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda machine: run(chapter, *machine, tmp_path), MACHINES)
    assert one and len(one) == len(other)
    for (cell, kind, text), (_, _, again) in zip(one, other, strict=True):
        assert text == again, f"cell {cell}, {kind}"
