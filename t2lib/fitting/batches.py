"""Refits to many resamples at once, for the bootstrap.

A resample of rows is a weighting of them: how often each was drawn. The laws that are sums of
powers are fitted to hundreds of weightings side by side, which takes a fraction of the time of
one fit after another and arrives at the same optima.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from t2lib._checks import FloatArray, at_least_one
from t2lib.fitting.huber import fit_huber_logs
from t2lib.fitting.powers import (
    _columns,
    _enough_rows,
    _power_bounds,
    _something_to_fit,
    fit_additive,
    fit_chinchilla,
)
from t2lib.fitting.projection import fit_power_sums
from t2lib.fitting.result import Fit

# Parameters and what is at a bound, or why the fit is impossible.
Refit = tuple[dict[str, float], tuple[str, ...]] | ValueError


@dataclass(frozen=True)
class ChinchillaRefit:
    """The Chinchilla fit as a fit function for :func:`~t2lib.bootstrap`.

    Called with a table it is :func:`~t2lib.fit_chinchilla`; the bootstrap uses ``batch``.

    Parameters
    ----------
    objective, delta
        As in :func:`~t2lib.fit_chinchilla`.
    N, D, loss : str
        Names of the table's columns.

    Examples
    --------
    >>> import t2lib as t2
    >>> law = t2.Chinchilla(E=1.7, A=400.0, B=2000.0, alpha=0.35, beta=0.37)
    >>> sizes, tokens = np.geomspace(1e8, 1e10, 6), np.geomspace(1e9, 1e12, 6)
    >>> N, D = (x.ravel() for x in np.meshgrid(sizes, tokens))
    >>> table = pd.DataFrame({"n_params": N, "n_tokens": D, "loss": law.loss(N, D)})
    >>> draws = t2.bootstrap(t2.ChinchillaRefit(), table, n=50, seed=0, by="row")
    >>> draws["alpha"].round(3).unique()
    array([0.35])
    """

    objective: Literal["sse", "huber_log"] = "sse"
    delta: float = 1e-3
    N: str = "n_params"
    D: str = "n_tokens"
    loss: str = "loss"

    def __call__(self, table: pd.DataFrame) -> Fit:
        """Fit one table."""
        return fit_chinchilla(
            table[self.N],
            table[self.D],
            table[self.loss],
            objective=self.objective,
            delta=self.delta,
        )

    def batch(self, table: pd.DataFrame, counts: FloatArray) -> list[Refit]:
        """Fit every resample of a table.

        Parameters
        ----------
        table : DataFrame, n rows
        counts : ndarray, shape (R, n)
            How often each resample drew each row.

        Returns
        -------
        list
            For each resample the parameters and what is at a bound, or the error that the fit of
            its table would raise.
        """
        columns = {"N": table[self.N], "D": table[self.D], "loss": table[self.loss]}
        x = _columns(columns, n_parameters=1, vary=())

        def fit(weights: FloatArray) -> FloatArray:
            if self.objective == "huber_log":
                return fit_huber_logs(x["N"], x["D"], x["loss"], weights, self.delta)[0]
            return _as_rows([x["N"], x["D"]], x["loss"], weights)

        names = ("E", "A", "B", "alpha", "beta")
        terms = {"A": ("alpha", "N"), "B": ("beta", "D")}

        def check(drawn: dict[str, FloatArray], n_rows: int) -> None:
            _enough_rows(drawn, n_rows, len(names), ("N", "D"))

        return _refits(fit, check, x, counts, names, terms)


@dataclass(frozen=True)
class AdditiveRefit:
    """The fit of approach 1 as a fit function for :func:`~t2lib.bootstrap`.

    Called with a table it is :func:`~t2lib.fit_additive`; the bootstrap uses ``batch``.

    Parameters
    ----------
    N, D, k, neg_log_pass : str
        Names of the table's columns; by default those of the curve table.
    """

    N: str = "n_params"
    D: str = "n_tokens"
    k: str = "k"
    neg_log_pass: str = "neg_log_pass"

    def __call__(self, table: pd.DataFrame) -> Fit:
        """Fit one table."""
        return fit_additive(table[self.N], table[self.D], table[self.k], table[self.neg_log_pass])

    def batch(self, table: pd.DataFrame, counts: FloatArray) -> list[Refit]:
        """Fit every resample of a table, as :meth:`ChinchillaRefit.batch` does."""
        columns = {
            "N": table[self.N],
            "D": table[self.D],
            "k": table[self.k],
            "neg_log_pass": table[self.neg_log_pass],
        }
        x = _columns(columns, n_parameters=1, vary=(), allow_zero=("neg_log_pass",))
        at_least_one(x["k"])
        names = ("E", "A", "B", "alpha", "beta", "G", "gamma")
        terms = {"A": ("alpha", "N"), "B": ("beta", "D"), "G": ("gamma", "k")}

        def check(drawn: dict[str, FloatArray], n_rows: int) -> None:
            _enough_rows(drawn, n_rows, len(names), ("N", "D", "k"))
            _something_to_fit(drawn["neg_log_pass"])

        def fit(weights: FloatArray) -> FloatArray:
            rows = _as_rows([x["N"], x["D"], x["k"]], x["neg_log_pass"], weights)
            return rows[:, [0, 1, 2, 4, 5, 3, 6]]  # in the order of the names

        return _refits(fit, check, x, counts, names, terms)


def _as_rows(xs: list[FloatArray], y: FloatArray, weights: FloatArray) -> FloatArray:
    """Constant, coefficients and exponents of each weighting's fit."""
    sums = fit_power_sums(xs, y, weights)
    return np.array([[s.constant, *s.coefficients, *s.exponents] for s in sums])


def _refits(
    fit: Callable[[FloatArray], FloatArray],
    check: Callable[[dict[str, FloatArray], int], None],
    x: dict[str, FloatArray],
    counts: FloatArray,
    names: tuple[str, ...],
    terms: dict[str, tuple[str, str]],
) -> list[Refit]:
    """Fit the resamples that can be fitted, and say of the others why they cannot."""
    drawn = [np.flatnonzero(row) for row in counts]
    errors: dict[int, ValueError] = {}
    for r, rows in enumerate(drawn):
        try:
            check({name: values[rows] for name, values in x.items()}, int(counts[r].sum()))
        except ValueError as error:
            errors[r] = error
    sound = [r for r in range(len(counts)) if r not in errors]
    found: dict[int, Refit] = dict(errors)
    if sound:
        for r, values in zip(sound, fit(counts[sound].astype(float)), strict=True):
            params = dict(zip(names, values.tolist(), strict=True))
            at = {c: (e, x[size][drawn[r]]) for c, (e, size) in terms.items()}
            found[r] = params, _power_bounds(params, at, counts[r][drawn[r]])
    return [found[r] for r in range(len(counts))]
