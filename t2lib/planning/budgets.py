"""Budgets, and the best (N, D, k) under each: the searches behind :mod:`t2lib.planning.forward`.

Two kinds. :class:`Apart`: one budget for training, one for a query. :class:`Lifetime`: one budget
for training and all queries together. Each object holds many budgets, one a row.

With k fixed only N is free: a search along a line. With k free, apart budgets still leave a line,
because k is what the query budget pays for. A lifetime budget leaves a surface: N, and the share of
the budget that training gets.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy import special

from t2lib._checks import FloatArray, IntArray
from t2lib.planning import search
from t2lib.planning.costs import Cost
from t2lib.planning.objective import Objective

Flops = Callable[[FloatArray], FloatArray]

# Where a budget pays for exactly k samples, rounding must not make it k - 1.
_ROUNDING = 1 + 1e-12
# Budgets searched at once on a surface: more of them would fill the memory with grids.
_BLOCK = 64


class Plans(NamedTuple):
    """Plans, an element each: the row that it belongs to, what it is, and how bad."""

    rows: IntArray
    N: FloatArray
    D: FloatArray
    k: FloatArray
    badness: FloatArray

    def best(self, n_rows: int) -> Plans:
        """Return the best plan of each row, the first among equals."""
        best = search.best_of_each_row(self.rows, self.badness, n_rows)
        rows, *columns = self
        return Plans(rows[best], *(column[best] for column in columns))


_NONE = Plans(np.zeros(0, dtype=int), *np.zeros((4, 0)))


@dataclass(frozen=True)
class Budget(ABC):
    """What both kinds share.

    Attributes
    ----------
    objective : Objective
    cost : Cost
    smallest, largest : ndarray, one a row
        Range of N allowed, whatever it costs.
    max_k : float
        Most samples allowed; may be infinite.
    """

    objective: Objective
    cost: Cost
    smallest: FloatArray
    largest: FloatArray
    max_k: float

    def __len__(self) -> int:
        return len(self.smallest)

    @abstractmethod
    def tokens(self, N: FloatArray, k: FloatArray, rows: IntArray) -> FloatArray:
        """Training tokens that are paid beside k samples a query; at least 1."""

    @abstractmethod
    def affordable(self, k: FloatArray, rows: IntArray) -> FloatArray:
        """Largest N allowed for which one token and k samples are paid."""

    @abstractmethod
    def solve(self, whole_k: bool) -> Plans:
        """Best plan of every row, in the order of rows."""

    @property
    def rows(self) -> IntArray:
        """Index of every row."""
        return np.arange(len(self))

    @cached_property
    def low(self) -> FloatArray:
        """Smallest N of each row."""
        return self.smallest

    @cached_property
    def high(self) -> FloatArray:
        """Largest N of each row that is allowed and paid."""
        return self.affordable(np.ones(len(self)), self.rows)

    def largest_paid(self, flops: Flops, budget: FloatArray, rows: IntArray) -> FloatArray:
        """Largest N allowed that a budget pays for; below ``low`` where none is."""
        return largest_size(flops, budget, self.low[rows], self.largest[rows])

    def sizes(self, x: FloatArray, rows: IntArray) -> FloatArray:
        """N at log N = x."""
        return _sizes(x, self.low[rows], self.high[rows])

    def samples(self, N: FloatArray, query_flops: FloatArray) -> FloatArray:
        """Samples that a budget for one query buys, between 1 and the most allowed."""
        one = self.cost.query_flops(N, 1.0)
        each = self.cost.query_flops(N, 2.0) - one
        with np.errstate(divide="ignore", invalid="ignore"):
            k = np.where(each > 0, 1 + (query_flops - one) / each, np.inf)
        return np.clip(k, 1.0, self.max_k)

    def with_numbers_of_samples(self, *numbers: float) -> Plans:
        """Locally best plans of every row with each of some numbers of samples a query."""
        k = np.repeat(numbers, len(self))
        return self.with_samples(np.tile(self.rows, len(numbers)), k)

    def with_samples(self, rows: IntArray, k: FloatArray) -> Plans:
        """Locally best plans with k samples a query, for each row whose budget pays for them."""
        low, high = self.low[rows], self.affordable(k, rows)
        paid = high >= low
        rows, k, low, high = rows[paid], k[paid], low[paid], high[paid]
        if not len(rows):
            return _NONE

        def plan(x: FloatArray, part: IntArray) -> Plans:
            N = _sizes(x, low[part], high[part])
            samples = np.broadcast_to(k[part], N.shape)
            D = self.tokens(N, samples, rows[part])
            badness = self.objective.badness(N, D, samples)
            return Plans(rows[part], N, D, samples, badness)

        part, x = search.valleys(lambda x, part: plan(x, part).badness, np.log(low), np.log(high))
        return plan(x, part)


@dataclass(frozen=True)
class Apart(Budget):
    """A budget for training, and one for each query or none (then k is 1).

    Attributes
    ----------
    train, query : ndarray, one a row
        FLOPs; ``query`` is None where there is none.
    """

    train: FloatArray
    query: FloatArray | None

    def tokens(self, N: FloatArray, k: FloatArray, rows: IntArray) -> FloatArray:
        """Training tokens; k does not matter."""
        return np.maximum(self.cost.tokens(N, self.train[rows]), 1.0)

    def affordable(self, k: FloatArray, rows: IntArray) -> FloatArray:
        """Largest N for which one token and k samples are paid, each from its budget."""
        trained = self.largest_paid(lambda N: self.cost.train_flops(N, 1.0), self.train[rows], rows)
        if self.query is None:
            return trained
        return np.minimum(trained, self.sampled(k, rows))

    def sampled(self, k: FloatArray, rows: IntArray) -> FloatArray:
        """Largest N for which k samples are paid."""
        assert self.query is not None
        return self.largest_paid(lambda N: self.cost.query_flops(N, k), self.query[rows], rows)

    def solve(self, whole_k: bool) -> Plans:
        """Best plan of every row."""
        if self.query is None:
            return self.with_numbers_of_samples(1.0).best(len(self))
        rows, x = search.valleys(self.badness, np.log(self.low), np.log(self.high))
        plans = _solve_whole(self, rows, x) if whole_k else self.along(x, rows)
        apart = [1.0] if self.objective.one_apart else []
        if np.isfinite(self.max_k) and not whole_k:  # the line has a kink where k reaches its most
            apart.append(self.max_k)
        if apart:
            plans = _joined(plans, self.with_numbers_of_samples(*apart))
        return plans.best(len(self))

    def along(self, x: FloatArray, rows: IntArray) -> Plans:
        """Plans at log N = x with the samples that the query budget pays for."""
        assert self.query is not None
        N = self.sizes(x, rows)
        k = self.samples(N, self.query[rows])
        D = self.tokens(N, k, rows)
        return Plans(rows, N, D, k, self.objective.smooth_badness(N, D, k))

    def badness(self, x: FloatArray, rows: IntArray) -> FloatArray:
        """What is minimised along the line."""
        return self.along(x, rows).badness


@dataclass(frozen=True)
class Lifetime(Budget):
    """One budget for training and Q queries: ``train_flops(N, D) + Q query_flops(N, k)``.

    A plan with free k is told by x = log N and y, how far the log odds of training's share lie
    below those of a plan with one sample. So y = 0 is k = 1, and both ends of the share, where
    training gets nearly nothing or nearly everything, are resolved alike.

    Attributes
    ----------
    total, queries : ndarray, one a row
        FLOPs, and the number of queries over the model's life.
    """

    total: FloatArray
    queries: FloatArray

    def tokens(self, N: FloatArray, k: FloatArray, rows: IntArray) -> FloatArray:
        """Training tokens that the queries leave."""
        left = self.total[rows] - self.queries[rows] * self.cost.query_flops(N, k)
        one = self.cost.train_flops(N, 1.0)
        return np.maximum(self.cost.tokens(N, np.maximum(left, one)), 1.0)

    def affordable(self, k: FloatArray, rows: IntArray) -> FloatArray:
        """Largest N for which one token and all queries are paid."""
        queries = self.queries[rows]
        return self.largest_paid(
            lambda N: self.cost.train_flops(N, 1.0) + queries * self.cost.query_flops(N, k),
            self.total[rows],
            rows,
        )

    def solve(self, whole_k: bool) -> Plans:
        """Best plan of every row."""
        most = np.floor(self.max_k) if whole_k else self.max_k
        if not self.objective.samples_matter or most == 1:
            return self.with_numbers_of_samples(1.0).best(len(self))
        dear = self.sample_flops > 0
        blocks = np.split(self.rows[dear], range(_BLOCK, dear.sum(), _BLOCK))
        free = _joined(*(self.free(rows) for rows in blocks))
        numbers = _neighbours(free) if whole_k else _ends(free, most)
        # Where samples are free, the most are best; a single one needs no verifier.
        single = self.rows if self.objective.one_apart else self.rows[~dear]
        numbers += [
            (single, np.ones(len(single))),
            (self.rows[~dear], np.full((~dear).sum(), most)),
        ]
        rows, k = (np.concatenate(part) for part in zip(*numbers, strict=True))
        rows, k = np.unique(np.stack([rows, k]), axis=1)
        plans = self.with_samples(rows[k <= most].astype(int), k[k <= most])
        return (plans if whole_k else _joined(free, plans)).best(len(self))

    @property
    def sample_flops(self) -> FloatArray:
        """FLOPs of one more sample for every query, at the smallest N."""
        query = self.cost.query_flops
        return self.queries * (query(self.low, 2.0) - query(self.low, 1.0))

    def free(self, rows: IntArray) -> Plans:
        """Locally best plans of some rows with any k from 1 on, the verifier always needed."""
        if not len(rows):
            return _NONE
        low, high = np.log(self.low[rows]), np.log(self.high[rows])

        def surface(x: FloatArray, y: FloatArray, part: IntArray) -> FloatArray:
            return self.at(x, y, rows[part]).badness

        def depth(x: FloatArray, part: IntArray) -> FloatArray:
            return self.depth(self.sizes(x, rows[part]), rows[part])

        part, x, y = search.basins(surface, low, high, depth)
        plans = self.at(x, y, rows[part])
        # A basin cut off by the range of N has its bottom at the end: there only y is free.
        cut = (x < low[part] + 1e-3) | (x > high[part] - 1e-3)
        if not cut.any():
            return plans
        ends = np.where(x < low[part] + 1e-3, self.low[plans.rows], self.high[plans.rows])
        return _joined(plans, self.at_size(ends[cut], plans.rows[cut]))

    def at_size(self, N: FloatArray, rows: IntArray) -> Plans:
        """Locally best plans with given sizes and any k, the verifier always needed."""

        def plan(y: FloatArray, part: IntArray) -> Plans:
            return self.at(np.broadcast_to(np.log(N)[part], y.shape), y, rows[part])

        ends = np.zeros(len(rows)), self.depth(N, rows)
        part, y = search.valleys(lambda y, part: plan(y, part).badness, *ends)
        return plan(y, part)

    def at(self, x: FloatArray, y: FloatArray, rows: IntArray) -> Plans:
        """Plans at log N = x and y."""
        N = self.sizes(x, rows)
        odds = self._log_odds_at_one_sample(N, rows) - np.minimum(y, self.depth(N, rows))
        total = self.total[rows]
        # Each share by its own formula: neither is lost where the other is nearly 1.
        train = np.maximum(total * special.expit(odds), self.cost.train_flops(N, 1.0))
        D = np.maximum(self.cost.tokens(N, train), 1.0)
        k = self.samples(N, total * special.expit(-odds) / self.queries[rows])
        return Plans(rows, N, D, k, self.objective.smooth_badness(N, D, k))

    def depth(self, N: FloatArray, rows: IntArray) -> FloatArray:
        """Largest y: training gets one token, or the queries get the most samples allowed."""
        total, one = self.total[rows], self.cost.train_flops(N, 1.0)
        least = _log_odds(one, total - one)
        if np.isfinite(self.max_k):
            most = self.queries[rows] * self.cost.query_flops(N, self.max_k)
            least = np.where(most < total - one, _log_odds(total - most, most), least)
        return np.maximum(self._log_odds_at_one_sample(N, rows) - least, 0.0)

    def _log_odds_at_one_sample(self, N: FloatArray, rows: IntArray) -> FloatArray:
        served = self.queries[rows] * self.cost.query_flops(N, 1.0)
        return _log_odds(self.total[rows] - served, served)


def _neighbours(free: Plans) -> list[tuple[IntArray, FloatArray]]:
    """Rows and whole numbers of samples next to free plans."""
    return [(free.rows, np.floor(free.k)), (free.rows, np.floor(free.k) + 1)]


def _ends(free: Plans, most: float) -> list[tuple[IntArray, FloatArray]]:
    """Rows and numbers of samples at the ends of the range of k, where free plans lie near them."""
    ends = []
    for end, near in ((1.0, free.k < 1.01), (most, free.k > 0.99 * most)):
        ends.append((free.rows[near], np.full(near.sum(), end)))
    return ends


def _joined(*plans: Plans) -> Plans:
    return Plans(*(np.concatenate(columns) for columns in zip(*plans, strict=True)))


def _log_odds(share: FloatArray, rest: FloatArray) -> FloatArray:
    """``log(share / rest)``, finite where rounding leaves one of them nothing."""
    tiny = np.finfo(float).tiny
    return np.log(np.maximum(share, tiny)) - np.log(np.maximum(rest, tiny))


def _sizes(x: FloatArray, low: FloatArray, high: FloatArray) -> FloatArray:
    """N at log N = x; at an end of the range it is the end itself, to the last digit."""
    return np.where(x <= np.log(low), low, np.where(x >= np.log(high), high, np.exp(x)))


def largest_size(flops: Flops, budget: FloatArray, low: FloatArray, high: FloatArray) -> FloatArray:
    """Largest N between two ends that a budget pays for, for FLOPs that grow with N.

    FLOPs in proportion to N are inverted at once, others by bisection; no N outside the ends is
    asked for. Below ``low`` where not even that is paid.
    """
    most = np.minimum(high, 1e90)
    all_paid = flops(most) <= budget
    guess = low * (budget / flops(low))
    paid = guess >= low
    inside = np.clip(guess, low, most)
    exact = all_paid | ~paid | (np.abs(flops(inside) / budget - 1) < 1e-13)
    if not exact.all():
        left, right = np.log(low), np.log(most)
        for _ in range(60):
            middle = (left + right) / 2
            enough = flops(np.clip(np.exp(middle), low, most)) <= budget
            left, right = np.where(enough, middle, left), np.where(enough, right, middle)
        inside = np.where(exact, inside, np.clip(np.exp(left), low, most))
    return np.where(all_paid, high, np.where(paid, inside, guess))


# ----------------------------------------------------- whole numbers of samples, apart budgets


def _solve_whole(budget: Apart, rows: IntArray, x: FloatArray) -> Plans:
    """Best plans of every row, k whole: each k has an interval of N to itself.

    The continuous problem bounds the whole one from below, so only the k whose interval reaches
    below the best whole plan known can hold a better one; they lie next to the valleys.
    """
    pairs = [(row, k) for row in budget.rows for k in _whole_k(budget, row, x[rows == row])]
    row, k = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs], dtype=float)
    left, right = _interval(budget, row, k)

    def plan(y: FloatArray, part: IntArray) -> Plans:
        N = np.clip(budget.sizes(y, row[part]), left[part], right[part])
        samples = np.broadcast_to(k[part], N.shape)
        D = budget.tokens(N, samples, row[part])
        badness = budget.objective.smooth_badness(N, D, samples)
        return Plans(row[part], N, D, samples, badness)

    at = search.bottom(lambda y, part: plan(y, part).badness, np.log(left), np.log(right))
    return plan(at, np.arange(len(row)))


def _interval(budget: Apart, rows: IntArray, k: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Range of N for which k samples are paid and k + 1 are not, or are not allowed."""
    low, high = budget.low[rows], budget.high[rows]
    left = np.where(k + 1 > budget.max_k, low, np.maximum(budget.sampled(k + 1, rows), low))
    right = np.minimum(budget.sampled(k, rows), high)
    return np.minimum(left, right), right


