"""Variable projection for sums of powers: ``y = c0 + sum_t c_t x_t^-e_t`` with all c, e >= 0.

For given exponents the model is linear, so the best coefficients are a non-negative least-squares
problem of a few columns: only the exponents need a search (Golub and Pereyra 1973). A grid over
the exponents finds the basins, Newton steps on the projected objective the minimum in each.

Several starts, and several weightings of the same rows (a bootstrap), are searched side by side:
arrays below have a first axis of R weightings, or of P problems, which are a weighting and a
start each. One fit is the case R = 1.

A problem's numbers are the same to the last bit whatever else is in its batch. Sums therefore run
along the last axis of arrays in C order, in numpy's own loops: a BLAS product sums in an order
that depends on shape, layout and number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
from scipy import optimize

from t2lib._checks import BoolArray, FloatArray, IntArray

# Value, gradient and Hessian by the exponents, of these weightings at these exponents; and the
# best coefficients there.
Evaluate = Callable[[IntArray, FloatArray], tuple[FloatArray, FloatArray, FloatArray, FloatArray]]

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
        """One row for each exponent, shape (exponents, levels)."""
        return np.exp(np.multiply.outer(-exponents, self.log_levels))

    def derivatives(self, exponents: FloatArray) -> FloatArray:
        """Power and its first two derivatives by the exponent, shape (P, 3, levels)."""
        found = np.empty((len(exponents), 3, len(self.log_levels)))
        found[:, 0] = self.powers(exponents)
        found[:, 1] = found[:, 0] * -self.log_levels
        found[:, 2] = found[:, 1] * -self.log_levels
        return found


class _Projection:
    """The least sum of squares that is possible at given exponents, with two derivatives.

    Inner products with derivatives are ordered: the constant, then all powers, all slopes (first
    derivatives by the exponents), all bends (second ones).
    """

    def __init__(self, xs: list[FloatArray], y: FloatArray, weights: FloatArray) -> None:
        self.terms = [_Term(x) for x in xs]
        self.weights = np.ascontiguousarray(weights)
        self.y = np.broadcast_to(y, weights.shape)
        self.square = inner(self.weights, y * y)
        self.evaluations = 0
        terms = len(xs)
        self.design, self.slope = slice(0, 1 + terms), slice(1 + terms, 1 + 2 * terms)
        self.bend = slice(1 + 2 * terms, None)
        self.own = [slice(1 + t, None, terms) for t in range(terms)]
        sizes = [len(term.log_levels) for term in self.terms]
        # Scaling-law data repeat few sizes, budgets and k. Where the tables of pairs of levels
        # are smaller than the rows, every inner product comes from them, at a fraction of a pass.
        self.tabled = sum(a * b for a, b in combinations(sizes, 2)) <= len(y)
        self.totals = [_tables(t.rows, weights, (len(t.log_levels),)) for t in self.terms]
        self.moments = [_tables(t.rows, weights * y, (len(t.log_levels),)) for t in self.terms]
        if self.tabled:
            self.pairs = {
                (i, j): _tables(
                    self.terms[i].rows * sizes[j] + self.terms[j].rows,
                    weights,
                    (sizes[i], sizes[j]),
                )
                for i, j in combinations(range(len(sizes)), 2)
            }

    def gram(self, which: IntArray, blocks: list[FloatArray]) -> tuple[FloatArray, FloatArray]:
        """Inner products of the constant and of functions given by level, and theirs with y.

        Each term's block has shape (P, functions, levels); its functions stand at its own places.
        """
        if not self.tabled:
            matrix = self._rows(blocks)
            weighted = matrix * self.weights[which][:, None, :]
            return (
                np.einsum("...in,...jn->...ij", weighted, matrix),
                np.einsum("pin,pn->pi", weighted, self.y[which]),
            )
        width = 1 + sum(block.shape[-2] for block in blocks)
        gram, moment = np.empty((len(which), width, width)), np.empty((len(which), width))
        gram[:, 0, 0] = self.totals[0][which].sum(axis=1)
        moment[:, 0] = self.moments[0][which].sum(axis=1)
        for i, (here, block) in enumerate(zip(self.own, blocks, strict=True)):
            weighted = block * self.totals[i][which][:, None, :]
            gram[:, 0, here] = gram[:, here, 0] = weighted.sum(axis=2)
            gram[:, here, here] = np.einsum("...il,...jl->...ij", weighted, block)
            moment[:, here] = np.einsum("...il,...l->...i", block, self.moments[i][which])
            for j in range(i + 1, len(blocks)):
                cross = self._across(i, j, which, block, blocks[j])
                gram[:, here, self.own[j]] = cross
                gram[:, self.own[j], here] = cross.swapaxes(1, 2)
        return gram, moment

    def _across(
        self, i: int, j: int, which: IntArray, one: FloatArray, other: FloatArray
    ) -> FloatArray:
        """Inner products of functions of two terms, from the table of their pairs of levels."""
        across = np.einsum("...lm,...jm->...jl", self.pairs[i, j][which], other)
        return np.einsum("...il,...jl->...ij", one, across)

    def _rows(self, blocks: list[FloatArray]) -> FloatArray:
        """The constant and the functions at each row, shape (..., functions, n)."""
        width = 1 + sum(block.shape[-2] for block in blocks)
        matrix = np.empty((*blocks[0].shape[:-2], width, self.y.shape[1]))
        matrix[..., 0, :] = 1
        for block, term, here in zip(blocks, self.terms, self.own, strict=True):
            matrix[..., here, :] = block[..., term.rows]
        return matrix

    def _derivatives_by_level(self, exponents: FloatArray) -> list[FloatArray]:
        self.evaluations += len(exponents)
        return [t.derivatives(e) for t, e in zip(self.terms, exponents.T, strict=True)]

    def evaluate(
        self, which: IntArray, exponents: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Sum of squares, its gradient and Hessian, halved, by the exponents; best coefficients.

        The coefficients follow the exponents, so the Hessian is the Schur complement of theirs.
        It keeps the second derivatives that Gauss-Newton leaves out: a law that does not fit has
        large residuals, and there Gauss-Newton crawls.

        Parameters
        ----------
        which : ndarray of int, shape (P,)
            The weighting of each problem.
        exponents : ndarray, shape (P, terms)
        """
        gram, moment = self.gram(which, self._derivatives_by_level(exponents))
        design = self.design
        c = _non_negative(gram[:, design, design], moment[:, design], 1e-15)
        of_residuals = _times(gram[:, :, design], c) - moment
        gain = inner(c, moment[:, design] - of_residuals[:, design])
        return self.square[which] - gain, *self._derivatives(c, gram, of_residuals), c

    def evaluate_exactly(
        self, which: IntArray, exponents: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """As :meth:`evaluate`, with the rows' own residuals, for the last steps.

        Inner products hold a sum of squares only to rounding of that of y, which is too little
        where a law fits almost perfectly.
        """
        root = np.sqrt(self.weights[which])
        blocks = self._derivatives_by_level(exponents)
        powers, target = self._rows([block[:, :1] for block in blocks]), root * self.y[which]
        powers *= root[:, None, :]
        c = _least_squares(powers, target)
        residuals = np.einsum("pc,pcn->pn", c, powers) - target
        weighted = root * residuals
        of_residuals = np.empty((len(which), self.bend.start + len(blocks)))
        of_residuals[:, 0] = weighted.sum(axis=1)
        for term, block, here in zip(self.terms, blocks, self.own, strict=True):
            by_level = _tables(term.rows, weighted, (len(term.log_levels),))
            of_residuals[:, here] = np.einsum("pil,pl->pi", block, by_level)
        gram, _ = self.gram(which, blocks)
        return inner(residuals, residuals), *self._derivatives(c, gram, of_residuals), c

    def _derivatives(
        self, c: FloatArray, gram: FloatArray, of_residuals: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Gradient and Hessian of half the sum of squares by the exponents.

        ``of_residuals`` are the inner products with the residuals.
        """
        design, slope = self.design, self.slope
        own, inward = c[:, 1:], of_residuals[:, slope]
        diagonal = np.eye(own.shape[1])
        hessian = own[:, :, None] * own[:, None, :] * gram[:, slope, slope]
        hessian += (own * of_residuals[:, self.bend])[:, None, :] * diagonal
        mixed = gram[:, design, slope] * own[:, None, :]
        mixed[:, 1:] += inward[:, None, :] * diagonal
        # A coefficient held at 0 does not follow.
        active = c > 0
        mixed *= active[:, :, None]
        follow = _solved(gram[:, design, design], mixed, 1e-14, active)
        hessian -= np.einsum("pij,pik->pjk", mixed, follow)
        return own * inward, hessian

    def starts(
        self, which: IntArray, axes: list[FloatArray], count: int
    ) -> tuple[IntArray, FloatArray]:
        """The best points, apart from one another, of a grid of exponents the same for all."""
        sizes = [len(axis) for axis in axes]
        cells = np.indices(sizes).reshape(len(sizes), -1).T
        owners: list[int] = []
        chosen: list[list[float]] = []
        for part in parts_of(which, len(cells) * (2 + len(sizes)) ** 2):
            gains = _gains(*self._grid(part, axes), 1e-12).reshape(len(part), -1)
            for r, gain in zip(part, gains, strict=True):
                best = _apart(gain, cells, count)
                owners += [r] * len(best)
                chosen += [
                    [axis[i] for axis, i in zip(axes, cells[cell], strict=True)] for cell in best
                ]
        return np.array(owners), np.array(chosen, dtype=float)

    def _grid(self, which: IntArray, axes: list[FloatArray]) -> tuple[FloatArray, FloatArray]:
        """Normal equations at every cell of a grid, shapes (w, w, P cells) and (w, P cells).

        A power is on many cells, and so are its products with others: each is summed once.
        """
        terms = len(axes)
        sizes = [len(axis) for axis in axes]
        powers = [t.powers(axis) for t, axis in zip(self.terms, axes, strict=True)]
        gram = np.empty((1 + terms, 1 + terms, len(which), *sizes))
        moment = np.empty((1 + terms, len(which), *sizes))

        def on_grid(values: FloatArray, *along: int) -> FloatArray:
            """Values by problem and by these axes of the grid, to be broadcast over the others."""
            return values.reshape(-1, *(sizes[t] if t in along else 1 for t in range(terms)))

        gram[0, 0] = on_grid(self.totals[0][which].sum(axis=1))
        moment[0] = on_grid(self.moments[0][which].sum(axis=1))
        for i, power in enumerate(powers):
            total = self.totals[i][which]
            gram[0, 1 + i] = gram[1 + i, 0] = on_grid(np.einsum("pl,fl->pf", total, power), i)
            gram[1 + i, 1 + i] = on_grid(np.einsum("pl,fl->pf", total, power * power), i)
            moment[1 + i] = on_grid(np.einsum("pl,fl->pf", self.moments[i][which], power), i)
            for j in range(i + 1, terms):
                if self.tabled:
                    cross = self._across(i, j, which, power, powers[j])
                else:
                    rows = [powers[t][:, self.terms[t].rows] for t in (i, j)]
                    weighted = rows[0] * self.weights[which][:, None, :]
                    cross = np.einsum("pin,jn->pij", weighted, rows[1])
                gram[1 + i, 1 + j] = gram[1 + j, 1 + i] = on_grid(cross, i, j)
        return gram.reshape(1 + terms, 1 + terms, -1), moment.reshape(1 + terms, -1)


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


def inner(a: FloatArray, b: FloatArray) -> FloatArray:
    """Sum of products along the last axis, in an order that no other axis changes."""
    return np.asarray(np.multiply(a, b, order="C").sum(axis=-1))


def _times(matrices: FloatArray, vectors: FloatArray) -> FloatArray:
    return np.einsum("pij,pj->pi", matrices, vectors)


def _solved(
    matrices: FloatArray, right: FloatArray, ridge: float, free: BoolArray | None = None
) -> FloatArray:
    """Solve positive definite systems; what is not free is 0.

    Parameters
    ----------
    matrices, right : ndarray, shapes (P, w, w) and (P, w, m)
    ridge : float
        Share of its own size that each diagonal entry gains: it keeps nearly collinear columns
        solvable. A share of the trace would drown the small columns beside one at a steep exponent.
    free : ndarray of bool, shape (P, w), optional
        All are, by default.

    Returns
    -------
    ndarray, shape (P, w, m)
    """
    own = np.einsum("pii->pi", matrices)
    added = ridge * np.where(own > 0, own, 1.0)
    if free is None:
        held = matrices.copy()
    else:
        held, added = matrices * (free[:, :, None] & free[:, None, :]), np.where(free, added, 1.0)
        right = right * free[:, :, None]
    np.einsum("pii->pi", held)[...] += added
    return np.asarray(np.linalg.solve(held, right))


def _least_squares(design: FloatArray, target: FloatArray) -> FloatArray:
    """Non-negative least squares of each problem, by modified Gram-Schmidt on its columns.

    With the target as a last column that is as stable as Householder's reflections (Björck 1967).
    """
    width = design.shape[1]
    rows = np.concatenate([design, target[:, None, :]], axis=1)
    triangle = np.zeros((len(design), width, width + 1))
    for i in range(width):
        rest = rows[:, i + 1 :]
        length = np.sqrt(inner(rows[:, i], rows[:, i]))
        direction = rows[:, i] / np.maximum(length, 1e-300)[:, None]
        triangle[:, i, i] = length
        triangle[:, i, i + 1 :] = np.einsum("pn,pjn->pj", direction, rest)
        rest -= triangle[:, i, i + 1 :, None] * direction[:, None, :]
    found = triangle[:, :, width].copy()
    for i in range(width - 1, -1, -1):
        found[:, i] /= np.maximum(triangle[:, i, i], 1e-300)
        found[:, :i] -= triangle[:, :i, i] * found[:, i, None]
    for p in np.flatnonzero(~(found >= 0).all(axis=1)):
        found[p] = optimize.nnls(triangle[p, :, :width], triangle[p, :, width])[0]
    return found


def _non_negative(grams: FloatArray, moments: FloatArray, ridge: float) -> FloatArray:
    """Coefficients of non-negative least squares, shape (P, w), for a batch of normal equations."""
    coefficients = _solved(grams, moments[:, :, None], ridge)[:, :, 0]
    outside = np.flatnonzero((coefficients < 0).any(axis=1))
    if len(outside):
        problems = grams[outside], moments[outside]
        coefficients[outside] = _some_at_zero(coefficients[outside], *problems, ridge)
    return coefficients


def _gains(gram: FloatArray, moment: FloatArray, ridge: float) -> FloatArray:
    """Sum of squares that non-negative coefficients explain, problems last."""
    c = _non_negative(gram.transpose(2, 0, 1), moment.T, ridge).T
    width = range(len(c))
    return np.asarray(
        sum(c[i] * (2 * moment[i] - sum(gram[i, j] * c[j] for j in width)) for i in width)
    )


def _some_at_zero(
    coefficients: FloatArray, grams: FloatArray, moments: FloatArray, ridge: float
) -> FloatArray:
    """Non-negative coefficients where the plain ones, which are given, are not.

    Coefficients that come out negative are held at 0 until none is. Where that leaves one that
    would rather rise again, every subset of the columns is tried: they are few.
    """
    free = coefficients >= 0
    left = np.arange(len(moments))
    while len(left):
        found = _solved(grams[left], moments[left][:, :, None], ridge, free[left])[:, :, 0]
        coefficients[left] = found
        free[left] &= found >= 0
        left = left[(found < 0).any(axis=1)]
    rise = moments - _times(grams, coefficients)
    wrong = np.flatnonzero((~free & (rise > 1e-9 * np.abs(moments))).any(axis=1))
    if len(wrong):
        coefficients[wrong] = _best_subset(grams[wrong], moments[wrong], ridge)
    return coefficients


def _best_subset(grams: FloatArray, moments: FloatArray, ridge: float) -> FloatArray:
    """The plain optimum on the subset of columns that explains most without a negative one."""
    n_problems, width = moments.shape
    subsets = np.array(list(product([False, True], repeat=width)))
    free = np.tile(subsets, (n_problems, 1))
    grams, moments = (np.repeat(a, len(subsets), axis=0) for a in (grams, moments))
    found = _solved(grams, moments[:, :, None], ridge, free)[:, :, 0]
    gain = np.where((found >= 0).all(axis=1), inner(found, moments), -np.inf)
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


def fit_power_sums(
    xs: list[FloatArray], y: FloatArray, weights: FloatArray, near: FloatArray | None = None
) -> list[PowerSum]:
    """Fit the same rows under several weightings at once, as :func:`fit_power_sum` does one.

    Parameters
    ----------
    xs
        As there.
    y : ndarray, shape (n,) or (R, n)
        Targets, the same for all weightings or each with its own.
    weights : ndarray, shape (R, n)
        Weights of the squared residuals, not negative. A bootstrap's are how often it drew a row.
    near : ndarray, shape (R, terms), optional
        Exponents to search from, instead of from the basins of a grid.

    Returns
    -------
    list of PowerSum
        One for each weighting.
    """
    projection = _Projection(xs, y, weights)
    everyone = np.arange(len(weights))
    if near is not None:
        exponents = _descend(projection, everyone, near, 100, 1e-3)[0]
    else:
        exponents = _lowest_basins(projection, everyone)
    exponents, objective, coefficients = _descend(
        projection, everyone, exponents, 50, 1e-10, exactly=True
    )
    scales = np.array([term.log_scale for term in projection.terms])
    coefficients[:, 1:] *= np.exp(exponents * scales)
    return [
        PowerSum(float(c[0]), c[1:], e, float(value), projection.evaluations)
        for c, e, value in zip(coefficients, exponents, objective, strict=True)
    ]


def _lowest_basins(projection: _Projection, everyone: IntArray) -> FloatArray:
    """Exponents close to the lowest minimum of each weighting that grids lead to."""
    terms = len(projection.terms)
    coarse = np.geomspace(0.03, 4.0, 12 if terms < 3 else 8)
    starts = projection.starts(everyone, [coarse] * terms, count=2 if terms < 3 else 3)
    exponents, objective = _best_descents(projection, everyone, *starts)
    # Of three exponents, one can hide the basins of the others from a coarse grid. Hold each in
    # turn where it was found and search the others more finely, while that finds something lower.
    searched = everyone
    for _ in range(3 if terms > 2 else 0):
        starts = _finer_starts(projection, searched, exponents)
        found, lower = _best_descents(projection, searched, *starts)
        better = lower < objective[searched] * (1 - 1e-9)
        searched = searched[better]
        if not len(searched):
            break
        exponents[searched], objective[searched] = found[better], lower[better]
    return exponents


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
    """Follow every start to the bottom; return the lowest of each weighting."""
    exponents, objective, _ = _descend(projection, owners, starts, 100, 1e-3)
    best = np.array([np.flatnonzero(owners == r)[objective[owners == r].argmin()] for r in which])
    return exponents[best], objective[best]


def _descend(
    projection: _Projection,
    which: IntArray,
    exponents: FloatArray,
    steps: int,
    near: float,
    exactly: bool = False,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Damped Newton steps on the exponents, clipped to their range; where they end.

    A search ends at a step shorter than ``near``, undamped, or where steps no longer grow shorter,
    which is rounding.
    """
    exponents, objective = exponents.copy(), np.empty(len(which))
    coefficients = np.empty((len(which), 1 + exponents.shape[1]))
    rows = 0 if projection.tabled and not exactly else projection.y.shape[1]
    evaluate = projection.evaluate_exactly if exactly else projection.evaluate
    everyone = np.arange(len(which))
    for part in parts_of(everyone, 1 + 3 * exponents.shape[1] * max(rows, 100)):
        exponents[part], objective[part], coefficients[part] = _descend_together(
            evaluate, which[part], exponents[part], steps, near
        )
    return exponents, objective, coefficients


def _descend_together(
    evaluate: Evaluate, which: IntArray, exponents: FloatArray, steps: int, near: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    objective, gradient, hessian, coefficients = evaluate(which, exponents)
    damping, before = np.full(len(which), 1e-3), np.full(len(which), np.inf)
    at_work = np.arange(len(which))
    for _ in range(steps):
        trial = _newton(exponents[at_work], gradient[at_work], hessian[at_work], damping[at_work])
        moved = np.abs(trial - exponents[at_work]).max(axis=1)
        moving = moved > 0
        at_work, trial, moved = at_work[moving], trial[moving], moved[moving]
        if not len(at_work):
            break
        lower, *derivatives, trial_coefficients = evaluate(which[at_work], trial)
        # Close to the minimum the sum of squares is level to rounding, the gradient is not.
        slack = np.where(moved < 1e-4, 1e-12, 0.0) * objective[at_work]
        gained = objective[at_work] - lower
        good = gained >= -slack
        taken = at_work[good]
        exponents[taken], objective[taken] = trial[good], lower[good]
        gradient[taken], hessian[taken] = (of[good] for of in derivatives)
        coefficients[taken] = trial_coefficients[good]
        undamped = moved * (1 + damping[at_work])
        level = good & (undamped < 1e-4) & (undamped > 0.1 * before[at_work])
        crawls = good & (gained <= 1e-13 * lower) & (moved < 1e-3 * undamped)
        settled = (undamped < near) | level | crawls
        stuck = ~good & (damping[at_work] > 1e9)
        before[taken] = undamped[good]
        damping[at_work] = np.where(
            good, damping[at_work] / 100, np.maximum(10 * damping[at_work], 1.0)
        )
        at_work = at_work[~(settled | stuck)]
        if not len(at_work):
            break
    return exponents, objective, coefficients


def _newton(
    exponents: FloatArray, gradient: FloatArray, hessian: FloatArray, damping: FloatArray
) -> FloatArray:
    """Where a damped Newton step leads; what is at a bound and pushed outwards is held."""
    low, high = EXPONENT_RANGE
    outwards = np.where(gradient > 0, exponents <= low, exponents >= high)
    free = ~outwards
    # The absolute eigenvalues turn steps towards a saddle into steps away from it.
    values, vectors = np.linalg.eigh(hessian * (free[:, :, None] & free[:, None, :]))
    values = np.abs(values)
    values = np.maximum(values, 1e-14 * values.max(axis=1, keepdims=True) + 1e-300)
    along = np.einsum("pij,pi->pj", vectors, gradient * free) / (values * (1 + damping[:, None]))
    step = np.clip(_times(vectors, along), -0.7, 0.7)
    return np.clip(exponents - step, low, high)
