"""How long people wait, each wait beside the least it could take and beside its last record.

    make bench                  (python benchmarks/waits.py)
    make bench ONLY="plan fit"  (--only plan fit: waits with one of these words in their name)
    make bench RECORD=1         (--record: what was measured becomes the record of this machine)

The first table: a wait, its limit (what no program could do without), the ratio of the two, and the
ratio to the time recorded on the same kind of machine in ``waits.json``. Fits are timed by the
processor time of this process, as other programs do not count there; commands by the clock, with
the most memory that they held. The second: how time grows with rows and with checkpoints, both
sixteenfold, as an exponent: 1 is linear, 0 is not at all.

Nothing fails here for being slow. ``tests/fitting/test_evaluations.py`` bounds what does not depend
on the load of a machine.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy is imported

import nbformat
import numpy as np
import pandas as pd
from memory import ROOT, curves_of_repeated_suites, peak_memory

import t2lib as t2
from t2lib._checks import DataError
from t2lib.data.registry import expand

RECORD = Path(__file__).with_suffix(".json")
TIMES = 16
Run = Callable[[], Any]


@dataclass(frozen=True)
class Wait:
    """Something that people wait for.

    Attributes
    ----------
    name : str
    prepare : callable
        Gets an empty folder and returns what is waited for and its limit, both to be called. What
        it takes itself is not measured.
    repeats : int
        Runs, of which the median counts.
    command : bool
        Whether it is another process, which is timed by the clock and returns its memory in MiB.
    """

    name: str
    prepare: Callable[[Path], tuple[Run, Run]]
    repeats: int = 1
    command: bool = False


# ------------------------------------------------------------------------------------------- fits


def design_matrix(*sizes: pd.Series) -> Run:
    """Limit of a fit: the powers of every row once, as one evaluation of a law needs them."""
    columns = [size.to_numpy(float) for size in sizes]
    return lambda: np.stack([np.ones_like(columns[0]), *(x**-0.3 for x in columns)])


@cache
def points() -> pd.DataFrame:
    """The 240 points that Besiroglu et al. keep: all but the five largest losses."""
    return t2.load_points("chinchilla").nsmallest(240, "loss")


@cache
def curves() -> pd.DataFrame:
    """One task of Gemstones, 6,930 rows."""
    return t2.load_curves("gemstones").query("task == 'hellaswag_zeroshot' and k <= 256")


@cache
def counts() -> pd.DataFrame:
    """Samples of GSM8K from 81 checkpoints of Pythia, 10,273 questions."""
    return t2.load_questions("pythia", "gsm8k")


def fit_of_points(objective: str, _: Path) -> tuple[Run, Run]:
    """Chinchilla's law to the 240 points."""
    sizes = points()["n_params"], points()["n_tokens"]
    fit: Any = t2.fit_chinchilla
    return lambda: fit(*sizes, points()["loss"], objective=objective), design_matrix(*sizes)


def refits_of_points(_: Path) -> tuple[Run, Run]:
    """Four thousand resamples of the 240 points; the limit is for all of them, too."""
    once = design_matrix(points()["n_params"], points()["n_tokens"])
    refit = partial(t2.bootstrap, t2.ChinchillaRefit(), n=4000, seed=0, by="row", n_jobs=1)
    return lambda: refit(points()), lambda: [once() for _ in range(4000)]


def fit_of(table: Callable[[], pd.DataFrame], law: str, _: Path, **options: Any) -> tuple[Run, Run]:
    """A law of the table of laws to real rows."""
    rows = table()
    sizes = [rows[name] for name in ("n_params", "n_tokens", "k") if name in rows]
    return lambda: t2.fit(law, rows, **options), design_matrix(*sizes)


# --------------------------------------------------------------------------------------- commands


def python(*arguments: str | Path, **environment: str) -> Run:
    """Run this Python; what is run returns its peak memory in MiB."""
    mine = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    return lambda: peak_memory([sys.executable, *arguments], mine)


def imports(_: Path, *arguments: str | Path) -> tuple[Run, Run]:
    """A command of `t2` that fits or reads little; its limit is to import what any fit needs."""
    return python("-m", "t2lib", *arguments), python("-c", "import numpy, pandas, scipy.optimize")


def read_bytes(*paths: Path) -> Run:
    """Limit of what reads files: to read their bytes."""
    files = [file for path in paths for file in (path.rglob("*") if path.is_dir() else [path])]
    return lambda: [len(file.read_bytes()) for file in files if file.is_file()] and None


