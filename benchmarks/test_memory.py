"""How much memory the curves take as checkpoints are added: `make bench`.

The released suites are repeated 1, 4 and 16 times under other names. Memory is the most that the
build and its worker processes hold together; it must not grow with the number of checkpoints.
"""

import hashlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from at_hand import ROOT
from at_hand import released as released
from memory import peak_memory

from t2lib.data.registry import ReleasedFile, expand
from t2lib.data.suites import SUITES

pytestmark = pytest.mark.bench
TIMES = [1, 4, 16]

# The sizes of Pythia are in a table of the library; a repeat is a size of its own.
BUILD = """
import sys
from t2lib.data import layouts
from t2lib.command.app import main
for size, n in list(layouts.PYTHIA_PARAMS.items()):
    layouts.PYTHIA_PARAMS.update({f"{size}r{i}": n + i for i in range(int(sys.argv[1]))})
sys.exit(main(["data", "build", "--jobs", "2"]))
"""


def repeated_rows(source: Path, times: int, column: str) -> Iterator[pa.Table]:
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


def repeat(source: Path, target: Path, times: int) -> None:
    """Write a released file again with its checkpoints repeated."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.suffix == ".jsonl":
        rows = pd.read_json(source, lines=True)
        many = [rows.assign(run_name=f"{i:02}-" + rows["run_name"]) for i in range(times)]
        pd.concat(many).to_json(target, orient="records", lines=True)
        return
    column = "model" if "model" in pq.read_schema(source).names else "Model Nickname"
    parts = repeated_rows(source, times, column)
    first = next(parts)
    # One row group, the hardest case for a reader that shall not hold it all.
    pq.write_table(pa.concat_tables([first, *parts]), target, row_group_size=2**30)


def shelf(released: Path, folder: Path, times: int) -> dict[str, str]:
    """Make a mirror of repeated files with a registry of its own; return the environment."""
    names = [f"gemstones_nll_{task}" for task in SUITES["gemstones"].tasks]
    names += [f"pythia_{task}" for task in SUITES["pythia"].tasks] + ["gemstones_loss_edu"]
    rows = []
    for file in expand(*names):
        target = folder / "mirror" / file.relative
        repeat(released / file.relative, target, times)
        digest = hashlib.sha256(target.read_bytes()).hexdigest()
        rows.append(file._replace(bytes=target.stat().st_size, sha256=digest))
    (folder / "data").mkdir()
    table = pd.DataFrame(rows, columns=ReleasedFile._fields)
    table.to_csv(folder / "data/registry.csv", index=False)
    mine = {"T2LIB_DATA": str(folder / "data"), "T2LIB_MIRROR": str(folder / "mirror")}
    return os.environ | mine | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}


def test_curves_take_no_more_memory_for_more_checkpoints(released: Path, tmp_path: Path) -> None:
    """At 16 times the checkpoints at most a quarter more than at 4 times."""
    peaks = {}
    for times in TIMES:
        folder = tmp_path / str(times)
        folder.mkdir()
        environment = shelf(released, folder, times)
        started = time.perf_counter()
        peaks[times] = peak_memory([sys.executable, "-c", BUILD, str(times)], environment)
        rows = sum(pq.read_metadata(f).num_rows for f in folder.glob("data/curves/*.parquet"))
        taken = time.perf_counter() - started
        print(f"\n{times:>3} x: {peaks[times]:.0f} MiB, {rows:,} rows, {taken:.0f} s", flush=True)
    assert peaks[16] < 1.25 * peaks[4]
