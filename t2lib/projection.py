"""Variable projection for sums of powers: ``y = c0 + sum_t c_t x_t^-e_t`` with all c, e >= 0.

For given exponents the model is linear, so the best coefficients are a non-negative least-squares
problem of a few columns: only the exponents need a search (Golub and Pereyra 1973). A grid over
the exponents finds the basins, Newton steps on the projected objective the minimum in each.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
import numpy.typing as npt
from scipy import optimize

FloatArray = npt.NDArray[np.float64]

# Exponents of scaling laws lie around 0.1 to 1; one that runs to the end of this range is reported.
EXPONENT_RANGE = (1e-3, 5.0)


@dataclass(frozen=True)
class PowerSum:
    """Result of :func:`fit_power_sum`.

    Attributes
    ----------
    constant : float
        The coefficient c0.
    coefficients, exponents : ndarray, shape (terms,)
        The c_t and e_t.
    objective : float
        Weighted sum of squared residuals.
    evaluations : int
        How often the design matrix was built.
    """

    constant: float
    coefficients: FloatArray
    exponents: FloatArray
    objective: float
    evaluations: int


class _Term:
    """Powers of one variable, computed once for each of its distinct values."""

    def __init__(self, x: FloatArray) -> None:
        levels, self.rows = np.unique(x, return_inverse=True)
        # Relative to the geometric mean a coefficient is the size of its term in the middle of
        # the data, which keeps the columns of the design matrix comparable.
        self.log_scale = float(np.log(levels).mean())
        self.log_levels = np.log(levels) - self.log_scale

    def power(self, exponent: float) -> FloatArray:
        return np.exp(-exponent * self.log_levels)[self.rows]

    def derivatives(self, exponent: float) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the column and its first two derivatives with respect to the exponent."""
        power = np.exp(-exponent * self.log_levels)
        slope = -self.log_levels * power
        return power[self.rows], slope[self.rows], (-self.log_levels * slope)[self.rows]