def released() -> Path:
    """Folder of released files, as the variable names it or beside the repository."""
    folder = Path(os.environ.get("T2LIB_MIRROR") or ROOT.parent / "shared/released")
    if not folder.is_dir():
        raise FileNotFoundError("no released files: name their folder in T2LIB_MIRROR")
    return folder.resolve()


def fit_of_all_gemstones(folder: Path) -> tuple[Run, Run]:
    """`t2 fit` on 8 tasks and 770 checkpoints, every question's likelihood, with its report."""
    for task in t2.SUITES["gemstones"].tasks:
        t2.load_questions("gemstones", task).to_parquet(folder / f"{task}.parquet")
    tables = sorted(folder.glob("*.parquet"))
    arguments = ["fit", *tables, "-o", folder / "report.html", "--force"]
    return python("-m", "t2lib", *arguments), read_bytes(*tables)


def build_data(folder: Path) -> tuple[Run, Run]:
    """The embedded curves from every question's value, beside a copy of the embedded data."""
    shutil.copytree(ROOT / "data", folder / "data")
    names = [f"gemstones_nll_{task}" for task in t2.SUITES["gemstones"].tasks]
    files = expand(*names, *(f"pythia_{task}" for task in t2.SUITES["pythia"].tasks))
    least = read_bytes(*(released() / file.relative for file in files))
    return python("-m", "t2lib", "data", "build", T2LIB_DATA=str(folder / "data")), least


def copied(folder: Path) -> Path:
    """A copy of the repository in which nothing is built yet."""
    left_out = shutil.ignore_patterns(".*", "_build", "__pycache__", "*.egg-info")
    return Path(shutil.copytree(ROOT, folder / "book", ignore=left_out))


def book(warm: bool, folder: Path) -> tuple[Run, Run]:
    """The site as a reader builds it who has no released file; its limit is one empty chapter."""
    copy = copied(folder)
    own = {"PYTHONPATH": str(copy), "T2LIB_MIRROR": "", "T2LIB_CACHE": str(folder / "no-cache")}
    build = python(copy / "book/build.py", **own)
    if warm:
        build()
    kernel = {"name": "python3", "display_name": "Python 3"}
    empty = nbformat.v4.new_notebook(metadata={"kernelspec": kernel})
    nbformat.write(empty, folder / "empty.ipynb")
    return build, python("-m", "papermill", "--no-progress-bar", *[folder / "empty.ipynb"] * 2)


def continuous_integration(folder: Path) -> tuple[Run, Run]:
    """What runs for every change, from a clean clone; its limit is to collect the tests."""
    subprocess.run(["git", "clone", "--quiet", ROOT, folder / "clone"], check=True)
    collect = python("-m", "pytest", "--collect-only", "--quiet", ROOT / "tests")
    return lambda: peak_memory(["sh", folder / "clone/.ci/run"], os.environ), collect


def plan_from_file(folder: Path) -> tuple[Run, Run]:
    """`t2 plan` on what `t2 fit` wrote."""
    report = folder / "report.html"
    python("-m", "t2lib", "fit", ROOT / "data/example", "-o", report)()
    place = [report.with_suffix(".json"), "--task", "example_sums", *PLAN]
    return imports(folder, "plan", *place)


PLAN = ["--total-flops", "1e21", "--queries", "1e8", "--prompt-tokens", "500"]
WAITS = [
    Wait("Chinchilla fit, squares, 240 points", partial(fit_of_points, "sse"), 31),
    Wait("Chinchilla fit, Huber, 240 points", partial(fit_of_points, "huber_log"), 31),
    Wait("Chinchilla fit, 4,000 refits of 240 points", refits_of_points),
    Wait("additive fit, 6,930 rows", partial(fit_of, curves, "AdditiveLaw"), 15),
    Wait(
        "additive fit, the paper's recipe from 20 of its 500 starts",
        partial(fit_of, curves, "AdditiveLaw", method="paper", restarts=20),
    ),
    Wait("Beta-consistent fit, 6,930 rows", partial(fit_of, curves, "BetaConsistentLaw"), 9),
    Wait(
        "Beta-consistent fit, joint, 6,930 rows",
        partial(fit_of, curves, "BetaConsistentLaw", method="joint"),
        5,
    ),
    Wait("Beta regression fit, 6,930 rows", partial(fit_of, curves, "BetaRegressionLaw"), 9),
    Wait("Beta-consistent fit, 10,273 counts", partial(fit_of, counts, "BetaConsistentLaw"), 5),
    Wait("Beta regression fit, 10,273 counts", partial(fit_of, counts, "BetaRegressionLaw"), 3),
    Wait("t2 --help", lambda f: imports(f, "--help"), 5, command=True),
    Wait("t2 plan, from a fitted file", plan_from_file, 5, command=True),
    Wait("t2 plan, fits first", lambda f: imports(f, "plan", "--task", "arce", *PLAN), 5, True),
    Wait("t2 fit, all of Gemstones", fit_of_all_gemstones, command=True),
    Wait("t2 data build, all curves", build_data, command=True),
    Wait("book, unchanged", partial(book, True), 3, command=True),
    Wait("book, from nothing", partial(book, False), command=True),
    Wait(".ci/run, from a clean clone", continuous_integration, command=True),
]


