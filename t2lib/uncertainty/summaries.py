"""Numbers with their bootstrap intervals, in one table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from t2lib._checks import FloatArray
from t2lib.uncertainty.resampling import FitFunction, _params, bootstrap, percentile_interval


@dataclass(frozen=True)
class Weighted:
    """Numbers of weighted rows as a fit function, for all resamples in one call.

    A resample of rows is a weighting of them: how often each was drawn.

    Parameters
    ----------
    numbers : callable
        Takes a table of n rows and weights of shape (R, n), and returns a DataFrame with a row a
        weighting and a column a number.
    """

    numbers: Callable[[pd.DataFrame, FloatArray], pd.DataFrame]

    def __call__(self, table: pd.DataFrame) -> pd.Series:
        """Compute the numbers of one table."""
        return self.numbers(table, np.ones((1, len(table)))).iloc[0]

    def batch(
        self, table: pd.DataFrame, counts: npt.NDArray[np.int64]
    ) -> list[tuple[dict[str, float], tuple[str, ...]]]:
        """Compute the numbers of every resample, of which none is at a bound."""
        rows = self.numbers(table, counts.astype(float)).to_dict("records")
        return [({str(name): value for name, value in row.items()}, ()) for row in rows]


def estimates(
    statistic: FitFunction,
    table: pd.DataFrame,
    *,
    n: int = 200,
    seed: int = 0,
    by: str | Sequence[str] = "model",
    level: float = 0.95,
    n_jobs: int | None = None,
) -> pd.DataFrame:
    """Compute numbers from a table, with percentile intervals over resamples of it.

    Parameters
    ----------
    statistic : callable
        Takes a table and returns a :class:`~t2lib.Fit`, a mapping or Series of numbers, or one
        number (named ``value``).
    table, n, seed, by, n_jobs
        As :func:`~t2lib.bootstrap` takes them.
    level : float
        Coverage of the intervals.

    Returns
    -------
    DataFrame
        A row a number: ``value`` of the whole table, ``low`` and ``high``.

    Raises
    ------
    ValueError, RuntimeError
        As :func:`~t2lib.bootstrap`.

    Examples
    --------
    >>> table = pd.DataFrame({"model": list("aabbcc"), "loss": [1.0, 1.2, 2.0, 2.2, 3.0, 3.2]})
    >>> estimates(lambda t: t["loss"].mean(), table).round(1).loc["value"].tolist()
    [2.1, 1.1, 2.8]
    """
    whole = _params(statistic(table.assign(resample_copy=0)))
    draws = bootstrap(statistic, table, n=n, seed=seed, by=by, n_jobs=n_jobs)
    found = percentile_interval(draws, level).reindex(list(whole))
    found.insert(0, "value", np.array(list(whole.values())))
    return found
