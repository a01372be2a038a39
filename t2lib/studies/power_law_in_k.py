"""Is -log pass@k a power law in k? One test in chapter 03, the others in its appendix."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special

from t2lib._checks import FloatArray, require_one_of
from t2lib.passk import beta_pass_at_k

# The two averages over questions, as columns and in words.
AVERAGES = {"neg_log_pass": "mean of -log", "log_of_mean": "-log of mean"}
_CHECKPOINT = ["suite", "model", "task", "n_params", "n_tokens"]


def local_exponent(y: npt.ArrayLike, k: npt.ArrayLike) -> FloatArray:
    """Exponent of a curve between neighbouring k: minus the slope of log y in log k.

    Parameters
    ----------
    y : array_like, shape (..., K), positive
        A curve.
    k : array_like, shape (K,)
        Where it was taken.

    Returns
    -------
    ndarray, shape (..., K - 1)

    Examples
    --------
    >>> local_exponent([8.0, 4.0, 2.0], [1, 2, 4]).round(12).tolist()
    [1.0, 1.0]
    """
    return np.asarray(-np.diff(np.log(y), axis=-1) / np.diff(np.log(k)))


def local_exponents(curves: pd.DataFrame, average: str = "neg_log_pass") -> pd.DataFrame:
    """Local exponent of -log pass@k of each checkpoint over each doubling of k.

    Parameters
    ----------
    curves : DataFrame
        A curve table.
    average : {"neg_log_pass", "log_of_mean"}
        The mean over questions of -log pass@k, or -log of the task's pass@k.

    Returns
    -------
    DataFrame
        A row for each checkpoint and task (the index says which), a column for each k that is
        doubled. NaN where a curve has ended.

    Raises
    ------
    DataError
        For another average.
    """
    powers = curves[np.isin(curves["k"], 2 ** np.arange(40))]
    y = _pivot(powers, average)
    exponents = local_exponent(y.to_numpy(), y.columns.to_numpy(dtype=float))
    return pd.DataFrame(exponents, index=y.index, columns=y.columns[:-1])


def _pivot(curves: pd.DataFrame, average: str) -> pd.DataFrame:
    """Return the average, a row for each checkpoint and task, a column for each k."""
    require_one_of(average, list(AVERAGES), "average")
    seen = curves[curves["pass_at_k"] > 0]
    seen = seen.assign(log_of_mean=-np.log(seen["pass_at_k"]))
    return seen[seen[average] > 0].pivot(index=_CHECKPOINT, columns="k", values=average)


def bends(curves: pd.DataFrame, average: str = "neg_log_pass") -> pd.DataFrame:
    """Divide the local exponent at k = 64 to 128 by the one at k = 1 to 2.

    A power law gives 1, a power law beside a positive constant less.

    Parameters
    ----------
    curves, average
        As :func:`local_exponents` takes them.

    Returns
    -------
    DataFrame
        A row for each checkpoint and task: ``at_1``, ``at_64`` and ``bend``.
    """
    exponents = local_exponents(curves, average)[[1, 64]].dropna()
    exponents.columns = pd.Index(["at_1", "at_64"])
    return exponents.assign(bend=exponents["at_64"] / exponents["at_1"]).reset_index()


def forecasts(
    curves: pd.DataFrame, average: str = "neg_log_pass", *, fit_to: int = 16, at: int = 256
) -> pd.DataFrame:
    """Forecast a curve by a power law fitted to small k.

    Parameters
    ----------
    curves, average
        As :func:`local_exponents` takes them.
    fit_to, at : int
        Largest k of the fit (powers of two from 1 on), and the k of the forecast.

    Returns
    -------
    DataFrame
        A row for each checkpoint and task: ``ratio`` of forecast and truth.
    """
    y = _pivot(curves, average)
    few = [k for k in 2 ** np.arange(40) if k <= fit_to]
    slope, start = np.polyfit(np.log(few), np.log(y[few].to_numpy()).T, 1)
    ratio = np.exp(start + slope * np.log(at)) / y[at]
    return ratio.rename("ratio").reset_index()


def plateaus(exponents: pd.DataFrame, tolerance: float = 1.1) -> pd.DataFrame:
    """Find the longest run of doublings over which each local exponent is nearly steady.

    Parameters
    ----------
    exponents : DataFrame
        From :func:`local_exponents`, complete rows.
    tolerance : float
        Largest over smallest exponent of a run.

    Returns
    -------
    DataFrame, indexed by suite, task and model
        ``from_k``, ``doublings`` and ``exponent``, the run's median. Of equally long runs the one
        at larger k counts.
    """
    k = exponents.columns.to_numpy(dtype=float)
    rows = [_longest(row, k, tolerance) for row in exponents.to_numpy()]
    table = pd.DataFrame(rows, columns=["from_k", "doublings", "exponent"], index=exponents.index)
    return table.reset_index().set_index(["suite", "task", "model"])[list(table.columns)]


def _longest(exponents: FloatArray, k: FloatArray, tolerance: float) -> tuple[float, int, float]:
    best = (0, 0)
    for start in range(len(exponents)):
        for stop in range(start + 1, len(exponents) + 1):
            run = exponents[start:stop]
            if run.max() > tolerance * run.min():
                break
            best = max(best, (stop - start, start))
    doublings, start = best
    return k[start], doublings, float(np.median(exponents[start : start + doublings]))


def tail_exponents(curves: pd.DataFrame, shapes: pd.DataFrame) -> pd.DataFrame:
    """Local exponent of -log of the mean over the last doubling of each curve, and the Beta's.

    Parameters
    ----------
    curves : DataFrame
        Pythia's curves.
    shapes : DataFrame
        ``model``, ``task``, ``n_params``, ``n_tokens``, ``a`` and ``b`` of fitted checkpoints.

    Returns
    -------
    DataFrame
        A row for each fitted checkpoint: ``k``, ``exponent``, ``by_beta`` (the same doubling by
        the fitted Beta), ``a``, ``b``.
    """
    exponents = local_exponents(curves, "log_of_mean")
    last = exponents.reset_index().melt(_CHECKPOINT, var_name="k", value_name="exponent").dropna()
    last = last.astype({"k": float}).sort_values("k").drop_duplicates(_CHECKPOINT, keep="last")
    keys = [name for name in _CHECKPOINT if name != "suite"]
    table = last.merge(shapes[[*keys, "a", "b"]], on=keys)
    twice = [-np.log(beta_pass_at_k(table["a"], table["b"], f * table["k"])) for f in (1, 2)]
    return table.assign(by_beta=np.log(twice[0] / twice[1]) / np.log(2))


def beta_tail(a: npt.ArrayLike, b: npt.ArrayLike, k: npt.ArrayLike) -> FloatArray:
    """Limit at large k of the mean of -log pass@k for p ~ Beta(a, b): a power of k.

    ``zeta(1 + a) * Gamma(a + b) / Gamma(b) * k^-a``; without the first factor it is the limit of
    -log of the mean.

    Parameters
    ----------
    a, b, k : array_like
        Shape parameters and samples; they broadcast.

    Returns
    -------
    ndarray, in nats
    """
    a, b, k = (np.asarray(value, dtype=float) for value in (a, b, k))
    size = special.gammaln(a + b) - special.gammaln(b)
    return np.asarray(special.zeta(1 + a) * np.exp(size - a * np.log(k)))
