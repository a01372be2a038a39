"""Fit the Chinchilla law to the 240 points with this library and with its peers, in one run.

    make bench-peers        (python benchmarks/peers.py, with the packages of the extra ``peers``)

The data are the points of Hoffmann et al.'s figure 4 without the five largest losses, as Besiroglu
et al. took them. Two objectives: ``huber_log``, the sum of Huber losses (delta 1e-3) of log
residuals, and ``sse``, the sum of squared residuals. Every peer searches log E, log A, log B, alpha
and beta, and starts from the same 1,000 starts, drawn from Besiroglu et al.'s grid.

* ``lbfgs_differences``: scipy's L-BFGS-B with its own settings and gradients by differences, as
  Besiroglu et al. published it: the best of a grid of 5 x 5 x 5 x 6 x 6 = 4,500 starts. A tenth of
  the grid is run, and its time is multiplied by ten.
* ``lbfgs_gradient``: the same grid with the analytic gradient, which is kinder to it; run whole.
* ``chinchilla``: the package of that name, given the same loss; BFGS with gradients by differences
  in extended precision. Its procedure is a grid too; the time of some starts is scaled to 4,500.
* ``curve_fit``: scipy's, one start (Levenberg-Marquardt; trust region with Huber weights).
* ``lmfit``: lmfit's ``leastsq``, one start, all five parameters searched together.
* ``t2lib``: :func:`t2lib.fit_chinchilla`. It takes no start: as often, its rows
  are shuffled.

The table is printed and written to ``data/recorded/peers.json``, whole or not at all: an object of

* ``inputs``: registry name to sha256 of what was fitted;
* ``settings``: ``starts`` (random ones), ``grid_starts``, ``arrived_within`` (relative distance
  from the best known objective that counts as arrived), ``rows`` (of the growing data), ``seed``;
* ``values.machine``: ``cpu``, ``cores``, ``python``, ``system``, ``packages`` (name to version),
  ``load`` (load average over the minute before, at start and end: above the 1 of this run
  something else was running), ``minutes`` the whole run took;
* ``values.best``: objective name to the lowest value that any method found;
* ``values.methods``: a list, one object a method and objective: ``method``, ``objective``;

  - ``found``: the lowest that its grid or any of its starts reached (t2lib: the median);
  - ``seconds``: processor time of the procedure, which is ``starts`` starts, of which
    ``starts_run`` were really run; ``seconds_a_start``, the mean, which an expected cost asks for;
  - ``share``: of the 1,000 starts that arrived; ``failed``: how many gave an error instead;
  - ``seconds_to_optimum``: ``seconds_a_start / share``, the expected cost of trying until it
    arrives; null if none did;
  - ``ratio``, ``ratio_to_optimum``: ``seconds`` and ``seconds_to_optimum`` over t2lib's;
  - ``memory_mib``: peak of what Python and NumPy allocated during one start;
  - ``rows_seconds``: rows to the processor time of one start (the median of the five that did
    best on the 240 points), null where all fail or beyond the time allowed, and ``rows_slope``, its
    slope in log-log over the last decade of rows, null likewise;

  or, for a peer that cannot be run here, ``method``, ``objective`` and ``unavailable`` (why);
* ``values.aims``: a list of ``aim``, ``value``, ``wanted``, ``met``.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import signal
import sys
import tempfile
import time
import tracemalloc
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import lmfit
import numpy as np
from scipy import optimize, special

import t2lib as t2
from t2lib.data.registry import fingerprint

DELTA = 1e-3
# log A, log B, log E, alpha, beta: the starts of Besiroglu et al.'s grid.
GRID = [
    np.arange(0, 30, 5.0),
    np.arange(0, 30, 5.0),
    np.arange(-1, 1.5, 0.5),
    np.arange(0, 2.5, 0.5),
    np.arange(0, 2.5, 0.5),
]
GRID_STARTS = int(np.prod([len(axis) for axis in GRID]))
STARTS = 1_000
ARRIVED_WITHIN = 1e-3
ROWS = [240, 720, 2_400, 7_200, 24_000]
ROWS_STARTS = 5  # on grown data: the starts that did best on the 240 points
ROWS_LIMIT = 10.0  # seconds a start may cost before the larger sizes are left out
TIME_LIMIT = 20 * 60
SEED = 0
OUT = Path(__file__).resolve().parents[1] / "data/recorded/peers.json"

Params = dict[str, float]


@dataclass(frozen=True)
class Points:
    """Training runs: parameters, tokens and loss of each."""

    N: np.ndarray
    D: np.ndarray
    loss: np.ndarray

    def shuffled(self, rng: np.random.Generator) -> Points:
        """Return the same rows in another order."""
        order = rng.permutation(len(self.N))
        return Points(self.N[order], self.D[order], self.loss[order])


@dataclass(frozen=True)
class Method:
    """One way to fit: from points and a start (log A, log B, log E, alpha, beta) to parameters."""

    name: str
    objective: str
    fit: Callable[[Points, np.ndarray], Params]
    grid: bool = False  # its procedure is the whole grid of starts, not one
    grid_stride: int = 1  # every how manieth start of the grid is run
    many: Callable[[Points, list[np.ndarray]], Params] | None = field(default=None, repr=False)


# ------------------------------------------------------------------------------- objectives


def objective(kind: str, params: Params, points: Points) -> float:
    """Return what is minimised, from plain parameters: the same judge for every method."""
    p = params
    predicted = p["E"] + p["A"] * points.N ** -p["alpha"] + p["B"] * points.D ** -p["beta"]
    if kind == "sse":
        return float(np.sum((predicted - points.loss) ** 2))
    return float(np.sum(special.huber(DELTA, np.log(predicted) - np.log(points.loss))))


def from_logs(v: np.ndarray) -> Params:
    """Turn (log A, log B, log E, alpha, beta) into plain parameters."""
    return {
        "E": float(np.exp(v[2])),
        "A": float(np.exp(v[0])),
        "B": float(np.exp(v[1])),
        "alpha": float(v[3]),
        "beta": float(v[4]),
    }


def log_law(v: np.ndarray, log_N: np.ndarray, log_D: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the log of the law, and its three terms' logs, shape (3, rows)."""
    terms = np.stack([v[0] - v[3] * log_N, v[1] - v[4] * log_D, np.full_like(log_N, v[2])])
    terms = np.clip(terms, -300, 300)  # a search gone astray gives large numbers, not NaN
    largest = terms.max(axis=0)  # scipy's logsumexp does the same, ten times slower on short rows
    return largest + np.log(np.exp(terms - largest).sum(axis=0)), terms


