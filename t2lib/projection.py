"""Variable projection for sums of powers: ``y = c0 + sum_t c_t x_t^-e_t`` with all c, e >= 0.

For given exponents the model is linear, so the best coefficients are a non-negative least-squares
problem of a few columns: only the exponents need a search (Golub and Pereyra 1973). A grid over
the exponents finds the basins, Newton steps on the projected objective the minimum in each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations, pairwise, product

import numpy as np
import numpy.typing as npt
from scipy import optimize

FloatArray = npt.NDArray[np.float64]
Evaluate = Callable[[FloatArray], tuple[float, FloatArray, FloatArray]]

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
    """Powers of one variable at its distinct values, its levels."""

    def __init__(self, x: FloatArray) -> None:
        levels, self.rows = np.unique(x, return_inverse=True)
        # Relative to the geometric mean a coefficient is the size of its term in the middle of
        # the data, which keeps the columns of the design matrix comparable.
        self.log_scale = float(np.log(levels).mean())
        self.log_levels = np.log(levels) - self.log_scale

    def powers(self, exponents: FloatArray) -> FloatArray:
        """One column for each exponent, shape (levels, exponents)."""
        return np.exp(-np.multiply.outer(self.log_levels, exponents))

    def derivatives(self, exponent: float) -> FloatArray:
        """Power and its first two derivatives by the exponent, shape (levels, 3)."""
        power = np.exp(-exponent * self.log_levels)
        return np.stack([power, -self.log_levels * power, self.log_levels**2 * power], axis=1)


class _Projection:
    """The least sum of squares that is possible at given exponents, with two derivatives."""

    def __init__(self, xs: list[FloatArray], y: FloatArray, weights: FloatArray) -> None:
        self.terms = [_Term(x) for x in xs]
        self.root = np.sqrt(weights)
        self.y = y * self.root
        self.square = float(self.y @ self.y)
        self.evaluations = 0
        sizes = [len(term.log_levels) for term in self.terms]
        # Scaling-law data repeat few sizes, budgets and k. Where the tables of pairs of levels
        # are smaller than the rows, every inner product comes from them, at a fraction of a pass.
        self.tabled = sum(a * b for a, b in combinations(sizes, 2)) <= len(y)
        if self.tabled:
            moment = weights * y
            self.totals = [np.bincount(term.rows, weights) for term in self.terms]
            self.moments = [np.bincount(term.rows, moment) for term in self.terms]
            self.pairs = {
                (i, j): np.bincount(
                    self.terms[i].rows * sizes[j] + self.terms[j].rows, weights, sizes[i] * sizes[j]
                ).reshape(sizes[i], sizes[j])
                for i, j in combinations(range(len(sizes)), 2)
            }

    def gram(self, columns: list[FloatArray]) -> tuple[FloatArray, FloatArray]:
        """Inner products of the constant and of columns given by level, and theirs with y."""
        if not self.tabled:
            rows = [block[t.rows] for block, t in zip(columns, self.terms, strict=True)]
            matrix = np.concatenate([np.ones((len(self.y), 1)), *rows], axis=1)
            matrix *= self.root[:, None]
            return matrix.T @ matrix, matrix.T @ self.y
        ends = np.cumsum([1] + [block.shape[1] for block in columns])
        parts = [slice(a, b) for a, b in pairwise(ends)]
        gram, moment = np.empty((ends[-1], ends[-1])), np.empty(ends[-1])
        gram[0, 0], moment[0] = self.totals[0].sum(), self.moments[0].sum()
        for i, (here, block) in enumerate(zip(parts, columns, strict=True)):
            gram[0, here] = gram[here, 0] = self.totals[i] @ block
            gram[here, here] = block.T @ (self.totals[i][:, None] * block)
            moment[here] = self.moments[i] @ block
            for j in range(i + 1, len(columns)):
                gram[here, parts[j]] = block.T @ (self.pairs[i, j] @ columns[j])
                gram[parts[j], here] = gram[here, parts[j]].T
        return gram, moment

    def evaluate(self, exponents: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Sum of squares, its gradient, and its Hessian, halved, by the exponents alone.

        The coefficients follow the exponents, so the Hessian is the Schur complement of theirs.
        It keeps the second derivatives that Gauss-Newton leaves out: a law that does not fit has
        large residuals, and there Gauss-Newton crawls.
        """
        self.evaluations += 1
        columns = [t.derivatives(e) for t, e in zip(self.terms, exponents, strict=True)]
        gram, moment = self.gram(columns)
        design = _powers(len(columns))
        inner = gram[np.ix_(design, design)]
        inner = inner + 1e-15 * np.trace(inner) * np.eye(len(design))  # nearly collinear columns
        R = np.linalg.cholesky(inner).T
        c, _ = optimize.nnls(R, np.linalg.solve(R.T, moment[design]))
        objective = self.square - 2 * c @ moment[design] + c @ gram[np.ix_(design, design)] @ c
        return float(objective), *_derivatives(c, gram, gram[:, design] @ c - moment)

    def evaluate_exactly(self, exponents: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """As :meth:`evaluate`, with the rows' own residuals, for the last steps.

        Inner products hold a sum of squares only to rounding of that of y, which is too little
        where a law fits almost perfectly.
        """
        self.evaluations += 1
        columns = [t.derivatives(e) for t, e in zip(self.terms, exponents, strict=True)]
        blocks = [block[t.rows] for block, t in zip(columns, self.terms, strict=True)]
        matrix = np.concatenate([np.ones((len(self.y), 1)), *blocks], axis=1) * self.root[:, None]
        design = _powers(len(columns))
        c = self._solve(matrix[:, design])
        residuals = matrix[:, design] @ c - self.y
        value = float(residuals @ residuals)
        return value, *_derivatives(c, matrix.T @ matrix, matrix.T @ residuals)

    def coefficients(self, exponents: FloatArray) -> FloatArray:
        """Best non-negative c0, c1, ... at these exponents."""
        columns = [
            t.powers(np.array([e]))[t.rows] for t, e in zip(self.terms, exponents, strict=True)
        ]
        ones = np.ones((len(self.y), 1))
        return self._solve(np.concatenate([ones, *columns], axis=1) * self.root[:, None])

    def _solve(self, design: FloatArray) -> FloatArray:
        Q, R = np.linalg.qr(design)
        return optimize.nnls(R, Q.T @ self.y)[0]

    def starts(self, axes: list[FloatArray], count: int) -> list[FloatArray]:
        """The best points of a grid of exponents that lie apart from one another."""
        gram, moment = self.gram([t.powers(axis) for t, axis in zip(self.terms, axes, strict=True)])
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


def _powers(terms: int) -> npt.NDArray[np.int64]:
    """Where the constant and the powers stand among the constant and each term's derivatives."""
    return np.concatenate([[0], 1 + 3 * np.arange(terms)])


def _derivatives(
    c: FloatArray, gram: FloatArray, of_residuals: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Gradient and Hessian of half the sum of squares by the exponents.

    ``gram`` holds the inner products of the constant and each term's power, slope and bend, and
    ``of_residuals`` theirs with the residuals.
    """
    design = _powers(len(c) - 1)
    slope, bend = design[1:] + 1, design[1:] + 2
    inward = of_residuals[slope]
    hessian = np.outer(c[1:], c[1:]) * gram[np.ix_(slope, slope)]
    hessian[np.diag_indices_from(hessian)] += c[1:] * of_residuals[bend]
    mixed = gram[np.ix_(design, slope)] * c[1:]
    mixed[1:] += np.diag(inward)
    active = np.flatnonzero(c)
    inner = gram[np.ix_(design[active], design[active])]
    inner = inner + 1e-14 * np.trace(inner) * np.eye(len(active))  # nearly collinear columns
    hessian = hessian - mixed[active].T @ np.linalg.solve(inner, mixed[active])
    return c[1:] * inward, hessian


def _best_gain(grams: FloatArray, moments: FloatArray) -> FloatArray:
    """Largest explained sum of squares with non-negative coefficients, for a batch of problems.

    The optimum of a non-negative least-squares problem is the plain one on some subset of its
    columns. Where all columns together give no negative coefficient, that is it; for the other
    problems try all subsets, which are few.
    """
    best = np.zeros(len(grams))
    width = grams.shape[1]
    left = np.arange(len(grams))
    for size in range(width, 0, -1):
        for subset in combinations(range(width), size):
            pick = np.array(subset)
            part = grams[np.ix_(left, pick, pick)]
            part = part + 1e-12 * np.eye(size) * np.trace(part, axis1=1, axis2=2)[:, None, None]
            right = moments[np.ix_(left, pick)]
            solution = np.linalg.solve(part, right[:, :, None])[:, :, 0]
            gain = (solution * right).sum(axis=1)
            feasible = (solution >= 0).all(axis=1)
            best[left] = np.where(feasible & (gain > best[left]), gain, best[left])
            if size == width:
                left = left[~feasible]
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
    exponents, objective = _descend(projection.evaluate_exactly, exponents, steps=50)
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
    pilots = [_descend(projection.evaluate, start, steps=5) for start in starts]
    pilots.sort(key=lambda minimum: minimum[1])
    minima = [_descend(projection.evaluate, exponents, steps=100) for exponents, _ in pilots[:2]]
    return min(minima, key=lambda minimum: minimum[1])


def _descend(evaluate: Evaluate, exponents: FloatArray, steps: int) -> tuple[FloatArray, float]:
    """Damped Newton steps on the exponents, clipped to their range."""
    objective, gradient, hessian = evaluate(exponents)
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
        lower, trial_gradient, trial_hessian = evaluate(trial)
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
