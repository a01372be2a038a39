"""A fit as one least-squares problem in coordinates that a search or a sampler likes.

Coefficients enter by their logarithms: a coefficient and its exponent then trade along a straight
line instead of a hook. On request, rows of one group share an error, as a model's checkpoints do.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import optimize

from t2lib._checks import FloatArray
from t2lib.fitting.projection import EXPONENT_RANGE
from t2lib.fitting.result import Fit

Residuals = Callable[[FloatArray], FloatArray]

COEFFICIENTS = ("A", "B", "G")
_BIG = 1e8  # stands for a residual or a quantity that is not finite


@dataclass(frozen=True)
class Problem:
    """Residuals of a law as a function of its free coordinates.

    Attributes
    ----------
    names : tuple of str
        Free parameters, in the order of the coordinates.
    start, low, high : ndarray, shape (free,)
        Coordinates of the minimum, and their bounds.
    residuals : callable
        Coordinates to scaled residuals; half or all of their squares' sum is the objective.
    minimum : float
        Sum of squares at ``start``.
    freedom : int
        Degrees of freedom of the scatter: rows, or groups that share an error, less parameters.
    correlation : float
        Intraclass correlation of the residuals within groups; 0 without groups.
    """

    names: tuple[str, ...]
    start: FloatArray
    low: FloatArray
    high: FloatArray
    residuals: Residuals
    minimum: float
    freedom: int
    correlation: float
    _held: dict[str, float]
    _law: Callable[..., Any]

    @classmethod
    def of(cls, fit: Fit, groups: npt.ArrayLike | None = None) -> Problem:
        """Read a problem off a fit.

        Parameters
        ----------
        fit : Fit
            Of a sum of powers: its residuals are those of one least-squares problem.
        groups : array_like, shape (rows,), optional
            Label of the group of each row. Rows of a group then share an error: the residuals are
            freed of their common part, as much as their intraclass correlation asks for
            (generalised least squares), and the minimum is searched again.

        Returns
        -------
        Problem

        Raises
        ------
        ValueError
            Where the fit has two stages or a likelihood, too few rows or groups, or no parameter
            is free.
        """
        if fit._scaled_residuals is None:
            raise ValueError("not one least-squares problem: use a bootstrap for its intervals")
        # A term that vanished has no logarithm, and nothing can be said about its exponent.
        gone = {at.split(" ")[0] for at in fit.at_bounds if "not told: " in at and " is 0" in at}
        gone |= {name for name in COEFFICIENTS if fit.params.get(name) == 0}
        held = {name: value for name, value in fit.params.items() if name in gone}
        names = tuple(name for name in fit.params if name not in held)
        scaled = fit._scaled_residuals

        def plain(v: FloatArray) -> FloatArray:
            with np.errstate(all="ignore"):  # a wild trial step may overflow
                r = scaled(held | _params(names, v))
            r[~(np.abs(r) < _BIG)] = _BIG
            return r

        start = np.array([_coordinate(name, fit.params[name]) for name in names])
        low, high = np.array([_bounds(name, "E" in fit.params) for name in names]).T
        residuals: Residuals = plain
        if groups is None:
            correlation, independent = 0.0, fit.n_rows
        else:
            codes = _group_codes(groups, fit.n_rows)
            correlation = intraclass_correlation(plain(start), codes)
            residuals = _whitened(plain, codes, correlation)
            independent = int(codes.max()) + 1
            start = _search(residuals, start, low, high)
        if independent <= len(names):
            what = "rows" if groups is None else "groups"
            raise ValueError(f"{independent} {what} cannot tell {len(names)} parameters and noise")
        problem = cls(
            names=names,
            start=start,
            low=low,
            high=high,
            residuals=residuals,
            minimum=float(np.sum(residuals(start) ** 2)),
            freedom=independent - len(names),
            correlation=correlation,
            _held=held,
            _law=type(fit.law),
        )
        lengths = np.linalg.norm(problem.jacobian(), axis=0)
        if (lengths <= 1e-9 * lengths.max()).any():
            dead = names[int(np.argmin(lengths))]
            raise ValueError(f"{dead} does nothing to the residuals at their minimum: not told")
        return problem

    def params(self, v: FloatArray) -> dict[str, float]:
        """Parameters of the law at coordinates v, held ones included."""
        return self._held | _params(self.names, v)

    def law(self, v: FloatArray) -> Any:
        """Law at coordinates v."""
        return self._law(**self.params(v))

    @property
    def variance(self) -> float:
        """Mean square of the scaled residuals at the minimum, for the parameters spent."""
        rows = len(self.residuals(self.start))
        return self.minimum / (rows - len(self.names))

    def jacobian(self) -> FloatArray:
        """Derivatives of the residuals by the coordinates at the minimum, shape (rows, free)."""
        return slopes(self.residuals, self)

    def covariance(self) -> FloatArray:
        """Curvature's covariance of the coordinates at the minimum, as if there were no bounds."""
        columns = self.jacobian()
        lengths = np.linalg.norm(columns, axis=0)
        scaled = columns / lengths
        inverse = np.linalg.pinv(scaled.T @ scaled, rcond=1e-13)
        return np.asarray(inverse / np.outer(lengths, lengths) * self.variance)

    def quantity(self, of: str | Callable[[Any], float]) -> Callable[[FloatArray], float]:
        """Return a parameter, or a function of the law, as a function of the coordinates."""
        if isinstance(of, str):
            if of not in self.names:
                known = ", ".join(self.names)
                raise ValueError(f"{of!r} is no free parameter: {known} are, or give a function")
            return lambda v: self.params(v)[of]

        def value(v: FloatArray) -> float:
            try:
                with np.errstate(all="ignore"):
                    found = float(of(self.law(v)))
            except ValueError:  # the law has no such quantity there
                return _BIG
            return found if np.isfinite(found) else _BIG

        if value(self.start) == _BIG:
            raise ValueError("the fitted law has no such quantity")
        return value


