"""Variable projection for sums of powers: ``y = c0 + sum_t c_t x_t^-e_t`` with all c, e >= 0.

For given exponents the model is linear, so the best coefficients are a non-negative least-squares
problem of a few columns: only the exponents need a search (Golub and Pereyra 1973). A grid over
the exponents finds the basins, Gauss-Newton steps on the projected residuals the minimum in each.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
import numpy.typing as npt
from scipy import ndimage, optimize

FloatArray = npt.NDArray[np.float64]

# Exponents of scaling laws lie around 0.1 to 1; one that runs to the end of this range is reported.
EXPONENT_RANGE = (1e-3, 5.0)
_GRID = np.geomspace(0.02, 3.0, 9)
_STARTS = 3


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

    def power_and_slope(self, exponent: float) -> tuple[FloatArray, FloatArray]:
        """Return the column and its derivative with respect to the exponent."""
        levels = np.exp(-exponent * self.log_levels)
        return levels[self.rows], (-self.log_levels * levels)[self.rows]


class _Projection:
    """Weighted residuals and their Jacobian, as functions of the exponents alone."""

    def __init__(self, xs: list[FloatArray], y: FloatArray, weights: FloatArray) -> None:
        self.terms = [_Term(x) for x in xs]
        self.root = np.sqrt(weights)
        self.y = y * self.root
        self.evaluations = 0

    def evaluate(self, exponents: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Coefficients, residuals, and Kaufman's approximation of the residuals' Jacobian."""
        self.evaluations += 1
        columns, slopes = [self.root], []
        for term, exponent in zip(self.terms, exponents, strict=True):
            power, slope = term.power_and_slope(exponent)
            columns.append(power * self.root)
            slopes.append(slope * self.root)
        design = np.stack(columns, axis=1)
        Q, R = np.linalg.qr(design)
        coefficients, _ = optimize.nnls(R, Q.T @ self.y)
        active = coefficients > 0
        residuals = design @ coefficients - self.y
        jacobian = np.stack(slopes, axis=1) * coefficients[1:]
        if active.any():
            basis = Q if active.all() else np.linalg.qr(design[:, active])[0]
            jacobian = jacobian - basis @ (basis.T @ jacobian)
        return coefficients, residuals, jacobian

    def starts(self) -> list[FloatArray]:
        """Exponents on a coarse grid, the best basins first."""
        columns = [self.root]
        columns += [term.power(e) * self.root for term in self.terms for e in _GRID]
        matrix = np.stack(columns, axis=1)
        gram, moment = matrix.T @ matrix, matrix.T @ self.y
        cells = np.array(list(product(range(len(_GRID)), repeat=len(self.terms))))
        offsets = 1 + len(_GRID) * np.arange(len(self.terms))
        index = np.concatenate([np.zeros((len(cells), 1), int), cells + offsets], axis=1)
        grams = gram[index[:, :, None], index[:, None, :]]
        gain = _best_gain(grams, moment[index])
        surface = gain.reshape((len(_GRID),) * len(self.terms))
        peaks = np.flatnonzero(surface >= ndimage.maximum_filter(surface, size=3))
        best = peaks[np.argsort(-gain[peaks], kind="stable")][:_STARTS]
        return [_GRID[cells[i]] for i in best]


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
            feasible = (solution >= 0).all(axis=1)
            best = np.where(feasible & (gain > best), gain, best)
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
    Golub and Pereyra (1973); Kaufman (1975) for the Jacobian.
    """
    projection = _Projection(xs, y, weights)
    minima = [_descend(projection, start) for start in projection.starts()]
    exponents, objective = min(minima, key=lambda minimum: minimum[1])
    coefficients = projection.evaluate(exponents)[0]
    scales = np.array([term.log_scale for term in projection.terms])
    return PowerSum(
        constant=float(coefficients[0]),
        coefficients=coefficients[1:] * np.exp(exponents * scales),
        exponents=exponents,
        objective=objective,
        evaluations=projection.evaluations,
    )


def _descend(projection: _Projection, exponents: FloatArray) -> tuple[FloatArray, float]:
    """Levenberg-Marquardt steps from one start, clipped to the range of the exponents."""
    _, residuals, jacobian = projection.evaluate(exponents)
    objective, damping = float(residuals @ residuals), 1e-3
    for _ in range(200):
        normal, gradient = jacobian.T @ jacobian, jacobian.T @ residuals
        scale = np.diag(normal) + 1e-12 * np.trace(normal) + 1e-300
        trial = exponents - np.linalg.solve(normal + damping * np.diag(scale), gradient)
        trial = np.clip(trial, *EXPONENT_RANGE)
        _, trial_residuals, trial_jacobian = projection.evaluate(trial)
        trial_objective = float(trial_residuals @ trial_residuals)
        moved = np.abs(trial - exponents).max()
        if trial_objective <= objective:
            gained = objective - trial_objective
            exponents, objective = trial, trial_objective
            residuals, jacobian = trial_residuals, trial_jacobian
            damping = max(damping / 10, 1e-12)
            if moved < 1e-12 or (gained <= 1e-15 * objective and moved < 1e-7):
                break
        elif moved < 1e-12 or damping > 1e12:
            break
        else:
            damping *= 10
    return exponents, objective