class _Projection:
    """The least sum of squares that is possible at given exponents, with two derivatives."""

    def __init__(self, xs: list[FloatArray], y: FloatArray, weights: FloatArray) -> None:
        self.terms = [_Term(x) for x in xs]
        self.root = np.sqrt(weights)
        self.y = y * self.root
        self.evaluations = 0

    def coefficients(self, exponents: FloatArray) -> FloatArray:
        """Best non-negative c0, c1, ... at these exponents."""
        columns = [term.power(e) * self.root for term, e in zip(self.terms, exponents, strict=True)]
        Q, R = np.linalg.qr(np.stack([self.root, *columns], axis=1))
        return optimize.nnls(R, Q.T @ self.y)[0]

    def evaluate(self, exponents: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Sum of squares, its gradient, and its Hessian, halved, by the exponents alone.

        The coefficients follow the exponents, so the Hessian is the Schur complement of theirs.
        It keeps the second derivatives that Gauss-Newton leaves out: a law that does not fit has
        large residuals, and there Gauss-Newton crawls.
        """
        self.evaluations += 1
        parts = [t.derivatives(e) for t, e in zip(self.terms, exponents, strict=True)]
        power, slope, bend = (
            np.stack(columns, axis=1) * self.root[:, None] for columns in zip(*parts, strict=True)
        )
        design = np.concatenate([self.root[:, None], power], axis=1)
        Q, R = np.linalg.qr(design)
        c, _ = optimize.nnls(R, Q.T @ self.y)
        residuals = design @ c - self.y
        moment = residuals @ slope
        slope = slope * c[1:]
        hessian = slope.T @ slope + np.diag(c[1:] * (residuals @ bend))
        mixed = design.T @ slope
        mixed[1:] += np.diag(moment)
        active = np.flatnonzero(c)
        inner = design[:, active].T @ design[:, active]
        inner += 1e-14 * np.trace(inner) * np.eye(len(active))  # columns can be nearly collinear
        hessian = hessian - mixed[active].T @ np.linalg.solve(inner, mixed[active])
        return float(residuals @ residuals), c[1:] * moment, hessian

    def starts(self, axes: list[FloatArray], count: int) -> list[FloatArray]:
        """The best points of a grid of exponents that lie apart from one another."""
        columns = [self.root]
        columns += [
            t.power(e) * self.root for t, axis in zip(self.terms, axes, strict=True) for e in axis
        ]
        matrix = np.stack(columns, axis=1)
        gram, moment = matrix.T @ matrix, matrix.T @ self.y
        sizes = [len(axis) for axis in axes]
        cells = np.array(list(product(*map(range, sizes))))
        offsets = 1 + np.concatenate([[0], np.cumsum(sizes)[:-1]])
        index = np.concatenate([np.zeros((len(cells), 1), int), cells + offsets], axis=1)
        gain = _best_gain(gram[index[:, :, None], index[:, None, :]], moment[index])
        left = np.argsort(-gain, kind="stable")
        chosen: list[FloatArray] = []
        while len(left) and len(chosen) < count:
            best = left[0]
            chosen.append(np.array([axis[i] for axis, i in zip(axes, cells[best], strict=True)]))
            apart = np.abs(cells[left] - cells[best]).max(axis=1) > 1
            # Where a coefficient is 0 its exponent does nothing: equal gains are one start.
            left = left[apart & (gain[left] < gain[best] * (1 - 1e-9))]
        return chosen


def _best_gain(grams: FloatArray, moments: FloatArray) -> FloatArray:
    """Largest explained sum of squares with non-negative coefficients, for a batch of problems.

    The optimum of a non-negative least-squares problem is the plain one on some subset of its
    columns, and there are few: try them all.
    """
    best = np.zeros(len(grams))
    width = grams.shape[1]
    for size in range(1, width + 1):
        for subset in combinations(range(width), size):
            pick = list(subset)
            part = grams[:, pick][:, :, pick]
            part = part + 1e-12 * np.eye(size) * np.trace(part, axis1=1, axis2=2)[:, None, None]
            right = moments[:, pick]
            solution = np.linalg.solve(part, right[:, :, None])[:, :, 0]
            gain = (solution * right).sum(axis=1)
            better = (solution >= 0).all(axis=1) & (gain > best)
            best = np.where(better, gain, best)
    return best


def fit_power_sum(xs: list[FloatArray], y: FloatArray, weights: FloatArray) -> PowerSum:
    """Fit ``y = c0 + sum_t c_t x_t^-e_t`` by weighted least squares, all c >= 0, e in a range.

    Parameters
    ----------
    xs : list of ndarray, each shape (n,)
        Positive variables, one for each power term.
    y, weights : ndarray, shape (n,)
        Targets, and positive weights of the squared residuals.

    Returns
    -------
    PowerSum
        The best of the minima reached from the best basins of a grid.

    References
    ----------
    Golub and Pereyra (1973).
    """
    projection = _Projection(xs, y, weights)
    coarse = np.geomspace(0.03, 4.0, 12 if len(xs) < 3 else 8)
    starts = projection.starts([coarse] * len(xs), count=2 if len(xs) < 3 else 3)
    exponents, objective = _best_descent(projection, starts)
    # Of three exponents, one can hide the basins of the others from a coarse grid. Hold each in
    # turn where it was found and search the others more finely, while that finds something lower.
    fine = np.geomspace(0.02, 4.5, 20)
    for _ in range(3 if len(xs) > 2 else 0):
        starts = []
        for held in range(len(xs)):
            axes = [fine] * len(xs)
            axes[held] = exponents[held : held + 1]
            starts += projection.starts(axes, count=2)
        found, lower = _best_descent(projection, starts)
        if not lower < objective * (1 - 1e-9):
            break
        exponents, objective = found, lower
    coefficients = projection.coefficients(exponents)
    scales = np.array([term.log_scale for term in projection.terms])
    return PowerSum(
        constant=float(coefficients[0]),
        coefficients=coefficients[1:] * np.exp(exponents * scales),
        exponents=exponents,
        objective=objective,
        evaluations=projection.evaluations,
    )


def _best_descent(projection: _Projection, starts: list[FloatArray]) -> tuple[FloatArray, float]:
    """Follow every start a few steps and the best two to the bottom."""
    pilots = [_descend(projection, start, steps=5) for start in starts]
    pilots.sort(key=lambda minimum: minimum[1])
    minima = [_descend(projection, exponents, steps=100) for exponents, _ in pilots[:2]]
    return min(minima, key=lambda minimum: minimum[1])


def _descend(
    projection: _Projection, exponents: FloatArray, steps: int
) -> tuple[FloatArray, float]:
    """Damped Newton steps on the exponents, clipped to their range."""
    objective, gradient, hessian = projection.evaluate(exponents)
    damping = 1e-3
    for _ in range(steps):
        low, high = EXPONENT_RANGE
        held = ((exponents <= low) & (gradient > 0)) | ((exponents >= high) & (gradient < 0))
        gradient = np.where(held, 0.0, gradient)
        free = np.where(held, 0.0, 1.0)
        # The absolute eigenvalues turn steps towards a saddle into steps away from it.
        values, vectors = np.linalg.eigh(hessian * np.outer(free, free))
        values = np.maximum(np.abs(values), 1e-14 * np.abs(values).max() + 1e-300)
        step = vectors @ ((vectors.T @ gradient) / (values * (1 + damping)))
        trial = np.clip(exponents - np.clip(step, -0.7, 0.7), low, high)
        moved = np.abs(trial - exponents).max()
        if moved < 1e-12:
            break
        lower, trial_gradient, trial_hessian = projection.evaluate(trial)
        if lower <= objective:
            gained = objective - lower
            exponents, objective = trial, lower
            gradient, hessian = trial_gradient, trial_hessian
            damping /= 10
            if gained <= 1e-14 * objective and moved < 1e-6:
                break
        elif damping > 1e9:
            break
        else:
            damping = max(10 * damping, 1.0)
    return exponents, objective