def measured(run: Run, repeats: int, command: bool) -> tuple[float, float | None]:
    """Median seconds of several runs, after one that warms up what repeats; MiB of a command."""
    clock = time.perf_counter if command else time.process_time
    seconds, peaks = [], []
    if repeats > 1:
        run()
    for _ in range(repeats):
        began = clock()
        peaks.append(run())
        seconds.append(clock() - began)
    return float(np.median(seconds)), max(peaks) if command and peaks[0] is not None else None


# ----------------------------------------------------------------------------------------- growth


def checkpoints(n: int, rng: np.random.Generator) -> pd.DataFrame:
    """Sizes of simulated checkpoints, scattered over three decades."""
    sizes = np.exp(rng.uniform(np.log([1e7, 1e9]), np.log([1e10, 1e12]), (n, 2)))
    names = [f"run{i}" for i in range(n)]
    return pd.DataFrame({"model": names, "n_params": sizes[:, 0], "n_tokens": sizes[:, 1]})


TRUTH = t2.BetaConsistentLaw(
    t2.Chinchilla(E=0.5, A=400.0, B=2000.0, alpha=0.35, beta=0.37), c0=1.0, c1=0.3
)


def simulated_curves(n: int, ks: int) -> pd.DataFrame:
    """Curves of n checkpoints at some k, with scatter."""
    rng = np.random.default_rng(0)
    table = checkpoints(n, rng).merge(pd.DataFrame({"k": np.geomspace(1, 1e3, ks)}), how="cross")
    N, D, k = (table[name].to_numpy() for name in ("n_params", "n_tokens", "k"))
    scatter = np.repeat(np.exp(0.02 * rng.standard_normal(n)), ks)
    table["mean_nll"] = TRUTH.chinchilla.loss(N, D) * scatter
    a, b = TRUTH.shape_at_loss(table["mean_nll"].to_numpy())
    table["pass_at_k"] = t2.beta_pass_at_k(a, b, k)
    table["neg_log_pass"] = table["mean_nll"] * k**-0.3
    return table


def simulated_counts(n: int, questions: int) -> pd.DataFrame:
    """Right answers among 64 samples of questions, a fifth of which is never solved."""
    rng = np.random.default_rng(0)
    table = checkpoints(n, rng).merge(pd.DataFrame({"question": range(questions)}), how="cross")
    a, b = TRUTH.shape(table["n_params"].to_numpy(), table["n_tokens"].to_numpy())
    p = rng.beta(a, b) * (rng.random(len(table)) > 0.2)
    return table.assign(task="made", n_samples=64, n_correct=rng.binomial(64, p))


def growth() -> Iterator[tuple[str, Callable[[int, int], Run]]]:
    """Name of each computation, and a function from factors of checkpoints and rows to a run."""
    for name, row in t2.LAWS.items():
        if "n_samples" not in row.columns:

            def from_curves(n: int, rows: int, name: str = name) -> Run:
                table = simulated_curves(60 * n, 8 * rows)
                return lambda: t2.fit(name, table)

            yield f"{name} fit", from_curves
        if row.fit_counts:

            def from_counts(n: int, rows: int, name: str = name) -> Run:
                table = simulated_counts(20 * n, 50 * rows)
                return lambda: t2.fit(name, table)

            yield f"{name} fit, counts", from_counts

    def huber(n: int, rows: int) -> Run:
        table = simulated_curves(60 * n * rows, 1)
        return lambda: t2.fit("Chinchilla", table, objective="huber_log")

    yield "Chinchilla fit, Huber", huber

    def bootstrap(n: int, rows: int) -> Run:
        table = simulated_curves(60 * n, 8 * rows)
        return lambda: t2.bootstrap(t2.AdditiveRefit(), table, n=20, seed=0, by="checkpoint")

    yield "bootstrap of the additive law, 20 resamples", bootstrap

    def importer(n: int, rows: int) -> Run:
        folder = Path(tempfile.mkdtemp(dir=os.environ["TMPDIR"]))
        for model, table in simulated_counts(10 * n, 100 * rows).groupby("model"):
            table.to_csv(folder / f"{model}.csv", index=False)
        return lambda: t2.read_results(folder)

    yield "importer, a file each", importer


