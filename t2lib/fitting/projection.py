"""Variable projection for sums of powers: ``y = c0 + sum_t c_t x_t^-e_t`` with all c, e >= 0.

For given exponents the model is linear, so the best coefficients are a non-negative least-squares
problem of a few columns: only the exponents need a search (Golub and Pereyra 1973). A grid over
the exponents finds the basins, Newton steps on the projected objective the minimum in each.

Several starts, and several weightings of the same rows (a bootstrap), are searched side by side:
arrays below have a first axis of R weightings, or of P problems, which are a weighting and a
start each. One fit is the case R = 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations, pairwise, product

import numpy as np
import numpy.typing as npt
from scipy import optimize

from t2lib._checks import FloatArray, IntArray

# Value, gradient and Hessian by the exponents, of these weightings at these exponents.
Evaluate = Callable[[IntArray, FloatArray], tuple[FloatArray, FloatArray, FloatArray]]

# Exponents of scaling laws lie around 0.1 to 1; one that runs to the end of this range is reported.
EXPONENT_RANGE = (1e-3, 5.0)
# Numbers that one step holds at a time: more would leave the processor's caches.
_AT_ONCE = 2_000_000


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
        How often the design matrix was built, for all weightings that were fitted together.
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

    def derivatives(self, exponents: FloatArray) -> FloatArray:
        """Power and its first two derivatives by the exponent, shape (P, levels, 3)."""
        columns = np.empty((len(exponents), len(self.log_levels), 3))
        np.exp(-np.multiply.outer(exponents, self.log_levels), out=columns[:, :, 0])
        np.multiply(columns[:, :, 0], -self.log_levels, out=columns[:, :, 1])
        np.multiply(columns[:, :, 1], -self.log_levels, out=columns[:, :, 2])
        return columns


class _Projection:
    """The least sum of squares that is possible at given exponents, with two derivatives."""

    def __init__(self, xs: list[FloatArray], y: FloatArray, weights: FloatArray) -> None:
        self.terms = [_Term(x) for x in xs]
        self.y, self.weights = y, weights
        self.square = weights @ (y * y)
        self.evaluations = 0
        self.design = np.concatenate([[0], 1 + 3 * np.arange(len(xs))])
        sizes = [len(term.log_levels) for term in self.terms]
        # Scaling-law data repeat few sizes, budgets and k. Where the tables of pairs of levels
        # are smaller than the rows, every inner product comes from them, at a fraction of a pass.
        self.tabled = sum(a * b for a, b in combinations(sizes, 2)) <= len(y)
        if self.tabled:
            self.totals = [_tables(t.rows, weights, (len(t.log_levels),)) for t in self.terms]
            self.moments = [_tables(t.rows, weights * y, (len(t.log_levels),)) for t in self.terms]
            self.pairs = {
                (i, j): _tables(
                    self.terms[i].rows * sizes[j] + self.terms[j].rows,
                    weights,
                    (sizes[i], sizes[j]),
                )
                for i, j in combinations(range(len(sizes)), 2)
            }

    def gram(self, which: IntArray, columns: list[FloatArray]) -> tuple[FloatArray, FloatArray]:
        """Inner products of the constant and of columns given by level, and theirs with y.

        Each block of columns has shape (P, levels, columns) or, the same for all problems,
        (levels, columns).
        """
        if not self.tabled:
            matrix = self._rows(columns)
            weighted = matrix.swapaxes(-1, -2) * self.weights[which][:, None, :]
            return weighted @ matrix, weighted @ self.y
        ends = np.cumsum([1] + [block.shape[-1] for block in columns])
        parts = [slice(a, b) for a, b in pairwise(ends)]
        gram = np.empty((len(which), ends[-1], ends[-1]))
        moment = np.empty((len(which), ends[-1]))
        gram[:, 0, 0] = self.totals[0][which].sum(axis=1)
        moment[:, 0] = self.moments[0][which].sum(axis=1)
        for i, (here, block) in enumerate(zip(parts, columns, strict=True)):
            total = self.totals[i][which]
            transposed = block.swapaxes(-1, -2)
            gram[:, 0, here] = gram[:, here, 0] = (total[:, None, :] @ block)[:, 0]
            gram[:, here, here] = (transposed * total[:, None, :]) @ block
            moment[:, here] = (self.moments[i][which][:, None, :] @ block)[:, 0]
            for j in range(i + 1, len(columns)):
                cross = transposed @ (self.pairs[i, j][which] @ columns[j])
                gram[:, here, parts[j]] = cross
                gram[:, parts[j], here] = cross.swapaxes(1, 2)
        return gram, moment

    def _rows(self, columns: list[FloatArray]) -> FloatArray:
        """The design matrix: the constant and the columns at each row, shape (..., n, columns)."""
        shape = (*columns[0].shape[:-2], len(self.y))
        matrix = np.empty((*shape, 1 + sum(block.shape[-1] for block in columns)))
        matrix[..., 0] = 1
        start = 1
        for block, term in zip(columns, self.terms, strict=True):
            stop = start + block.shape[-1]
            matrix[..., start:stop] = block[..., term.rows, :]
            start = stop
        return matrix

    def _derivative_columns(self, exponents: FloatArray) -> list[FloatArray]:
        self.evaluations += len(exponents)
        return [t.derivatives(e) for t, e in zip(self.terms, exponents.T, strict=True)]

    def evaluate(
        self, which: IntArray, exponents: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Sum of squares, its gradient, and its Hessian, halved, by the exponents alone.

        The coefficients follow the exponents, so the Hessian is the Schur complement of theirs.
        It keeps the second derivatives that Gauss-Newton leaves out: a law that does not fit has
        large residuals, and there Gauss-Newton crawls.

        Parameters
        ----------
        which : ndarray of int, shape (P,)
            The weighting of each problem.
        exponents : ndarray, shape (P, terms)
        """
        gram, moment = self.gram(which, self._derivative_columns(exponents))
        inner = gram[:, self.design[:, None], self.design]
        gain, c = _non_negative(inner, moment[:, self.design], 1e-15)
        residual_moments = (gram[:, :, self.design] @ c[:, :, None])[:, :, 0] - moment
        return self.square[which] - gain, *self._derivatives(c, gram, residual_moments)

    def evaluate_exactly(
        self, which: IntArray, exponents: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """As :meth:`evaluate`, with the rows' own residuals, for the last steps.

        Inner products hold a sum of squares only to rounding of that of y, which is too little
        where a law fits almost perfectly.
        """
        matrix = self._rows(self._derivative_columns(exponents))
        matrix *= np.sqrt(self.weights[which])[:, :, None]
        target = np.sqrt(self.weights[which]) * self.y
        design = np.ascontiguousarray(matrix[:, :, self.design])
        c = np.array([_solve(X, y) for X, y in zip(design, target, strict=True)])
        residuals = (design @ c[:, :, None])[:, :, 0] - target
        transposed = matrix.swapaxes(1, 2)
        gram, moment = transposed @ matrix, (transposed @ residuals[:, :, None])[:, :, 0]
        return (residuals**2).sum(axis=1), *self._derivatives(c, gram, moment)

    def coefficients(self, exponents: FloatArray) -> FloatArray:
        """Best non-negative c0, c1, ... of each weighting at its exponents."""
        found = []
        for w, e in zip(np.sqrt(self.weights), exponents, strict=True):
            columns = [t.powers(e[i : i + 1]) for i, t in enumerate(self.terms)]
            found.append(_solve(self._rows(columns) * w[:, None], w * self.y))
        return np.array(found)

    def _derivatives(
        self, c: FloatArray, gram: FloatArray, of_residuals: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Gradient and Hessian of half the sum of squares by the exponents.

        ``gram`` holds the inner products of the constant and each term's power, slope and bend,
        and ``of_residuals`` theirs with the residuals.
        """
        slope, bend = self.design[1:] + 1, self.design[1:] + 2
        terms = np.arange(len(slope))
        own = c[:, 1:]
        inward = of_residuals[:, slope]
        hessian = own[:, :, None] * own[:, None, :] * gram[:, slope[:, None], slope]
        hessian[:, terms, terms] += own * of_residuals[:, bend]
        mixed = gram[:, self.design[:, None], slope] * own[:, None, :]
        mixed[:, terms + 1, terms] += inward
        # A coefficient held at 0 does not follow.
        active = c > 0
        inner = _held(gram[:, self.design[:, None], self.design], active, 1e-14)
        mixed = np.where(active[:, :, None], mixed, 0.0)
        hessian -= mixed.swapaxes(1, 2) @ np.linalg.solve(inner, mixed)
        return own * inward, hessian

    def starts(
        self, which: IntArray, axes: list[FloatArray], count: int
    ) -> tuple[IntArray, FloatArray]:
        """The best points, apart from one another, of a grid of exponents the same for all."""
        columns = [t.powers(axis) for t, axis in zip(self.terms, axes, strict=True)]
        sizes = [len(axis) for axis in axes]
        cells = np.array(list(product(*map(range, sizes))))
        offsets = 1 + np.concatenate([[0], np.cumsum(sizes)[:-1]])
        index = np.concatenate([np.zeros((len(cells), 1), int), cells + offsets], axis=1)
        owners: list[int] = []
        chosen: list[list[float]] = []
        for part in parts_of(which, len(cells) * index.shape[1] ** 2):
            gram, moment = self.gram(part, columns)
            grams = gram[:, index[:, :, None], index[:, None, :]]
            width = grams.shape[-1]
            gains, _ = _non_negative(
                grams.reshape(-1, width, width), moment[:, index].reshape(-1, width), 1e-12
            )
            for r, gain in zip(part, gains.reshape(len(part), -1), strict=True):
                best = _apart(gain, cells, count)
                owners += [r] * len(best)
                chosen += [
                    [axis[i] for axis, i in zip(axes, cells[cell], strict=True)] for cell in best
                ]
        return np.array(owners), np.array(chosen, dtype=float)


def _tables(rows: IntArray, weights: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Sums of each weighting over the rows of a level or of a pair of levels, shape (R, ...)."""
    size = int(np.prod(shape))
    sums: FloatArray = np.array([np.bincount(rows, w, size) for w in weights], dtype=float)
    return sums.reshape(len(weights), *shape)


def parts_of(which: IntArray, numbers_each: int) -> Iterator[IntArray]:
    """Split problems so that each part holds no more numbers than fit into the caches."""
    step = max(1, _AT_ONCE // numbers_each)
    for start in range(0, len(which), step):
        yield which[start : start + step]


def _apart(gain: FloatArray, cells: IntArray, count: int) -> list[int]:
    """The best cells of a grid that are no neighbours of one another."""
    left = np.argsort(-gain, kind="stable")
    chosen: list[int] = []
    while len(left) and len(chosen) < count:
        best = left[0]
        chosen.append(int(best))
        apart = np.abs(cells[left] - cells[best]).max(axis=1) > 1
        # Where a coefficient is 0 its exponent does nothing: equal gains are one start.
        left = left[apart & (gain[left] < gain[best] * (1 - 1e-9))]
    return chosen


def _solve(design: FloatArray, target: FloatArray) -> FloatArray:
    Q, R = np.linalg.qr(design)
    return optimize.nnls(R, Q.T @ target)[0]


def _held(grams: FloatArray, free: npt.NDArray[np.bool_], ridge: float) -> FloatArray:
    """Matrices whose solutions are 0 where not free.

    The ridge, a share of the trace, keeps nearly collinear columns solvable.
    """
    held = np.where(free[:, :, None] & free[:, None, :], grams, 0.0)
    width = np.arange(grams.shape[1])
    size = grams[:, width, width].sum(axis=1, keepdims=True)
    held[:, width, width] += np.where(free, ridge, 1.0) * size
    return held


def _non_negative(
    grams: FloatArray, moments: FloatArray, ridge: float
) -> tuple[FloatArray, FloatArray]:
    """Explained sum of squares and coefficients of non-negative least squares, for a batch.

    Coefficients that come out negative are held at 0 until none is. Where that leaves one that
    would rather rise again, every subset of the columns is tried: they are few.
    """
    free = np.ones(moments.shape, dtype=bool)
    coefficients = np.empty(moments.shape)
    left = np.arange(len(moments))
    while len(left):
        right = np.where(free[left], moments[left], 0.0)
        found = np.linalg.solve(_held(grams[left], free[left], ridge), right[:, :, None])[:, :, 0]
        coefficients[left] = found
        free[left] &= found >= 0
        left = left[(found < 0).any(axis=1)]
    rise = moments - (grams @ coefficients[:, :, None])[:, :, 0]
    wrong = np.flatnonzero((~free & (rise > 1e-9 * np.abs(moments))).any(axis=1))
    if len(wrong):
        coefficients[wrong] = _best_subset(grams[wrong], moments[wrong], ridge)
    gain = (2 * coefficients * moments).sum(axis=1)
    gain -= (coefficients * (grams @ coefficients[:, :, None])[:, :, 0]).sum(axis=1)
    return gain, coefficients


def _best_subset(grams: FloatArray, moments: FloatArray, ridge: float) -> FloatArray:
    """The plain optimum on the subset of columns that explains most without a negative one."""
    n_problems, width = moments.shape
    subsets = np.array(list(product([False, True], repeat=width)))
    free = np.tile(subsets, (n_problems, 1))
    grams, moments = (np.repeat(a, len(subsets), axis=0) for a in (grams, moments))
    right = np.where(free, moments, 0.0)
    found = np.linalg.solve(_held(grams, free, ridge), right[:, :, None])[:, :, 0]
    gain = np.where((found >= 0).all(axis=1), (found * right).sum(axis=1), -np.inf)
    best = gain.reshape(n_problems, -1).argmax(axis=1)
    return found.reshape(n_problems, -1, width)[np.arange(n_problems), best]


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
    return fit_power_sums(xs, y, weights[None, :])[0]


def fit_power_sums(xs: list[FloatArray], y: FloatArray, weights: FloatArray) -> list[PowerSum]:
    """Fit the same rows under several weightings at once, as :func:`fit_power_sum` does one.

    Parameters
    ----------
    xs, y
        As there.
    weights : ndarray, shape (R, n)
        Weights of the squared residuals, not negative. A bootstrap's are how often it drew a row.

    Returns
    -------
    list of PowerSum
        One for each weighting.
    """
    projection = _Projection(xs, y, weights)
    everyone = np.arange(len(weights))
    coarse = np.geomspace(0.03, 4.0, 12 if len(xs) < 3 else 8)
    starts = projection.starts(everyone, [coarse] * len(xs), count=2 if len(xs) < 3 else 3)
    exponents, objective = _best_descents(projection, everyone, *starts)
    # Of three exponents, one can hide the basins of the others from a coarse grid. Hold each in
    # turn where it was found and search the others more finely, while that finds something lower.
    searched = everyone
    for _ in range(3 if len(xs) > 2 else 0):
        starts = _finer_starts(projection, searched, exponents)
        found, lower = _best_descents(projection, searched, *starts)
        better = lower < objective[searched] * (1 - 1e-9)
        searched = searched[better]
        if not len(searched):
            break
        exponents[searched], objective[searched] = found[better], lower[better]
    exponents, objective = _descend(projection.evaluate_exactly, everyone, exponents, 50, len(y))
    coefficients = projection.coefficients(exponents)
    scales = np.array([term.log_scale for term in projection.terms])
    return [
        PowerSum(float(c[0]), c[1:] * np.exp(e * scales), e, float(value), projection.evaluations)
        for c, e, value in zip(coefficients, exponents, objective, strict=True)
    ]


def _finer_starts(
    projection: _Projection, which: IntArray, exponents: FloatArray
) -> tuple[IntArray, FloatArray]:
    """Starts on fine grids of two exponents, the third held where it was found."""
    fine = np.geomspace(0.02, 4.5, 20)
    owners, starts = [], []
    for r in which:
        for held in range(exponents.shape[1]):
            axes = [fine] * exponents.shape[1]
            axes[held] = exponents[r, held : held + 1]
            owner, start = projection.starts(np.array([r]), axes, count=2)
            owners.append(owner)
            starts.append(start)
    return np.concatenate(owners), np.concatenate(starts)


def _best_descents(
    projection: _Projection, which: IntArray, owners: IntArray, starts: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Follow every start a few steps and the best two of each weighting to the bottom."""
    rows = 0 if projection.tabled else len(projection.y)
    exponents, objective = _descend(projection.evaluate, owners, starts, 5, rows)
    order = np.lexsort((objective, owners))
    rank = np.arange(len(order)) - np.searchsorted(owners[order], owners[order])
    kept = order[rank < 2]
    owners, starts = owners[kept], exponents[kept]
    exponents, objective = _descend(projection.evaluate, owners, starts, 100, rows)
    best = np.array([np.flatnonzero(owners == r)[objective[owners == r].argmin()] for r in which])
    return exponents[best], objective[best]


def _descend(
    evaluate: Evaluate, which: IntArray, exponents: FloatArray, steps: int, rows: int
) -> tuple[FloatArray, FloatArray]:
    """Damped Newton steps on the exponents, clipped to their range.

    ``rows`` is how many rows of the data one evaluation lays out, 0 where it needs none.
    """
    exponents, objective = exponents.copy(), np.empty(len(which))
    everyone = np.arange(len(which))
    for part in parts_of(everyone, 1 + 3 * exponents.shape[1] * max(rows, 100)):
        exponents[part], objective[part] = _descend_together(
            evaluate, which[part], exponents[part], steps
        )
    return exponents, objective


def _descend_together(
    evaluate: Evaluate, which: IntArray, exponents: FloatArray, steps: int
) -> tuple[FloatArray, FloatArray]:
    low, high = EXPONENT_RANGE
    objective, gradient, hessian = evaluate(which, exponents)
    damping = np.full(len(which), 1e-3)
    at_work = np.arange(len(which))
    for _ in range(steps):
        e, g = exponents[at_work], gradient[at_work]
        free = ~(((e <= low) & (g > 0)) | ((e >= high) & (g < 0)))
        g = np.where(free, g, 0.0)
        # The absolute eigenvalues turn steps towards a saddle into steps away from it.
        held = hessian[at_work] * (free[:, :, None] & free[:, None, :])
        values, vectors = np.linalg.eigh(held)
        values = np.abs(values)
        values = np.maximum(values, 1e-14 * values.max(axis=1, keepdims=True) + 1e-300)
        along = (vectors.swapaxes(1, 2) @ g[:, :, None])[:, :, 0]
        along /= values * (1 + damping[at_work, None])
        step = (vectors @ along[:, :, None])[:, :, 0]
        trial = np.clip(e - np.clip(step, -0.7, 0.7), low, high)
        moved = np.abs(trial - e).max(axis=1)
        moving = moved >= 1e-12
        at_work, trial, moved = at_work[moving], trial[moving], moved[moving]
        if not len(at_work):
            break
        lower, trial_gradient, trial_hessian = evaluate(which[at_work], trial)
        gained = objective[at_work] - lower
        good = gained >= 0
        taken = at_work[good]
        exponents[taken], objective[taken] = trial[good], lower[good]
        gradient[taken], hessian[taken] = trial_gradient[good], trial_hessian[good]
        settled = good & (gained <= 1e-14 * lower) & (moved < 1e-6)
        stuck = ~good & (damping[at_work] > 1e9)
        damping[at_work] = np.where(
            good, damping[at_work] / 10, np.maximum(10 * damping[at_work], 1.0)
        )
        at_work = at_work[~(settled | stuck)]
        if not len(at_work):
            break
    return exponents, objective
