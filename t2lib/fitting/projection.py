"""Variable projection for sums of powers: ``y = c0 + sum_t c_t x_t^-e_t`` with all c, e >= 0.

For given exponents the model is linear, so the best coefficients are a non-negative least-squares
problem of a few columns: only the exponents need a search (Golub and Pereyra 1973). A grid over
the exponents finds the basins, Newton steps on the projected objective the minimum in each.

Several starts, and several weightings of the same rows (a bootstrap), are searched side by side:
arrays below have a first axis of R weightings, or of P problems, which are a weighting and a
start each. One fit is the case R = 1. Inner products over rows are arrays; what follows from them
is a small system for each problem, of which :mod:`t2lib.fitting.small` tells how it is solved.

A problem's numbers are the same to the last bit whatever else is in its batch. Sums therefore run
along the last axis of arrays in C order, in numpy's own loops: a BLAS product sums in an order
that depends on shape, layout and number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, reduce
from itertools import combinations
from math import prod
from typing import Any

import numpy as np
from scipy import optimize

from t2lib._checks import FloatArray, IntArray, distinct
from t2lib.fitting.small import (
    Factored,
    Matrix,
    Number,
    Vector,
    chosen,
    clipped,
    dot,
    downhill,
    joined,
    larger,
    least_squares,
    non_negative,
    regrouped,
    some,
    split,
)

# What is known at some exponents: sum of squares, its gradient and Hessian, best coefficients.
_Known = list[Any]
# That of each group of problems, of these weightings at these exponents.
_Evaluate = Callable[[IntArray, FloatArray], list[_Known]]

# Exponents of scaling laws lie around 0.1 to 1; one that runs to the end of this range is reported.
EXPONENT_RANGE = (1e-3, 5.0)
# Grids of exponents, by number of terms, in which starts are looked for; and a finer one.
_COARSE = {terms: np.geomspace(0.03, 4.0, 12 if terms < 3 else 8) for terms in (1, 2, 3)}
_FINE = np.geomspace(0.02, 4.5, 20)
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
        levels, self.rows = distinct(x)
        # Relative to the geometric mean a coefficient is the size of its term in the middle of
        # the data, which keeps the columns of the design matrix comparable.
        logs = np.log(levels)
        self.log_scale = float(logs.mean())
        self.log_levels = logs - self.log_scale

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

    Inner products are of functions in this order: y (or the residuals), the constant, then all
    powers, all slopes (first derivatives by the exponents), all bends (second ones).
    """

    def __init__(self, xs: list[FloatArray], y: FloatArray, weights: FloatArray) -> None:
        self.terms = [_Term(x) for x in xs]
        self.weights = np.ascontiguousarray(weights)
        self.y = np.broadcast_to(y, weights.shape)
        self.square = inner(self.weights, y * y)
        self.evaluations = 0
        terms = len(xs)
        self.own = [slice(2 + t, None, terms) for t in range(terms)]
        sizes = [len(term.log_levels) for term in self.terms]
        # Scaling-law data repeat few sizes, budgets and k. Where the tables of pairs of levels
        # are smaller than the rows, every inner product comes from them, at a fraction of a pass.
        self.tabled = sum(a * b for a, b in combinations(sizes, 2)) <= len(y)
        self.totals = self.by_level(self.weights)
        self.moments = self.by_level(weights * y)
        if self.tabled:
            self.pairs = {
                (i, j): _tables(
                    self.terms[i].rows * sizes[j] + self.terms[j].rows,
                    weights,
                    (sizes[i], sizes[j]),
                )
                for i, j in combinations(range(len(sizes)), 2)
            }

    @cached_property
    def minus_logs(self) -> FloatArray:
        """Minus each variable's logarithm at each row, shape (terms, n)."""
        return np.stack([-t.log_levels[t.rows] for t in self.terms])

    def by_level(self, values: FloatArray) -> list[FloatArray]:
        """Sums over the rows of each term's levels, shapes (P, levels)."""
        return [_tables(t.rows, values, (len(t.log_levels),)) for t in self.terms]

    def _from_tables(
        self, which: IntArray, exponents: FloatArray, square: FloatArray, moments: list[FloatArray]
    ) -> FloatArray:
        """Inner products of all functions with one another, shape (P, 2 + 3 terms, 2 + 3 terms).

        Those of y, or of residuals in its place, come from its square and its sums by level.
        """
        terms = len(self.terms)
        products = np.empty((len(which), 2 + 3 * terms, 2 + 3 * terms))
        products[:, 0, 0] = square
        products[:, 0, 1] = products[:, 1, 0] = moments[0].sum(axis=1)
        products[:, 1, 1] = self.totals[0][which].sum(axis=1)
        blocks = [t.derivatives(e) for t, e in zip(self.terms, exponents.T, strict=True)]
        for i, (here, block) in enumerate(zip(self.own, blocks, strict=True)):
            weighted = block * self.totals[i][which][:, None, :]
            products[:, 0, here] = products[:, here, 0] = np.einsum("pil,pl->pi", block, moments[i])
            products[:, 1, here] = products[:, here, 1] = weighted.sum(axis=2)
            products[:, here, here] = np.einsum("pil,pjl->pij", weighted, block)
            for j in range(i + 1, terms):
                cross = self._across(i, j, which, block, blocks[j])
                products[:, here, self.own[j]] = cross
                products[:, self.own[j], here] = cross.swapaxes(1, 2)
        return products

    def _across(
        self, i: int, j: int, which: IntArray, one: FloatArray, other: FloatArray
    ) -> FloatArray:
        """Inner products of functions of two terms, from the table of their pairs of levels."""
        across = np.einsum("...lm,...jm->...jl", self.pairs[i, j][which], other)
        return np.einsum("...il,...jl->...ij", one, across)

    def _rows(self, which: IntArray, exponents: FloatArray) -> FloatArray:
        """y, the constant, powers, slopes and bends at each row, shape (P, 2 + 3 terms, n)."""
        terms = len(self.terms)
        rows = np.empty((len(which), 2 + 3 * terms, self.y.shape[1]))
        power, slope, bend = (rows[:, i : i + terms] for i in range(2, rows.shape[1], terms))
        rows[:, 0], rows[:, 1] = self.y[which], 1.0
        np.multiply(exponents[:, :, None], self.minus_logs, out=power)
        np.exp(power, out=power)
        np.multiply(power, self.minus_logs, out=slope)
        np.multiply(slope, self.minus_logs, out=bend)
        return rows

    def _from_rows(self, which: IntArray, rows: FloatArray) -> FloatArray:
        """As :meth:`_from_tables`, from each row; those of bends are left out."""
        weighted = rows[:, : 2 + 2 * len(self.terms)] * self.weights[which][:, None, :]
        return np.einsum("pin,pjn->pij", weighted, rows)

    def evaluate(self, which: IntArray, exponents: FloatArray) -> list[_Known]:
        """What is known at some exponents, for each group of problems.

        Parameters
        ----------
        which : ndarray of int, shape (P,)
            The weighting of each problem.
        exponents : ndarray, shape (P, terms)
        """
        self.evaluations += len(exponents)
        if self.tabled:
            moments = [of_level[which] for of_level in self.moments]
            products = self._from_tables(which, exponents, self.square[which], moments)
        else:
            products = self._from_rows(which, self._rows(which, exponents))
        return [_projected(each, None, len(self.terms)) for each in split(products)]

    def evaluate_exactly(self, which: IntArray, exponents: FloatArray) -> list[_Known]:
        """As :meth:`evaluate`, with the rows' own residuals, for the last steps.

        Inner products hold a sum of squares only to rounding of that of y, which is too little
        where a law fits almost perfectly.
        """
        self.evaluations += len(exponents)
        terms, weights = len(self.terms), self.weights[which]
        if self.tabled:
            rows = np.empty((len(which), 2 + terms, self.y.shape[1]))
            rows[:, 0], rows[:, 1] = self.y[which], 1.0
            for t, (term, e) in enumerate(zip(self.terms, exponents.T, strict=True)):
                rows[:, 2 + t] = term.powers(e)[:, term.rows]
        else:
            rows = self._rows(which, exponents)
        c = _least_squares(rows[:, : 2 + terms] * np.sqrt(weights)[:, None, :])
        # Residuals take the place of y.
        rows[:, 0] -= np.einsum("pi,pin->pn", joined(c), rows[:, 1 : 2 + terms])
        if self.tabled:
            weighted = weights * rows[:, 0]
            square, moments = inner(weighted, rows[:, 0]), self.by_level(weighted)
            products = self._from_tables(which, exponents, square, moments)
        else:
            products = self._from_rows(which, rows)
        return [_projected(*each, terms) for each in zip(split(products), c, strict=True)]

    def starts(
        self, which: IntArray, axes: list[FloatArray], count: int
    ) -> tuple[IntArray, FloatArray]:
        """The best points, apart from one another, of a grid of exponents the same for all."""
        sizes = [len(axis) for axis in axes]
        owners: list[int] = []
        starts: list[list[float]] = []
        for part in parts_of(which, prod(sizes) * (2 + len(sizes)) ** 2):
            for r, best in zip(part, _best_cells(*self._grid(part, axes), count), strict=True):
                owners += [r] * len(best)
                starts += [[axis[i] for axis, i in zip(axes, cell, strict=True)] for cell in best]
        return np.array(owners), np.array(starts)

    def _grid(self, which: IntArray, axes: list[FloatArray]) -> tuple[Matrix, Vector]:
        """Normal equations at every cell of a grid.

        Each number is an array by problem and axis of the grid, of length 1 along axes that do not
        matter to it: a power is on many cells, and so are its products with others.
        """
        terms = len(axes)
        sizes = [len(axis) for axis in axes]
        powers = [t.powers(axis) for t, axis in zip(self.terms, axes, strict=True)]
        gram: Matrix = [[0.0] * (1 + terms) for _ in range(1 + terms)]
        moment: Vector = [0.0] * (1 + terms)

        def on_grid(values: FloatArray, *along: int) -> FloatArray:
            return values.reshape(-1, *(sizes[t] if t in along else 1 for t in range(terms)))

        gram[0][0] = on_grid(self.totals[0][which].sum(axis=1))
        moment[0] = on_grid(self.moments[0][which].sum(axis=1))
        for i, power in enumerate(powers):
            total = self.totals[i][which]
            gram[0][1 + i] = gram[1 + i][0] = on_grid(np.einsum("pl,fl->pf", total, power), i)
            gram[1 + i][1 + i] = on_grid(np.einsum("pl,fl->pf", total, power * power), i)
            moment[1 + i] = on_grid(np.einsum("pl,fl->pf", self.moments[i][which], power), i)
            for j in range(i + 1, terms):
                if self.tabled:
                    cross = self._across(i, j, which, power, powers[j])
                else:
                    rows = [powers[t][:, self.terms[t].rows] for t in (i, j)]
                    weighted = rows[0] * self.weights[which][:, None, :]
                    cross = np.einsum("pin,jn->pij", weighted, rows[1])
                gram[1 + i][1 + j] = gram[1 + j][1 + i] = on_grid(cross, i, j)
        return gram, moment


