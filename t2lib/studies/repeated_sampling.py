"""What repeated samples bring: two averages, the naive law, samples for one half (chapter 03)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from t2lib.uncertainty.resampling import bootstrap, percentile_interval

# Every Pythia curve reaches this k; the large models' end here.
PYTHIA_K = 128
_POINT = ["suite", "model", "task", "n_tokens"]


def last_checkpoints(table: pd.DataFrame) -> pd.DataFrame:
    """Keep the checkpoint with most tokens of each model.

    Parameters
    ----------
    table : DataFrame
        ``model`` and ``n_tokens``, and whatever else.
    """
    most = table.groupby("model", observed=True)["n_tokens"].transform("max")
    return table[table["n_tokens"] == most]


def median_by_task(column: str) -> Callable[[pd.DataFrame], pd.Series]:
    """Return a function from a table to each task's median of a column."""

    def median(table: pd.DataFrame) -> pd.Series:
        return table.groupby("task")[column].median()

    return median


def medians(table: pd.DataFrame, column: str, *, n: int, seed: int) -> pd.DataFrame:
    """Median of a column over each task's rows, with its 95 % interval over models.

    Parameters
    ----------
    table : DataFrame
        ``suite``, ``model``, ``task`` and the column. Models are redrawn within each suite.
    column : str
        What to take the median of.
    n, seed : int
        Resamples and seed of the bootstrap.

    Returns
    -------
    DataFrame, indexed by task
        ``value``, ``low``, ``high``.
    """
    median = median_by_task(column)
    draws = bootstrap(median, table, n=n, seed=seed, by="model", stratify="suite")
    found = percentile_interval(draws)
    found.insert(0, "value", median(table))
    return found


def jensen_gap(curves: pd.DataFrame) -> pd.DataFrame:
    """Compare the mean of -log pass@k with -log of the mean.

    Parameters
    ----------
    curves : DataFrame
        A curve table of a suite with likelihoods.

    Returns
    -------
    DataFrame
        The rows with ``log_of_mean`` (-log of the task's pass@k), ``gap`` (nats) and ``ratio``.
    """
    log_of_mean = -np.log(curves["pass_at_k"])
    return curves.assign(
        log_of_mean=log_of_mean,
        gap=curves["neg_log_pass"] - log_of_mean,
        ratio=curves["neg_log_pass"] / log_of_mean,
    )


def naive_ratios(curves: pd.DataFrame) -> pd.DataFrame:
    """Divide the naive law by pass@k: all questions treated as equally hard, against their spread.

    Parameters
    ----------
    curves : DataFrame
        A curve table. Rows without a right sample, and k = 1, where both agree, are left out.

    Returns
    -------
    DataFrame
        The rows with ``mu`` (pass@1), ``naive`` and ``ratio`` (naive over pass@k).
    """
    seen = curves[curves["pass_at_k"] > 0]
    mu = seen[seen["k"] == 1].set_index(_POINT)["pass_at_k"].rename("mu")
    table = seen[seen["k"] > 1].join(mu, on=_POINT, how="inner")
    table["naive"] = -np.expm1(table["k"] * np.log1p(-table["mu"]))
    table["ratio"] = table["naive"] / table["pass_at_k"]
    return table


def at_worst_k(ratios: pd.DataFrame) -> pd.DataFrame:
    """Keep each task's rows at the k where the median overestimate is largest.

    Parameters
    ----------
    ratios : DataFrame
        From :func:`naive_ratios`. Of Pythia, k up to :data:`PYTHIA_K` counts.
    """
    common = ratios[(ratios["suite"] != "pythia") | (ratios["k"] <= PYTHIA_K)]
    worst = common.groupby(["task", "k"])["ratio"].median().groupby("task").idxmax()
    return common.set_index(["task", "k"]).loc[list(worst)].reset_index()


def samples_for_half(curves: pd.DataFrame) -> pd.DataFrame:
    """Ask how many samples bring pass@k to one half: by the curve, and by the naive law.

    Parameters
    ----------
    curves : DataFrame
        A curve table, a checkpoint for each model and task.

    Returns
    -------
    DataFrame
        A row for each ``suite``, ``task`` and ``model`` whose curve crosses one half: ``real``
        (interpolated in log k), ``naive`` and their ``ratio``.
    """
    rows = []
    for (suite, task, model), curve in curves.groupby(["suite", "task", "model"], observed=True):
        k, level = curve["k"].to_numpy(), curve["pass_at_k"].to_numpy()
        if level[0] < 0.5 <= level[-1]:
            real = np.exp(np.interp(0.5, level, np.log(k)))
            naive = np.log(0.5) / np.log1p(-level[0])
            rows.append([suite, task, model, real, naive, real / naive])
    return pd.DataFrame(rows, columns=["suite", "task", "model", "real", "naive", "ratio"])