def huber_and_gradient(v: np.ndarray, points: Points) -> tuple[float, np.ndarray]:
    """Return the sum of Huber losses of log residuals, and its gradient."""
    log_N, log_D = np.log(points.N), np.log(points.D)
    predicted, terms = log_law(v, log_N, log_D)
    residuals = predicted - np.log(points.loss)
    pull = np.clip(residuals, -DELTA, DELTA)
    shares = np.exp(terms - predicted) * pull
    gradient = np.array([*shares.sum(axis=1), -(shares[0] @ log_N), -(shares[1] @ log_D)])
    return float(special.huber(DELTA, residuals).sum()), gradient


# ------------------------------------------------------------------------------- the peers


def lbfgs(points: Points, start: np.ndarray, *, gradient: bool) -> Params:
    """One start of the procedure of Besiroglu et al."""
    if gradient:
        found = optimize.minimize(huber_and_gradient, start, (points,), "L-BFGS-B", jac=True)
        return from_logs(found.x)
    log_N, log_D, log_loss = np.log(points.N), np.log(points.D), np.log(points.loss)

    def value(v: np.ndarray) -> float:
        return float(special.huber(DELTA, log_law(v, log_N, log_D)[0] - log_loss).sum())

    return from_logs(optimize.minimize(value, start, method="L-BFGS-B").x)


