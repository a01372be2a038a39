"""Calibration: how often the intervals hold the truth, on data simulated from a known law."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from t2lib import _parallel as parallel
from t2lib.fitting.result import Fit
from t2lib.fitting.table import law_of
from t2lib.studies.simulation import Noise, simulate
from t2lib.uncertainty.posteriors import posterior
from t2lib.uncertainty.problem import Problem, slopes
from t2lib.uncertainty.profiles import profile
from t2lib.uncertainty.resampling import bca_interval, bootstrap, jackknife, percentile_interval

Interval = tuple[float, float]
Intervals = dict[str, Interval]

# What can be asked for, and whether it needs one least-squares problem or any fit at all.
METHODS = {
    "curvature": "rows are independent",
    "curvature, models": "rows of a model share an error",
    "profile": "rows are independent",
    "profile, models": "rows of a model share an error",
    "percentile, rows": "rows are resampled",
    "percentile, models": "models are resampled",
    "BCa, models": "models are resampled",
    "posterior": "rows are independent",
    "posterior, models": "rows of a model share an error",
}


@dataclass(frozen=True)
class Study:
    """A known law, the suite it is seen through, and what is to be estimated.

    Attributes
    ----------
    law : a law of t2lib
        The truth.
    table : DataFrame
        ``N, D, model`` and, but for Chinchilla's law, ``k``.
    noise : Noise
    fit : callable
        Simulated table to Fit.
    quantities : mapping of str to callable
        Name, and function of the law.
    """

    law: Any
    table: pd.DataFrame
    noise: Noise
    fit: Callable[[pd.DataFrame], Fit]
    quantities: Mapping[str, Callable[[Any], float]]


def intervals(
    study: Study,
    table: pd.DataFrame,
    method: str,
    *,
    seed: int,
    n_bootstrap: int = 200,
    steps: int = 2500,
    level: float = 0.95,
    _seen: dict[str, pd.DataFrame] | None = None,
) -> Intervals:
    """Give the intervals of all quantities of a study by one method.

    Parameters
    ----------
    study : Study
    table : DataFrame
        Data, simulated or seen, in the columns that the study's fit reads.
    method : str
        One of ``METHODS``.
    seed, n_bootstrap, steps : int
        Of the resamples, or of the chain.
    level : float
        Coverage that is promised.

    Returns
    -------
    dict of str to (low, high)

    Raises
    ------
    ValueError
        For an unknown method, or one that the fit does not allow.
    """
    if method not in METHODS:
        raise ValueError(f"method is {method!r}: must be one of {', '.join(METHODS)}")
    kind, _, who = method.partition(", ")
    groups = table["model"] if who == "models" else None
    if kind == "curvature":
        return _curvature(study, table, groups, level)
    if kind == "profile":
        fit = study.fit(table)
        found = {
            name: profile(fit, quantity, level=level, groups=groups, name=name, points=3)
            for name, quantity in study.quantities.items()
        }
        return {name: (p.low, p.high) for name, p in found.items()}
    if kind == "posterior":
        chain = posterior(
            study.fit(table), seed=seed, steps=steps, groups=groups, quantities=study.quantities
        )
        return _rows(percentile_interval(chain.draws[list(study.quantities)], level))
    by: str | list[str] = "row" if who == "rows" else ["model"]

    seen = {} if _seen is None else _seen
    if who not in seen:  # percentile and BCa read the same draws
        seen[who] = _numbers(study, bootstrap(study.fit, table, n=n_bootstrap, seed=seed, by=by))
    draws = seen[who]
    if kind == "percentile":
        return _rows(percentile_interval(draws, level))
    left_out = _numbers(study, jackknife(study.fit, table, by=by))
    fitted = study.fit(table).law
    estimate = {name: float(quantity(fitted)) for name, quantity in study.quantities.items()}
    return _rows(bca_interval(draws, estimate, left_out, level))


def _numbers(study: Study, params: pd.DataFrame) -> pd.DataFrame:
    """Quantities of each refit; a refit that has none (its law has no optimum) is left out."""
    rows = []
    for values in params.to_dict("records"):
        law = law_of(study.law, values)
        try:
            rows.append({name: float(f(law)) for name, f in study.quantities.items()})
        except ValueError:
            continue
    return pd.DataFrame(rows)


def _curvature(
    study: Study, table: pd.DataFrame, groups: pd.Series | None, level: float
) -> Intervals:
    problem = Problem.of(study.fit(table), groups)
    covariance = problem.covariance()
    factor = float(stats.t.ppf((1 + level) / 2, problem.freedom))
    found = {}
    for name, quantity in study.quantities.items():
        value = problem.quantity(quantity)
        slope = slopes(value, problem)
        half = factor * float(np.sqrt(slope @ covariance @ slope))
        middle = value(problem.start)
        found[name] = (middle - half, middle + half)
    return found


def _rows(table: pd.DataFrame) -> Intervals:
    return {str(name): (float(row["low"]), float(row["high"])) for name, row in table.iterrows()}


def coverage(
    study: Study,
    methods: Sequence[str],
    *,
    seeds: int,
    first_seed: int = 0,
    n_bootstrap: int = 200,
    steps: int = 2500,
    level: float = 0.95,
    n_jobs: int | None = None,
) -> pd.DataFrame:
    """Measure how often the intervals of each method hold the truth.

    Parameters
    ----------
    study : Study
    methods : sequence of str
        Of ``METHODS``.
    seeds, first_seed : int
        Number of simulated data sets, and the seed of the first.
    n_bootstrap, steps, level
        As in :func:`intervals`.
    n_jobs : int, optional
        Processes, as joblib counts them. The result does not depend on it.

    Returns
    -------
    DataFrame
        One row a method and quantity: ``method, quantity, truth, runs, failed`` (the method gave
        no interval), ``inside`` (share of all runs that gave one), ``too_low`` and ``too_high``
        (the interval lay below or above the truth), ``width`` (median; infinite ends count).

    Raises
    ------
    ValueError
        For an unknown method, or fewer than one seed.
    """
    unknown = [method for method in methods if method not in METHODS]
    if unknown or seeds < 1:
        what = f"method {unknown[0]!r} is unknown" if unknown else f"seeds is {seeds}"
        raise ValueError(f"{what}: methods are {', '.join(METHODS)}, seeds at least 1")
    settings = {"n_bootstrap": n_bootstrap, "steps": steps, "level": level}
    calls = (partial(_one_run, study, methods, first_seed + i, settings) for i in range(seeds))
    runs: list[Any] = list(parallel.run(calls, n_jobs=n_jobs))
    rows = []
    for method in methods:
        for name, quantity in study.quantities.items():
            truth = float(quantity(study.law))
            ends = np.array([run[method][name] for run in runs if run[method] is not None])
            ends = ends.reshape(-1, 2)
            low, high = ends.T if len(ends) else np.full((2, 1), np.nan)
            rows.append(
                {
                    "method": method,
                    "quantity": name,
                    "truth": truth,
                    "runs": seeds,
                    "failed": seeds - len(ends),
                    "inside": _share((low <= truth) & (truth <= high), ends),
                    "too_low": _share(high < truth, ends),
                    "too_high": _share(low > truth, ends),
                    "width": float(np.median(high - low)),
                }
            )
    return pd.DataFrame(rows)


def _share(hits: np.ndarray, ends: np.ndarray) -> float:
    """Share of the runs that gave an interval; NaN where none did."""
    return float(np.mean(hits)) if len(ends) else float("nan")


def _one_run(
    study: Study, methods: Sequence[str], seed: int, settings: dict[str, Any]
) -> dict[str, Intervals | None]:
    table = simulate(study.law, study.table, np.random.default_rng(seed), study.noise)
    found: dict[str, Intervals | None] = {}
    seen: dict[str, pd.DataFrame] = {}
    for method in methods:
        try:
            found[method] = intervals(study, table, method, seed=seed, _seen=seen, **settings)
        except (ValueError, RuntimeError):  # counted: a method that cannot answer is no cover
            found[method] = None
    return found
