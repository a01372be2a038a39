"""Memory as it is really held, and released suites with their checkpoints repeated."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from t2lib.data.registry import ReleasedFile, expand
from t2lib.data.suites import SUITES

ROOT = Path(__file__).resolve().parents[1]
# The sizes of Pythia are in a table of the library; a repeat is a size of its own.
BUILD = """
import sys
from t2lib.data import layouts
from t2lib.command.app import main
for size, n in list(layouts.PYTHIA_PARAMS.items()):
    layouts.PYTHIA_PARAMS.update({f"{size}r{i}": n + i for i in range(int(sys.argv[1]))})
sys.exit(main(["data", "build", "--jobs", "2"]))
"""


def peak_memory(command: Sequence[str | Path], environment: Mapping[str, str]) -> float:
    """Run a command to its end; return the most memory that it and its children held, in MiB.

    Pages that processes share are counted once (PSS), where the system tells them.
    """
    with tempfile.TemporaryFile() as said:
        running = psutil.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=said)
        peak = 0
        while running.poll() is None:
            held = 0
            for process in [running, *running.children(recursive=True)]:
                try:
                    memory = process.memory_full_info()
                    held += getattr(memory, "pss", memory.rss)
                except psutil.Error:  # it has just ended
                    continue
            peak = max(peak, held)
            with suppress(psutil.TimeoutExpired):
                running.wait(0.1)
        if running.returncode:
            said.seek(0)
            last = said.read().decode(errors="replace").strip().split("\n")[-1]
            what = f"{' '.join(map(str, command))} ended with {running.returncode}: {last}"
            raise RuntimeError(what)
    return peak / 2**20


def curves_of_repeated_suites(released: Path, folder: Path, times: int) -> float:
    """Build the curves of suites whose checkpoints are there so many times; return the peak."""
    environment = _shelf(released, folder, times)
    return peak_memory([sys.executable, "-c", BUILD, str(times)], environment)


def _shelf(released: Path, folder: Path, times: int) -> dict[str, str]:
    """Make a mirror of repeated files with a registry of its own; return the environment."""
    names = [f"gemstones_nll_{task}" for task in SUITES["gemstones"].tasks]
    names += [f"pythia_{task}" for task in SUITES["pythia"].tasks] + ["gemstones_loss_edu"]
    rows = []
    for file in expand(*names):
        target = folder / "mirror" / file.relative
        _repeat(released / file.relative, target, times)
        digest = hashlib.sha256(target.read_bytes()).hexdigest()
        rows.append(file._replace(bytes=target.stat().st_size, sha256=digest))
    shutil.copytree(ROOT / "data/testbed", folder / "data/testbed")  # our own, as it is
    table = pd.DataFrame(rows, columns=ReleasedFile._fields)
    table.to_csv(folder / "data/registry.csv", index=False)
    mine = {"T2LIB_DATA": str(folder / "data"), "T2LIB_MIRROR": str(folder / "mirror")}
    return os.environ | mine | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}


def _repeat(source: Path, target: Path, times: int) -> None:
    """Write a released file again with its checkpoints repeated."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.suffix == ".jsonl":
        rows = pd.read_json(source, lines=True)
        many = [rows.assign(run_name=f"{i:02}-" + rows["run_name"]) for i in range(times)]
        pd.concat(many).to_json(target, orient="records", lines=True)
        return
    column = "model" if "model" in pq.read_schema(source).names else "Model Nickname"
    parts = _repeated_rows(source, times, column)
    first = next(parts)
    # One row group, the hardest case for a reader that shall not hold it all.
    pq.write_table(pa.concat_tables([first, *parts]), target, row_group_size=2**30)


def _repeated_rows(source: Path, times: int, column: str) -> Iterator[pa.Table]:
    """Give a Parquet file's rows again and again, with other names in a column."""
    table = pq.read_table(source)
    place = table.schema.get_field_index(column)
    for i in range(times):
        names = table.column(column).to_pandas()
        if column == "Model Nickname":
            names = names.str.replace("_", f"r{i}_", n=2).str.replace(f"r{i}_", "_", n=1)
        else:
            names = f"{i:02}-" + names
        yield table.set_column(place, column, pa.array(names))
