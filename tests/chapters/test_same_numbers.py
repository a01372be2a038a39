"""No word and no printed digit of the book hangs on the machine that ran it.

Last digits of a sum depend on the processor and on the number of threads. Chapters are run again
with another processor's kernel and two threads, and all text that the site shows must be equal.
"""

import json
import os
import re
import sys
from pathlib import Path

import pytest
from at_hand import ROOT, as_a_reader

sys.path.insert(0, str(ROOT / "book"))
import build

CHAPTERS = ["02", "04", "05", "09"]
# OpenBLAS's oldest kernel; where the site was built with it, the newest of every machine of today.
OTHER = "Haswell" if os.environ.get("OPENBLAS_CORETYPE") == "Prescott" else "Prescott"
# Two threads are asked to sleep between two products: OpenBLAS would keep a core busy with waiting.
MACHINE = {"OPENBLAS_CORETYPE": OTHER, "OPENBLAS_NUM_THREADS": "2", "OPENBLAS_THREAD_TIMEOUT": "4"}


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


@pytest.mark.parametrize("number", CHAPTERS)
def test_no_text_hangs_on_the_machine(number: str, executed: Path, tmp_path: Path) -> None:
    (shown,) = executed.glob(f"{number}_*.ipynb")
    chapter, out = ROOT / "chapters" / shown.name, tmp_path / shown.name
    task = {"chapter": str(chapter), "out": str(out), "parameters": {}, "key": ""}
    workers = build.Workers(ROOT)
    workers.environment |= as_a_reader() | MACHINE
    build.execute(workers, 1, [task], on_cell=lambda: None, on_end=lambda *_: None)
    one, other = texts(shown), texts(out)
    assert one and len(one) == len(other)
    for (cell, kind, text), (_, _, again) in zip(one, other, strict=True):
        assert text == again, f"cell {cell}, {kind}"