def slopes(function: Callable[[FloatArray], Any], problem: Problem) -> FloatArray:
    """Derivatives of a function of the coordinates at the minimum, by central differences.

    Towards a bound the difference is one-sided.
    """
    columns = []
    for i, x in enumerate(problem.start):
        step = 1e-5 * max(abs(x), 0.1)
        ends = np.clip([x - step, x + step], problem.low[i], problem.high[i])
        low, high = (np.where(np.arange(len(problem.start)) == i, e, problem.start) for e in ends)
        columns.append((np.asarray(function(high)) - function(low)) / (ends[1] - ends[0]))
    return np.stack(columns, axis=-1)


def _coordinate(name: str, value: float) -> float:
    return float(np.log(value)) if name in COEFFICIENTS else value


def _params(names: tuple[str, ...], v: FloatArray) -> dict[str, float]:
    return {
        name: math.exp(min(max(x, -700.0), 700.0)) if name in COEFFICIENTS else x
        for name, x in zip(names, v.tolist(), strict=True)
    }


def _bounds(name: str, powers: bool) -> tuple[float, float]:
    # Coefficients enter by their logarithms; a law that is no sum of powers has no bounds.
    if name in COEFFICIENTS or not powers:
        return -np.inf, np.inf
    return (0.0, np.inf) if name == "E" else EXPONENT_RANGE


def _search(
    residuals: Residuals,
    start: FloatArray,
    low: FloatArray,
    high: FloatArray,
) -> FloatArray:
    found = optimize.least_squares(
        residuals,
        np.clip(start, low, high),
        bounds=(low, high),
        x_scale="jac",
        xtol=1e-12,
        ftol=1e-12,
        gtol=1e-12,
        max_nfev=200,
    )
    return np.asarray(found.x)


# --------------------------------------------------------------------------- shared errors


def intraclass_correlation(residuals: npt.ArrayLike, groups: npt.ArrayLike) -> float:
    """Share of the residuals' variance that the rows of a group have in common.

    Parameters
    ----------
    residuals : array_like, shape (n,)
    groups : array_like, shape (n,)
        Label of the group of each row.

    Returns
    -------
    float
        Between 0 and 1: the estimate from a one-way analysis of variance, cut off at 0.

    Raises
    ------
    ValueError
        Where there is one group, or no group has two rows.

    References
    ----------
    Searle, Casella and McCulloch (1992), "Variance Components", section 3.6.
    """
    r = np.asarray(residuals, dtype=float)
    codes = _group_codes(groups, len(r))
    sizes = np.bincount(codes)
    n_groups = len(sizes)
    if n_groups < 2 or sizes.max() < 2:
        raise ValueError(f"{n_groups} groups of {len(r)} rows: their correlation is not told")
    means = np.bincount(codes, r) / sizes
    # The mean of a least-squares fit's residuals is 0, or nearly so: it is not taken out.
    between = float(sizes @ means**2) / n_groups
    within = float(np.sum((r - means[codes]) ** 2)) / (len(r) - n_groups)
    size = (len(r) - np.sum(sizes**2) / len(r)) / (n_groups - 1)
    shared = max((between - within) / size, 0.0)
    total = shared + within
    return float(shared / total) if total > 0 else 0.0


def _group_codes(groups: npt.ArrayLike, n_rows: int) -> npt.NDArray[np.int64]:
    codes = pd.factorize(np.asarray(groups))[0]
    if len(codes) != n_rows:
        raise ValueError(f"groups has {len(codes)} labels for {n_rows} rows")
    if (codes < 0).any():
        raise ValueError(f"groups[{int(np.argmax(codes < 0))}] is empty: every row needs a label")
    return codes.astype(np.int64)


def _whitened(
    residuals: Residuals,
    codes: npt.NDArray[np.int64],
    correlation: float,
) -> Residuals:
    """Take out of the residuals what the rows of a group share.

    With unit variances and one correlation rho within groups of m rows, the symmetric root of the
    inverse covariance is ``(I - s P) / sqrt(1 - rho)``, where P averages over the group and
    ``s = 1 - sqrt((1 - rho) / (1 + (m - 1) rho))``.
    """
    sizes = np.bincount(codes)
    share = 1 - np.sqrt((1 - correlation) / (1 + (sizes - 1) * correlation))

    def whitened(v: FloatArray) -> FloatArray:
        r = residuals(v)
        return r - (share * np.bincount(codes, r) / sizes)[codes]

    return whitened