def curve_fit(points: Points, start: np.ndarray, *, kind: str) -> Params:
    """scipy's curve_fit, from one start."""
    x = np.log(np.stack([points.N, points.D]))

    def log_loss(x: np.ndarray, *v: float) -> np.ndarray:
        return log_law(np.array(v), x[0], x[1])[0]

    if kind == "sse":
        found = optimize.curve_fit(lambda x, *v: np.exp(log_loss(x, *v)), x, points.loss, start)
    else:
        y = np.log(points.loss)
        robust = {"method": "trf", "loss": "huber", "f_scale": DELTA}
        found = optimize.curve_fit(log_loss, x, y, start, **robust)
    return from_logs(found[0])


def fit_lmfit(points: Points, start: np.ndarray, *, kind: str) -> Params:
    """lmfit's leastsq, from one start, all five parameters free."""
    log_N, log_D, log_loss = np.log(points.N), np.log(points.D), np.log(points.loss)
    names = ["a", "b", "e", "alpha", "beta"]
    parameters = lmfit.Parameters()
    for name, value in zip(names, start, strict=True):
        parameters.add(name, value=float(value))

    def residuals(p: lmfit.Parameters) -> np.ndarray:
        predicted = log_law(np.array([p[name].value for name in names]), log_N, log_D)[0]
        if kind == "sse":
            return np.exp(predicted) - points.loss
        r = predicted - log_loss
        return np.sign(r) * np.sqrt(2 * special.huber(DELTA, r))  # half its square is the loss

    found = lmfit.minimize(residuals, parameters, method="leastsq")
    return from_logs(np.array([found.params[name].value for name in names]))


