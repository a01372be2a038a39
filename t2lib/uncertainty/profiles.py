"""Profile likelihood: intervals and joint regions of parameters and of anything derived from them.

What is profiled is the least objective that is possible while a quantity has a given value. The
likelihood assumed is that of normal errors of one unknown size, independent from row to row; rows
of one model are not, so these intervals are the optimistic ones. With ``groups`` the rows of a
model share an error and the models are independent, which is nearer to the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import interpolate, optimize, stats

from t2lib._checks import FloatArray
from t2lib.fitting.result import Fit
from t2lib.uncertainty.problem import Problem, slopes

Quantity = str | Callable[[Any], float]

_STIFFNESS = 30.0  # of the spring that pulls a quantity to its target
_BEYOND = 1.15  # the curve is followed this much farther than the interval
_MOST_STEPS = 40


@dataclass(frozen=True)
class Profile:
    """The likelihood along one quantity, whatever the other parameters do.

    Attributes
    ----------
    name : str
    estimate, low, high : float
        Best value, and the ends of the interval. An end is infinite, or 0 for a parameter that
        cannot be negative, where the likelihood never falls far enough.
    level : float
        Coverage that is promised.
    standard_error : float
        From the curvature at the estimate.
    curve : DataFrame
        ``value``, ``objective`` (sum of squares) and ``root``: the signed square root of the F
        statistic, a straight line where the problem is as good as linear.
    freedom : int
        Degrees of freedom behind the F test.
    correlation : float
        Intraclass correlation of the residuals within groups; 0 where none were given.
    """

    name: str
    estimate: float
    low: float
    high: float
    level: float
    standard_error: float
    curve: pd.DataFrame
    freedom: int
    correlation: float


def profile(
    fit: Fit,
    quantity: Quantity,
    *,
    level: float = 0.95,
    groups: npt.ArrayLike | None = None,
    name: str | None = None,
    points: int = 6,
) -> Profile:
    """Profile a parameter, or any function of the law, and give its interval.

    :meth:`Fit.conf_interval` does this for every parameter.

    Each point of the curve minimises the sum of squares plus a spring that pulls the quantity to
    a target. Where the quantity comes to rest is not quite the target, but the sum of squares
    there is the least possible at that value, so the point is exact.

    Parameters
    ----------
    fit : Fit
        Of one least-squares problem (Chinchilla, additive, interaction). For Huber losses the
        objective is taken as if it were squares: the interval then promises too much.
    quantity : str or callable
        A parameter's name, or a function of the law such as
        ``lambda law: law.tokens_per_parameter(1e21)``. The interval of a monotone function of a
        quantity is that function of its interval.
    level : float
        Coverage, between 0 and 1.
    groups : array_like, shape (rows,), optional
        Label of each fitted row's group, such as its model: rows of a group share an error.
        Estimate and interval are then those of generalised least squares.
    name : str, optional
        Name of the result; by default the parameter's or the function's.
    points : int
        Points of the curve on each side, about; 3 are enough for an interval to about 1 % of its
        width.

    Returns
    -------
    Profile

    Raises
    ------
    ValueError
        Where the level is not between 0 and 1, the parameter is unknown or was not told by the
        data, the fit has two stages or a likelihood, or there are too few rows or groups.

    References
    ----------
    Bates and Watts (1988), "Nonlinear Regression Analysis and Its Applications", chapter 6. The
    F test is that of ``lmfit.conf_interval`` (Newville et al. 2014).

    Examples
    --------
    >>> from t2lib import Chinchilla, fit_chinchilla
    >>> truth = Chinchilla(E=1.7, A=400.0, B=2000.0, alpha=0.35, beta=0.37)
    >>> N, D = (x.ravel() for x in np.meshgrid([1e8, 3e8, 1e9], [1e9, 1e10, 1e11]))
    >>> loss = truth.loss(N, D) + 0.01 * np.array([1, -1, 0, 1, 0, -1, 0, 1, -1])
    >>> a = profile(fit_chinchilla(N, D, loss), lambda law: law.compute_exponent)
    >>> a.low < truth.compute_exponent < a.high
    True
    """
    _check_level(level)
    if points < 2:
        raise ValueError(f"points is {points}: a side needs at least 2")
    problem = Problem.of(fit, groups)
    value = problem.quantity(quantity)
    path = _Path(problem, [value])
    critical = float(np.sqrt(stats.f.ppf(level, 1, problem.freedom)))
    sides = [path.follow(sign, critical, points) for sign in (-1, 1)]
    curve = pd.DataFrame(
        [*reversed(sides[0]), (path.best[0], problem.minimum, 0.0), *sides[1]],
        columns=["value", "objective", "root"],
    )
    low, high = (
        _crossing(path.best[0], side, sign, critical)
        for side, sign in zip(sides, (-1, 1), strict=True)
    )
    if quantity in problem.names and "E" in fit.params and not np.isfinite(low):
        low = 0.0  # no parameter of a sum of powers can be negative
    return Profile(
        name=name or (quantity if isinstance(quantity, str) else quantity.__name__),
        estimate=path.best[0],
        low=low,
        high=high,
        level=level,
        standard_error=float(path.errors[0]),
        curve=curve,
        freedom=problem.freedom,
        correlation=problem.correlation,
    )


def region(
    fit: Fit,
    quantities: tuple[Quantity, Quantity],
    *,
    level: float = 0.95,
    groups: npt.ArrayLike | None = None,
    names: tuple[str, str] | None = None,
    rays: int = 32,
) -> pd.DataFrame:
    """Trace the border of the joint region of two quantities.

    The border is searched along rays from the estimate, so the region must be seen whole from
    there: a banana that bends out of its own sight is cut off.

    Parameters
    ----------
    fit, level, groups
        As in :func:`profile`.
    quantities : pair of str or callable
        Parameters' names, or functions of the law.
    names : pair of str, optional
        Names of the columns.
    rays : int
        Points of the border, at least 8.

    Returns
    -------
    DataFrame
        One row a point of the closed border, in order; a column for each quantity, and
        ``objective``. Where the region is open along a ray its row is NaN.

    Raises
    ------
    ValueError
        As :func:`profile`, or for fewer than 8 rays.
    """
    _check_level(level)
    if rays < 8:
        raise ValueError(f"rays is {rays}: a border needs at least 8")
    problem = Problem.of(fit, groups)
    path = _Path(problem, [problem.quantity(q) for q in quantities])
    critical = float(np.sqrt(2 * stats.f.ppf(level, 2, problem.freedom)))
    border, start = [], problem.start
    for angle in np.linspace(0, 2 * np.pi, rays, endpoint=False):
        direction = path.axes @ np.array([np.cos(angle), np.sin(angle)])
        point, start = path.border(direction, critical, start)
        border.append(point)
    labels = names or tuple(q if isinstance(q, str) else q.__name__ for q in quantities)
    return pd.DataFrame([*border, border[0]], columns=[*labels, "objective"])


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level is {level}: must be between 0 and 1")


class _Path:
    """The least sums of squares along one quantity or two, starting from the minimum."""

    def __init__(self, problem: Problem, quantities: Sequence[Callable[[FloatArray], float]]):
        self.problem = problem
        self.quantities = quantities
        self.best = self.values(problem.start)
        self.scale = np.sqrt(problem.variance)
        gradients = np.stack([slopes(q, problem) for q in quantities])
        covariance = gradients @ problem.covariance() @ gradients.T
        # Without curvature's help (all at bounds) any step is as good: a hundredth of the value.
        floor = 1e-4 * np.abs(self.best) + 1e-12
        self.errors = np.maximum(np.sqrt(np.maximum(np.diag(covariance), 0)), floor)
        covariance = covariance + np.diag(self.errors**2) * 1e-9
        self.axes = np.linalg.cholesky(covariance)
        self.stiffness = _STIFFNESS * np.linalg.inv(self.axes)

    def values(self, v: FloatArray) -> FloatArray:
        return np.array([quantity(v) for quantity in self.quantities])

    def rest(self, target: FloatArray, start: FloatArray) -> tuple[FloatArray, FloatArray, float]:
        """Coordinates, quantities and sum of squares where spring and residuals balance."""

        def pulled(v: FloatArray) -> FloatArray:
            spring = self.stiffness @ (self.values(v) - target)
            return np.concatenate([self.problem.residuals(v) / self.scale, spring])

        found = optimize.least_squares(
            pulled,
            np.clip(start, self.problem.low, self.problem.high),
            bounds=(self.problem.low, self.problem.high),
            x_scale="jac",
            xtol=1e-9,
            ftol=1e-10,
            gtol=1e-10,
            max_nfev=60,
        )
        value = float(np.sum(self.problem.residuals(found.x) ** 2))
        return found.x, self.values(found.x), value

    def root(self, objective: float) -> float:
        """Square root of the F statistic's numerator over the variance."""
        excess = max(objective - self.problem.minimum, 0.0)
        return float(np.sqrt(excess)) / float(self.scale)

    def follow(self, sign: int, critical: float, count: int) -> list[tuple[float, float, float]]:
        """Points of the curve on one side, until well beyond the critical root."""
        points: list[tuple[float, float, float]] = []
        v, here, root = self.problem.start, float(self.best[0]), 0.0
        slope, step = float(self.errors[0]), _BEYOND * critical / count
        for _ in range(_MOST_STEPS):
            target = np.array([here + sign * slope * step])
            v, (value,), objective = self.rest(target, v)
            reached = self.root(objective)
            # An end of what is possible: the quantity rests although the spring pulls.
            if sign * (value - here) < 1e-3 * abs(target[0] - here):
                break
            points.append((float(value), objective, sign * reached))
            if reached > root + 1e-9:
                slope = float(np.clip(abs(value - here) / (reached - root), slope / 4, slope * 4))
            else:
                slope *= 4
            here, root = float(value), max(root, reached)
            if reached >= _BEYOND * critical:
                break
        return points

    def border(
        self, direction: FloatArray, critical: float, start: FloatArray
    ) -> tuple[tuple[float, ...], FloatArray]:
        """Point along a ray at which the root is critical, by secant steps within a bracket.

        At a bound of a parameter the sum of squares turns from flat to steep: there the secant
        alone would jump to and fro.
        """
        radius, within, beyond = critical, 0.0, np.inf
        for _ in range(_MOST_STEPS):
            v, values, objective = self.rest(self.best + radius * direction, start)
            reached = self.root(objective)
            if abs(reached / critical - 1) < 2e-3:
                return (*values, objective), v
            within, beyond = (radius, beyond) if reached < critical else (within, radius)
            guess = radius * float(np.clip(critical / max(reached, 1e-9), 0.4, 2.5))
            if np.isfinite(beyond) and not within < guess < beyond:
                guess = (within + beyond) / 2
            elif np.isfinite(beyond):  # a step that hardly shrinks the bracket is a bad one
                room = 0.1 * (beyond - within)
                guess = float(np.clip(guess, within + room, beyond - room))
            if beyond - within < 1e-6 * beyond or guess > 100 * critical:
                break
            radius, start = guess, v
        return (np.nan, np.nan, np.nan), self.problem.start


def _crossing(
    best: float, side: list[tuple[float, float, float]], sign: int, critical: float
) -> float:
    """Value at which the root is critical, from a smooth curve through the points."""
    if not side or abs(side[-1][2]) < critical:
        return sign * np.inf
    values = np.array([best, *(value for value, _, _ in side)])
    roots = np.abs([0.0, *(root for _, _, root in side)])
    rising = np.concatenate([[True], np.diff(np.maximum.accumulate(roots)) > 0])
    return float(interpolate.PchipInterpolator(roots[rising], values[rising])(critical))