def exponent(small: float, large: float) -> str:
    """Of growth when something is there sixteen times."""
    return f"{np.log(large / small) / np.log(TIMES):.2f}"


# ---------------------------------------------------------------------------------------- reports


def machine() -> str:
    """Kind of machine: processor, cores and Python.

    A cloud calls processors of many years by one name: their widest instructions tell them apart.
    """
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        facts = {
            name.strip(): value.strip() for name, _, value in (x.partition(":") for x in lines)
        }
        widest = [name for name in ("avx512f", "avx2") if name in facts["flags"].split()]
        cpu = " ".join([facts["model name"], *widest[:1]])
    except (OSError, KeyError):
        cpu = platform.processor() or platform.machine()
    return f"{cpu}, {os.cpu_count()} cores, Python {platform.python_version()}"


def ratio(value: float, to: float | None) -> str:
    """Of two times; a dash where the second is not known."""
    if not to:
        return "-"
    return f"{value / to:,.0f}" if value > 100 * to else f"{value / to:.3g}"


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--only", nargs="*", action="extend", default=[], metavar="WORD", help="in a wait's name"
    )
    parser.add_argument("--record", action="store_true", help="write benchmarks/waits.json")
    options = parser.parse_args()
    records = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    record = records.setdefault(machine(), {})

    def chosen(name: str) -> bool:
        return not options.only or any(word.lower() in name.lower() for word in options.only)

    with suppress(FileNotFoundError):
        os.environ["T2LIB_MIRROR"] = str(released())
    print(f"{machine()}; load {os.getloadavg()[0]:.1f}\n")
    print(
        f"{'wait':<60}{'seconds':>10}{'limit':>10}{'ratio':>9}{'MiB':>6}{'recorded':>10}{'ratio':>7}"
    )
    found = {}
    for wait in (wait for wait in WAITS if chosen(wait.name)):
        with tempfile.TemporaryDirectory() as folder:
            try:
                run, limit = wait.prepare(Path(folder))
                seconds, peak = measured(run, wait.repeats, wait.command)
                least, _ = measured(limit, max(wait.repeats, 3), wait.command)
            except (DataError, OSError, RuntimeError) as error:  # one wait is not all
                print(f"{wait.name:<60}{error}")
                continue
        found[wait.name] = seconds
        before = record.get(wait.name)
        memory = "" if peak is None else f"{peak:.0f}"
        past = "-" if before is None else f"{before:.4g}"
        print(
            f"{wait.name:<60}{seconds:>10.4g}{least:>10.2g}{ratio(seconds, least):>9}{memory:>6}"
            f"{past:>10}{ratio(seconds, before):>7}",
            flush=True,
        )
    if options.record:
        record |= {name: float(f"{seconds:.4g}") for name, seconds in found.items()}
        RECORD.write_text(json.dumps(records, indent=1, sort_keys=True) + "\n")
    grown(chosen)


def grown(chosen: Callable[[str], bool]) -> None:
    """Print how time grows, and memory where it must not."""
    print(f"\n{f'growth, {TIMES} times the':<60}{'seconds':>10}{'checkpoints':>13}{'rows':>7}")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TMPDIR"] = folder
        for name, make in growth():
            if chosen(f"growth {name}"):
                sizes = [(1, 1), (TIMES, 1), (1, TIMES)]
                one, more, longer = (measured(make(*size), 3, False)[0] for size in sizes)
                print(
                    f"{name:<60}{one:>10.4g}{exponent(one, more):>13}{exponent(one, longer):>7}",
                    flush=True,
                )
        name = "t2 data build, its peak memory in MiB"
        if chosen(f"growth {name}"):
            (Path(folder) / "1").mkdir()
            (Path(folder) / "2").mkdir()
            small = curves_of_repeated_suites(released(), Path(folder) / "1", 1)
            large = curves_of_repeated_suites(released(), Path(folder) / "2", TIMES)
            print(f"{name:<60}{small:>10.0f}{exponent(small, large):>13}{'':>7}")


if __name__ == "__main__":
    main()