def package_chinchilla(points: Points, starts: list[np.ndarray], *, kind: str) -> Params:
    """The package ``chinchilla``: the best of a grid, without its figure."""
    import chinchilla
    import pandas as pd
    from chinchilla._metrics import log_huber, mse

    def loss_of_rows(true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        return mse(true, predicted) if kind == "sse" else log_huber(true, predicted, delta=DELTA)

    axes = [sorted(set(axis)) for axis in np.array(starts).T]
    assert np.prod([len(axis) for axis in axes]) == len(starts), "the package takes grids only"
    # The package reads its axes in this order, whatever they are called.
    grid = {name: axes[i] for name, i in {"e": 2, "a": 0, "b": 1, "alpha": 3, "beta": 4}.items()}
    with tempfile.TemporaryDirectory() as folder:
        fit = chinchilla.Chinchilla(folder, grid, loss_fn=loss_of_rows, log_level=50)
        columns = {"C": 6 * points.N * points.D, "N": points.N, "D": points.D, "loss": points.loss}
        fit.database.df = pd.DataFrame(columns)
        fit.visualizer.optim = lambda *_, **__: None
        fit.fit(parallel=False)
        return fit.params


def this_library(points: Points, _: np.ndarray, *, kind: Any) -> Params:
    """t2lib, which takes no start."""
    return t2.fit_chinchilla(points.N, points.D, points.loss, objective=kind).params


def methods() -> list[Method]:
    """Return every method for every objective it can do."""
    made = [
        Method(
            "lbfgs_differences",
            "huber_log",
            lambda points, start: lbfgs(points, start, gradient=False),
            grid=True,
            grid_stride=10,
        ),
        Method(
            "lbfgs_gradient",
            "huber_log",
            lambda points, start: lbfgs(points, start, gradient=True),
            grid=True,
        ),
    ]
    for kind in ("huber_log", "sse"):
        made += [
            Method(
                "chinchilla",
                kind,
                lambda points, start, kind=kind: package_chinchilla(points, [start], kind=kind),
                grid=True,
                many=lambda points, starts, kind=kind: package_chinchilla(
                    points, starts, kind=kind
                ),
            ),
            Method(
                "curve_fit",
                kind,
                lambda points, start, kind=kind: curve_fit(points, start, kind=kind),
            ),
            Method(
                "lmfit",
                kind,
                lambda points, start, kind=kind: fit_lmfit(points, start, kind=kind),
            ),
            Method(
                "t2lib",
                kind,
                lambda points, start, kind=kind: this_library(points, start, kind=kind),
            ),
        ]
    return made


# ------------------------------------------------------------------------------- measuring


def grid_of_starts(stride: int = 1) -> np.ndarray:
    """Return the grid's starts, shape (starts, 5), in an order in which each part is mixed."""
    return np.random.default_rng(SEED).permutation(list(product(*GRID)))[::stride]


def random_starts() -> np.ndarray:
    """Return starts drawn from the grid, shape (1,000, 5)."""
    return grid_of_starts()[:STARTS]


def small_grid() -> list[np.ndarray]:
    """Return a grid within the grid: the ends and the middle of each axis, 243 starts."""
    axes = [(axis[0], axis[len(axis) // 2], axis[-1]) for axis in GRID]
    return [np.array(cell) for cell in product(*axes)]


def attempt(method: Method, points: Points, start: np.ndarray) -> tuple[float, float]:
    """Fit once; return the objective (infinite where it failed) and the processor seconds."""
    began = time.process_time()
    try:
        params = method.fit(points, start)
        taken = time.process_time() - began
        value = objective(method.objective, params, points)
    except (RuntimeError, ValueError, ArithmeticError, np.linalg.LinAlgError):
        return np.inf, time.process_time() - began
    return (value if np.isfinite(value) else np.inf), taken


def procedure(method: Method, points: Points) -> tuple[float, float, int]:
    """Run the whole procedure; return its objective, the seconds of one start, the starts run."""
    if method.many:
        starts = small_grid()
        began = time.process_time()
        found = objective(method.objective, method.many(points, starts), points)
        return found, (time.process_time() - began) / len(starts), len(starts)
    tried = [attempt(method, points, start) for start in grid_of_starts(method.grid_stride)]
    values, seconds = np.array(tried).T
    return float(values.min()), float(seconds.mean()), len(tried)


def measure(method: Method, points: Points, growing: list[Points]) -> dict[str, Any]:
    """Measure one method for one objective; `share` and ratios come when all are known."""
    row: dict[str, Any] = {"method": method.name, "objective": method.objective}
    rng = np.random.default_rng(SEED)
    if method.name == "chinchilla":
        try:
            import chinchilla  # noqa: F401
        except ImportError as error:
            return row | {"unavailable": f"{type(error).__name__}: {error}"}
    try:
        method.fit(points, random_starts()[0])  # imports and caches do not count
    except (RuntimeError, ValueError):  # it did not arrive
        pass
    except Exception as error:  # a peer that breaks with today's packages is a result too
        return row | {"unavailable": f"{type(error).__name__}: {error}"}
    tried = [attempt(method, points.shuffled(rng), start) for start in random_starts()]
    values, seconds = np.array(tried).T
    if method.grid:
        found, a_start, starts_run = procedure(method, points)
        found, starts = min(found, float(values.min())), GRID_STARTS
    else:
        a_start, starts, starts_run = float(seconds.mean()), 1, 1
        found = float(np.median(values) if method.name == "t2lib" else values.min())
    best = random_starts()[np.argsort(values, kind="stable")[:ROWS_STARTS]]
    times: list[float | None] = []
    for grown in growing:
        too_slow = bool(times) and (times[-1] is None or times[-1] > ROWS_LIMIT)
        times.append(None if too_slow else row_seconds(method, grown, best))
    known = [(rows, t) for rows, t in zip(ROWS, times, strict=True) if t and rows >= ROWS[-1] / 10]
    slope = np.polyfit(*np.log(np.array(known)).T, 1)[0] if len(known) > 1 else None
    return row | {
        "found": found,
        "seconds": a_start * starts,
        "starts": starts,
        "starts_run": starts_run,
        "seconds_a_start": a_start,
        "values": values,
        "memory_mib": memory(method, points),
        "rows_seconds": dict(zip(map(str, ROWS), times, strict=True)),
        "rows_slope": None if slope is None else float(slope),
    }


def row_seconds(method: Method, grown: Points, starts: np.ndarray) -> float | None:
    """Return the median processor time of these starts on grown data; None if all fail."""
    tried = [attempt(method, grown, start) for start in starts]
    seconds = [taken for value, taken in tried if np.isfinite(value)]
    return float(np.median(seconds)) if seconds else None


def memory(method: Method, points: Points) -> float:
    """Return the peak of Python's and NumPy's allocations during one start, in MiB."""
    start = random_starts()[0]
    tracemalloc.start()
    try:
        attempt(method, points, start)
        return tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()


def grow(points: Points, params: Params, rows: int) -> Points:
    """Repeat the points with N and D jittered by 10 %, their losses drawn from the fitted law."""
    rng = np.random.default_rng([SEED, rows])
    times = rows // len(points.N)
    law = t2.Chinchilla(**params)
    spread = np.std(np.log(points.loss) - np.log(law.loss(points.N, points.D)))
    N = np.tile(points.N, times) * np.exp(rng.normal(0, 0.1, rows))
    D = np.tile(points.D, times) * np.exp(rng.normal(0, 0.1, rows))
    return Points(N, D, law.loss(N, D) * np.exp(rng.normal(0, spread, rows)))


def compare(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Add to each row what needs all of them, and return the lowest objectives."""
    run = [row for row in rows if "unavailable" not in row]
    best = {
        kind: float(min(min(row["found"], row["values"].min()) for row in run if of(kind, row)))
        for kind in {row["objective"] for row in run}
    }
    for row in run:
        values = row.pop("values")
        share = float(np.mean(values <= best[row["objective"]] * (1 + ARRIVED_WITHIN)))
        row |= {
            "share": share,
            "failed": int(np.isinf(values).sum()),
            "seconds_to_optimum": row["seconds_a_start"] / share if share else None,
        }
    for row in run:
        ours = next(r for r in run if of(row["objective"], r) and r["method"] == "t2lib")
        to_optimum = row["seconds_to_optimum"]
        row["ratio"] = row["seconds"] / ours["seconds"]
        row["ratio_to_optimum"] = to_optimum and to_optimum / ours["seconds_to_optimum"]
    return best


def of(kind: str, row: dict[str, Any]) -> bool:
    """Tell whether a row is about this objective."""
    return row["objective"] == kind


def aims(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Compare with what was aimed at."""
    by = {(row["method"], row["objective"]): row for row in rows}
    sse, huber = by["t2lib", "sse"], by["t2lib", "huber_log"]
    grid = by["lbfgs_gradient", "huber_log"]
    wanted = [
        ("squared-error fit of the 240 points, ms", 1e3 * sse["seconds"], "<", 8.0),
        ("its residual sum of squares", sse["found"], "<=", 0.08320381),
        ("Huber refit, times faster than the grid", grid["seconds"] / huber["seconds"], ">=", 500),
        ("its objective", huber["found"], "<=", 0.00101827404),
        ("its objective over the grid's", huber["found"] / grid["found"], "<=", 1.0),
    ]
    met = {"<": np.less, "<=": np.less_equal, ">=": np.greater_equal}
    return [
        {
            "aim": aim,
            "value": value,
            "wanted": f"{sign} {limit}",
            "met": bool(met[sign](value, limit)),
        }
        for aim, value, sign, limit in wanted
    ]


# ------------------------------------------------------------------------------- the machine


def machine() -> dict[str, Any]:
    """Name the machine and the versions that ran."""
    packages = {}
    for name in ["numpy", "scipy", "lmfit", "chinchilla"]:
        try:
            packages[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            packages[name] = "not installed"
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": packages,
    }


def cpu_model() -> str:
    """Return the processor's name as Linux tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def table(record: dict[str, Any]) -> str:
    """Return the comparison as text."""
    values = record["values"]
    head = [
        "method",
        "objective",
        "found",
        "seconds",
        "ratio",
        "arrived",
        "to optimum",
        "MiB",
        "slope",
    ]
    lines = ["{:<18} {:<10} {:>14} {:>10} {:>8} {:>8} {:>11} {:>7} {:>6}".format(*head)]
    for row in values["methods"]:
        if "unavailable" in row:
            lines.append(f"{row['method']:<18} {row['objective']:<10} {row['unavailable']}")
            continue
        expected = row["ratio_to_optimum"]
        slope = row["rows_slope"]
        lines.append(
            f"{row['method']:<18} {row['objective']:<10} {row['found']:>14.9f} "
            f"{row['seconds']:>10.4g} {row['ratio']:>7.4g}x {row['share']:>8.0%} "
            f"{'never' if expected is None else f'{expected:.3g}x':>11} "
            f"{row['memory_mib']:>7.2f} {'' if slope is None else f'{slope:.2f}':>6}"
        )
    lines.append("")
    for aim in values["aims"]:
        mark = "met    " if aim["met"] else "NOT MET"
        lines.append(f"{mark} {aim['aim']}: {aim['value']:.9g} ({aim['wanted']})")
    m = values["machine"]
    load = ", ".join(f"{x:.1f}" for x in m["load"])
    lines.append(f"\n{m['cpu']}, {m['cores']} cores, Python {m['python']}; load {load}")
    return "\n".join(lines)


def benchmark(points: Points) -> dict[str, Any]:
    """Measure everything."""
    began, load = time.monotonic(), [os.getloadavg()[0]]
    law = t2.fit_chinchilla(points.N, points.D, points.loss, objective="huber_log").params
    growing = [grow(points, law, rows) for rows in ROWS]
    rows = []
    for method in methods():
        print(f"{method.name}, {method.objective} ...", file=sys.stderr, flush=True)
        rows.append(measure(method, points, growing))
    best = compare(rows)
    return {
        "inputs": {"chinchilla_points": fingerprint("chinchilla_points")},
        "settings": {
            "starts": STARTS,
            "grid_starts": GRID_STARTS,
            "arrived_within": ARRIVED_WITHIN,
            "rows": ROWS,
            "seed": SEED,
        },
        "values": {
            "machine": machine()
            | {
                "load": [*load, os.getloadavg()[0]],
                "minutes": (time.monotonic() - began) / 60,
            },
            "best": best,
            "methods": rows,
            "aims": aims(rows),
        },
    }


def write(record: dict[str, Any], out: Path) -> None:
    """Write beside, then rename: the file is whole or as it was."""
    text = json.dumps(record, indent=1, sort_keys=True, allow_nan=False) + "\n"
    draft = out.with_name(f".{out.name}-{os.getpid()}")
    try:
        draft.write_text(text)
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)


def out_of_time(*_: object) -> None:
    """Give up: a machine this slow says nothing about ratios."""
    raise TimeoutError(f"not done after {TIME_LIMIT} s; nothing was written")


def main(arguments: list[str] | None = None) -> int:
    """Run the comparison; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=OUT, help="where the record goes")
    options = parser.parse_args(arguments)
    os.environ["MPLBACKEND"] = "agg"
    warnings.simplefilter("ignore")  # searches from bad starts overflow; that is what is measured
    np.seterr(all="ignore")
    signal.signal(signal.SIGALRM, out_of_time)
    signal.alarm(TIME_LIMIT)
    try:
        table_of_points = t2.load_points("chinchilla").sort_values("loss").iloc[:-5]
        columns = [table_of_points[c].to_numpy(float) for c in ("n_params", "n_tokens", "loss")]
        record = benchmark(Points(*columns))
        write(record, options.out)
    except (OSError, ValueError) as error:  # TimeoutError is an OSError
        print(f"peers: {error}", file=sys.stderr)
        return 1
    print(table(record))
    print(f"\nwritten to {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