def _tables(rows: IntArray, weights: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Sums of each weighting over the rows of a level or of a pair of levels, shape (R, ...)."""
    size = prod(shape)
    sums: FloatArray = np.array([np.bincount(rows, w, size) for w in weights], dtype=float)
    return sums.reshape(len(weights), *shape)


def parts_of(which: IntArray, numbers_each: int) -> Iterator[IntArray]:
    """Split problems so that each part holds no more numbers than fit into the caches."""
    step = max(1, _AT_ONCE // numbers_each)
    for start in range(0, len(which), step):
        yield which[start : start + step]


def _best_cells(gram: Matrix, moment: Vector, count: int) -> list[list[tuple[int, ...]]]:
    """The best cells of each weighting's grid, from its normal equations.

    A cell where plain least squares has a negative coefficient gains less than they say. Where the
    best of the others gain more all the same, it need not be known how much less.
    """
    plain = c, gains, _ = least_squares(gram, moment)
    negative = reduce(np.minimum, c) < 0
    sure = np.where(negative, -np.inf, gains)
    most = np.where(negative, gains, -np.inf).reshape(len(gains), -1).max(axis=1)
    best = [_apart(gain, count) for gain in sure]
    for cells, gain, bound in zip(best, sure, most, strict=True):
        if len(cells) < count or bound >= gain[cells[-1]]:
            return [_apart(gain, count) for gain in non_negative(gram, moment, plain)[1]]
    return best


def _apart(gain: FloatArray, count: int) -> list[tuple[int, ...]]:
    """The best cells of a grid that are no neighbours of one another."""
    left = gain.copy()
    chosen: list[tuple[int, ...]] = []
    while len(chosen) < count:
        best = tuple(int(i) for i in np.unravel_index(left.argmax(), left.shape))
        most = left[best]
        if most == -np.inf:
            break
        chosen.append(best)
        # Where a coefficient is 0 its exponent does nothing: equal gains are one start.
        left[left >= most * (1 - 1e-9)] = -np.inf
        left[tuple(slice(max(i - 1, 0), i + 2) for i in best)] = -np.inf
    return chosen


def inner(a: FloatArray, b: FloatArray) -> FloatArray:
    """Sum of products along the last axis, in an order that no other axis changes."""
    return np.asarray(np.multiply(a, b, order="C").sum(axis=-1))


def _projected(products: Matrix, c: Vector | None, terms: int) -> _Known:
    """Sum of squares; gradient and Hessian of half of it by the exponents; best coefficients.

    The coefficients follow the exponents, so the Hessian is the Schur complement of theirs.
    It keeps the second derivatives that Gauss-Newton leaves out: a law that does not fit has
    large residuals, and there Gauss-Newton crawls.

    Parameters
    ----------
    products : list of list of number
        Inner products in the order of :class:`_Projection`.
    c : list of number, optional
        The best coefficients where they are known: the products of y are then of residuals.
    terms : int

    Notes
    -----
    With G the Gram matrix of the constant and the powers p, slopes s, bends b and residuals r:
    the gradient is ``-c_t <r, s_t>``, the Hessian ``c_t c_u <s_t, s_u> - m_t' G^-1 m_u`` and on
    its diagonal ``- c_t <r, b_t>``, where ``m_t = c_t <p, s_t>``, less ``<r, s_t>`` at t's place.
    """
    basis, slope = products[1 : 2 + terms], 2 + terms
    gram = [row[1:slope] for row in basis]
    objective, residual = products[0][0], products[0][slope:]
    if c is None:
        c, gain, system = non_negative(gram, products[0][1:slope])
        objective = objective - gain
        for one, row in zip(c, basis, strict=True):
            residual = [r - one * p for r, p in zip(residual, row[slope:], strict=True)]
    else:
        # A coefficient held at 0 does not follow.
        system = Factored(gram, [chosen(value > 0, 0.0, np.inf) for value in c])
    gradient: Vector = []
    hessian: Matrix = []
    follow: Matrix = []  # solutions of L D z = m_t
    for t, own in enumerate(c[1:]):
        gradient.append(-own * residual[t])
        mixed = [own * row[slope + t] for row in basis]
        mixed[1 + t] = mixed[1 + t] - residual[t]
        values, shares = system.eliminate(mixed)
        follow.append(shares)
        row = products[slope + t][slope:]
        hessian.append([own * c[1 + u] * row[u] - dot(values, follow[u]) for u in range(t + 1)])
        hessian[t][t] = hessian[t][t] - own * residual[terms + t]
    for t, u in combinations(range(terms), 2):
        hessian[t].append(hessian[u][t])
    return [objective, gradient, hessian, c]


def _least_squares(columns: FloatArray) -> list[Vector]:
    """Coefficients of non-negative least squares, by modified Gram-Schmidt on the columns.

    With the target among them, here the first, that is as stable as Householder's reflections
    (Björck 1967). The columns, shape (P, 1 + w, n), are overwritten; the last is taken out of the
    others first. Each group of problems gets a list.
    """
    width = columns.shape[1]
    shares = np.zeros((len(columns), width, width))
    for i in range(width - 1, 0, -1):
        column, rest = columns[:, i, None, :], columns[:, :i]
        shares[:, i, : i + 1] = np.einsum("pn,pjn->pj", columns[:, i], columns[:, : i + 1])
        shares[:, i, :i] /= np.maximum(shares[:, i, i, None], 1e-300)
        rest -= shares[:, i, :i, None] * column
    coefficients = [_from_shares(each) for each in split(shares)]
    found = joined(coefficients)
    negative = np.flatnonzero((found < 0).any(axis=1))
    for p in negative:
        lengths = np.sqrt(np.einsum("ii->i", shares[p, 1:, 1:]))
        triangle = np.tril(shares[p, 1:, 1:], -1) + np.eye(width - 1)
        target = lengths * shares[p, 1:, 0]
        found[p] = optimize.nnls(lengths[:, None] * triangle, target)[0]
    return split(found) if len(negative) else coefficients


def _from_shares(shares: Matrix) -> Vector:
    """Coefficients from each column's shares in those before it, the target first."""
    c: Vector = []
    for row in shares[1:]:
        value = row[0]
        for one, share in zip(c, row[1:], strict=False):
            value = value - one * share
        c.append(value)
    return c


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
    xs: list[FloatArray],
    y: FloatArray,
    weights: FloatArray,
    near: FloatArray | None = None,
    *,
    exactly: bool = True,
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
    exactly : bool
        Whether the last steps take the rows' own residuals; a start for another search need not.

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
        projection, everyone, exponents, 50 if exactly else 0, 1e-10, exactly
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
    starts = projection.starts(everyone, [_COARSE[terms]] * terms, count=2 if terms < 3 else 3)
    exponents, objective = _best_descents(projection, everyone, *starts)
    # Of three exponents, one can hide the basins of the others from a coarse grid. Hold each in
    # turn where it was found and search the others more finely, while that finds something lower.
    searched = everyone
    for _ in range(3 if terms > 2 else 0):
        owners, places = _finer_starts(projection, searched, exponents)
        searched = np.unique(owners)
        if not len(searched):
            break
        found, lower = _best_descents(projection, searched, owners, places)
        better = lower < objective[searched] * (1 - 1e-9)
        searched = searched[better]
        exponents[searched], objective[searched] = found[better], lower[better]
    return exponents


def _finer_starts(
    projection: _Projection, which: IntArray, exponents: FloatArray
) -> tuple[IntArray, FloatArray]:
    """Starts on fine grids of two exponents, the third held where it was found.

    The cells around that place are left out: they lead to it again.
    """
    owners, starts = [np.zeros(0, dtype=int)], [exponents[:0]]
    for r in which:
        for held in range(exponents.shape[1]):
            axes = [_FINE] * exponents.shape[1]
            axes[held] = exponents[r, held : held + 1]
            owner, start = projection.starts(np.array([r]), axes, count=2)
            steps = np.abs(np.log(start / np.clip(exponents[r], _FINE[0], _FINE[-1])))
            elsewhere = steps.max(axis=1) > np.log(_FINE[1] / _FINE[0])
            owners.append(owner[elsewhere])
            starts.append(start[elsewhere])
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
    which is rounding. One that is not exact ends where its next step leads, if that is as short.
    """
    terms = exponents.shape[1]
    rows = 0 if projection.tabled and not exactly else projection.y.shape[1]
    evaluate = projection.evaluate_exactly if exactly else projection.evaluate
    ends = np.empty((len(which), 2 + 2 * terms))
    for part in parts_of(np.arange(len(which)), (2 + 3 * terms) * max(rows, 100)):
        ends[part] = _search(evaluate, which[part], exponents[part], steps, near, exactly)
    return ends[:, :terms], ends[:, terms], ends[:, terms + 1 :]


def _search(
    evaluate: _Evaluate,
    which: IntArray,
    start: FloatArray,
    steps: int,
    near: float,
    exactly: bool,
) -> FloatArray:
    """Where searches that go side by side end: exponents, sum of squares and coefficients."""
    ends = np.empty((len(which), 2 + 2 * start.shape[1]))
    places = np.arange(len(which))
    found = evaluate(which, start)
    searches = [_Search(e, known) for e, known in zip(split(start), found, strict=True)]
    for left in range(steps, -1, -1):
        for search in searches:
            search.step(near, exactly)
        if not left or some([search.ended for search in searches]):
            ends[places] = joined([search.end() for search in searches])
            going = np.flatnonzero(~np.array([search.ended for search in searches]).ravel())
            if not left or not len(going):
                break
            searches, places = regrouped(searches, len(places), going), places[going]
            which = which[going]
        found = evaluate(which, joined([search.trial for search in searches]))
        for search, known in zip(searches, found, strict=True):
            search.judge(known, near)
    return ends


@dataclass
class _Search:
    """A search or, with numbers that are arrays, many.

    Attributes
    ----------
    exponents : list of number
        The lowest place so far.
    known : list
        What is known there.
    damping : number
        Of the next step.
    before : number
        How long the last step would have been without damping.
    ended : number
        Whether it has.
    trial : list of number
        Where the next step leads.
    moved, undamped : number
        How long that is, and how long it would be without damping.
    """

    exponents: Vector
    known: _Known
    damping: Number = 1e-3
    before: Number = np.inf
    ended: Number = False
    trial: Vector = field(default_factory=list)
    moved: Number = 0.0
    undamped: Number = 0.0

    def step(self, near: float, exactly: bool) -> None:
        """Find the next trial."""
        objective, gradient, hessian, _ = self.known
        self.trial, expected = _newton(self.exponents, gradient, hessian, self.damping)
        self.moved = abs(self.trial[0] - self.exponents[0])
        for one, other in zip(self.trial[1:], self.exponents[1:], strict=True):
            self.moved = larger(self.moved, abs(one - other))
        self.undamped = self.moved * (1 + self.damping)
        self.ended = self.ended | (self.moved == 0)
        close = self.undamped < near
        if exactly:  # then another evaluation would tell nothing
            self.ended = self.ended | (close & (expected <= 1e-18 * objective))
        else:  # the next search starts there
            self.exponents = chosen(self.ended & close, self.trial, self.exponents)

    def end(self) -> Vector:
        """Exponents, sum of squares, coefficients."""
        return [*self.exponents, self.known[0], *self.known[3]]

    def judge(self, found: _Known, near: float) -> None:
        """Take the trial where it is lower."""
        # Close to the minimum the sum of squares is level to rounding, the gradient is not.
        slack = chosen(self.moved < 1e-4, 1e-12, 0.0) * self.known[0]
        gained = self.known[0] - found[0]
        good = gained >= -slack
        level = (self.undamped < 1e-4) & (self.undamped > 0.1 * self.before)
        crawls = (gained <= 1e-13 * found[0]) & (self.moved < 1e-3 * self.undamped)
        stuck = self.damping > 1e9
        self.ended = (self.undamped < near) | chosen(good, level | crawls, stuck)
        self.exponents = chosen(good, self.trial, self.exponents)
        self.known = chosen(good, found, self.known)
        self.before = chosen(good, self.undamped, self.before)
        self.damping = chosen(good, self.damping / 100, larger(10 * self.damping, 1.0))


def _newton(
    exponents: Vector, gradient: Vector, hessian: Matrix, damping: Number
) -> tuple[Vector, Number]:
    """Where a damped Newton step leads, and what a full one is expected to gain.

    What is at a bound and pushed outwards is held, and so is the exponent of a coefficient of 0.
    """
    low, high = EXPONENT_RANGE
    held: Vector = []
    for t, (x, slope) in enumerate(zip(exponents, gradient, strict=True)):
        outwards = chosen(slope > 0, x <= low, x >= high)
        held.append(chosen(outwards | (hessian[t][t] == 0), np.inf, 0.0))
    step = downhill(gradient, hessian, held)
    shares = [clipped(one / (1 + damping), -0.7, 0.7) for one in step]
    trial = [clipped(x - share, low, high) for x, share in zip(exponents, shares, strict=True)]
    return trial, dot(gradient, step)
