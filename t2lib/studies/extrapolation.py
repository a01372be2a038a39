"""Laws fitted up to a number of tokens per parameter, and judged above it by relative error."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import pandas as pd

from t2lib._checks import FloatArray
from t2lib.fitting.powers import Fit
from t2lib.studies.frontiers import fit_laws
from t2lib.uncertainty.summaries import Weighted, estimates

# What is judged: a law and the metric that it is fitted to (the Beta-consistent law: both).
MEASURES = {
    "approach 1, -log pass@k": ("AdditiveLaw", "neg_log_pass"),
    "Beta-consistent, -log pass@k": ("BetaConsistentLaw", "neg_log_pass"),
    "approach 2, pass@k": ("BetaRegressionLaw", "pass_at_k"),
    "Beta-consistent, pass@k": ("BetaConsistentLaw", "pass_at_k"),
}
APPROACHES = ("approach 1, -log pass@k", "approach 2, pass@k")


def errors_above(
    curves: pd.DataFrame, cut: float, start: Mapping[str, Mapping[str, Fit]] | None = None
) -> pd.DataFrame:
    """Relative errors above a cut-off of laws fitted below it, summed by task and model.

    Parameters
    ----------
    curves : DataFrame
        A curve table.
    cut : float
        Tokens per parameter.
    start : mapping of task to fits, optional
        As :func:`~t2lib.studies.frontiers.fit_laws` takes them.

    Returns
    -------
    DataFrame
        ``task, model, rows`` and a column for each of :data:`MEASURES`: the sum over rows of
        ``|predicted / seen - 1|``.
    """
    found = []
    for task, rows in curves.groupby("task"):
        below = rows["n_tokens"] <= cut * rows["n_params"]
        fits = fit_laws(rows[below], start=start[str(task)] if start else None)
        found.append(_sums(fits, rows[~below]).assign(task=str(task)))
    return pd.concat(found, ignore_index=True)


def _sums(fits: Mapping[str, Fit], rows: pd.DataFrame) -> pd.DataFrame:
    N, D, k = rows["n_params"], rows["n_tokens"], rows["k"]
    errors = pd.DataFrame({"model": rows["model"], "rows": 1})
    for label, (law, metric) in MEASURES.items():
        guess = getattr(fits[law].law, metric)(N, D, k)
        errors[label] = np.abs(guess / rows[metric] - 1)
    return errors.groupby("model", as_index=False).sum()


def by_task(errors: pd.DataFrame) -> pd.DataFrame:
    """Mean error of each task over its rows, a column a measure."""
    once = np.ones((1, len(errors)))
    return pd.DataFrame({label: _of_tasks(label, errors, once).iloc[0] for label in MEASURES})


def _of_tasks(label: str, errors: pd.DataFrame, weights: FloatArray) -> pd.DataFrame:
    """Mean error by a measure, a row a weighting and a column a task."""
    codes, tasks = pd.factorize(errors["task"], sort=True)
    of_task = np.eye(len(tasks))[codes]
    total, rows = (weights @ (errors[[c]].to_numpy() * of_task) for c in (label, "rows"))
    return pd.DataFrame(total / rows, columns=tasks)


def medians(errors: pd.DataFrame, *, n: int, seed: int) -> pd.DataFrame:
    """Median over tasks of the mean error, with 95 % intervals over held-out models, laws held.

    Returns
    -------
    DataFrame
        A row a measure: ``value, low, high``.
    """

    def over_tasks(table: pd.DataFrame, weights: FloatArray) -> pd.DataFrame:
        return pd.DataFrame(
            {label: _of_tasks(label, table, weights).median(axis=1) for label in MEASURES}
        )

    return estimates(Weighted(over_tasks), errors, n=n, seed=seed)


def intervals_by_task(errors: pd.DataFrame, *, n: int, seed: int) -> dict[str, pd.DataFrame]:
    """For each measure a table ``value, low, high`` with a row a task, as :func:`medians`."""
    return {
        label: estimates(Weighted(partial(_of_tasks, label)), errors, n=n, seed=seed)
        for label in MEASURES
    }