def _whole_k(budget: Apart, row: int, valleys: FloatArray) -> list[float]:
    """Whole numbers of samples whose interval may hold the best plan of a row."""
    assert budget.query is not None
    sizes = np.concatenate([budget.high[[row]], budget.low[[row]], np.exp(valleys)])
    paid = budget.samples(sizes, budget.query[np.full(sizes.shape, row)])
    fewest, most, *near = np.minimum(np.floor(paid * _ROUNDING), np.floor(budget.max_k))
    near = np.clip(near, fewest, most)
    known = np.unique(np.concatenate([near, np.minimum(near + 1, most)]))
    all_rows = np.full(known.shape, row)
    ends = np.log(_interval(budget, all_rows, known)[1])
    best = _with_k(budget, ends, all_rows, known).min()
    best -= 4 * np.finfo(float).eps * abs(best)  # rounding is no reason to search on
    found = set(known.tolist())
    for start in near:
        for direction, last in ((1.0, most), (-1.0, fewest)):
            found |= _while_better(budget, row, start, direction, last, best)
    return sorted(found)


def _with_k(budget: Apart, x: FloatArray, rows: IntArray, k: FloatArray) -> FloatArray:
    N = budget.sizes(x, rows)
    return budget.objective.smooth_badness(N, budget.tokens(N, k, rows), k)


def _while_better(
    budget: Apart, row: int, start: float, direction: float, last: float, best: float
) -> set[float]:
    """Walk from ``start`` samples up or down while the continuous problem stays below ``best``."""
    found: set[float] = set()
    size = 8
    while start != last:
        k: FloatArray = start + direction * np.arange(1.0, size + 1.0)
        k = k[(k - last) * direction <= 0]
        rows = np.full(k.shape, row)
        # The end of the interval that is nearer to the valley, where the walk came from.
        near_end = np.log(_interval(budget, rows, k)[1 if direction > 0 else 0])
        better = budget.badness(near_end, rows) < best
        n_better = len(k) if better.all() else int(better.argmin())
        found |= set(k[:n_better].tolist())
        if n_better < len(k):
            break
        start, size = float(k[-1]), 2 * size
    return found
