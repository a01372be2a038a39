"""The best model size, tokens and samples for a law and a budget.

Two budgets apart, as in the T2 paper: ``6 N D <= train_flops`` for training and
``2 N k <= inference_flops`` for each token at inference. A law gains from every FLOP, so both are
spent whole: ``D = train_flops / (6 N)``, ``k = inference_flops / (2 N)``, and N alone is free.

The search is one-dimensional in log N: a grid that finds every valley, a zoom into each of them,
and Newton steps at the bottom. It knows no data: it gives the law's own answer, however far that
lies from any model that was ever fitted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import optimize

from t2lib import passk
from t2lib.laws import AdditiveLaw, Chinchilla

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Metric = Literal["pass_at_k", "neg_log_pass", "loss"]

# The metrics that a law may have, the preferred first, and whether more is worse (1) or better.
_METRICS = {"pass_at_k": -1.0, "neg_log_pass": 1.0, "loss": 1.0}
# Grid step in log N. Laws bend over several units of log N, so no valley is narrower than this.
_STEP = 0.15
# Half-width in log N of the stencil of the last Newton steps.
_STENCIL = 5e-3


@dataclass(frozen=True)
class Allocation:
    """The best use of a budget.

    Attributes
    ----------
    N, D, k : float
        Parameters, training tokens, samples per question.
    metric : float
        The law's metric there.
    metric_name : {"pass_at_k", "neg_log_pass", "loss"}
        Which metric it is; pass@k is a share, the other two are in nats.
    at_bounds : tuple of str
        Ends of the allowed range of N at which the optimum lies. Empty: it lies inside.
    train_flops, inference_flops : float
        The budgets; ``inference_flops`` is None where there was none.
    """

    N: float
    D: float
    k: float
    metric: float
    metric_name: str
    at_bounds: tuple[str, ...]
    train_flops: float
    inference_flops: float | None

    @property
    def tokens_per_parameter(self) -> float:
        """Training tokens per parameter, D / N; 20 is the rule of thumb without inference."""
        return self.D / self.N

    @property
    def cost(self) -> dict[str, float]:
        """FLOPs that the plan spends: 6 N D on training, 2 N a token and sample, 2 N k in all."""
        return {
            "train_flops": 6 * self.N * self.D,
            "sample_flops_per_token": 2 * self.N,
            "inference_flops_per_token": 2 * self.N * self.k,
        }


def allocate(
    law: Any,
    *,
    train_flops: float,
    inference_flops: float | None = None,
    metric: Metric | None = None,
    whole_k: bool = False,
    n_range: tuple[float, float] | None = None,
) -> Allocation:
    """Find the best (N, D, k) for a law under a training and an inference budget.

    Parameters
    ----------
    law : object with a method ``pass_at_k``, ``neg_log_pass`` or ``loss``
        Any law of t2lib, or one's own. A law of the loss alone has no use for samples: its
        inference budget only forbids models too large to be sampled once.
    train_flops : float
        Training budget in FLOPs; ``D = train_flops / (6 N)``.
    inference_flops : float, optional
        Inference budget in FLOPs per token; ``k = inference_flops / (2 N)``. Without one, a
        single sample is drawn (k = 1).
    metric : {"pass_at_k", "neg_log_pass", "loss"}, optional
        What to make best; by default the first of these that the law has.
    whole_k : bool
        Whether k must be a whole number, the largest that the budget pays for. Whole numbers of
        samples are searched apart, each over its own interval of N; nothing is rounded.
    n_range : (float, float), optional
        Smallest and largest N allowed; by default from 1 on. N is also kept where the budgets pay
        for one token and one sample.

    Returns
    -------
    Allocation
        Within about 1e-9 in log N of the optimum, or 1e-7 where an end of the range is within
        1 % of it.

    Raises
    ------
    ValueError
        Where a budget is not positive and finite, no allowed N can be paid for, or the law lacks
        the metric.

    References
    ----------
    Roberts et al. (2026), arXiv:2604.01411, section 2, for the two budgets.

    Examples
    --------
    >>> law = Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)
    >>> plan = allocate(law, train_flops=1e21)
    >>> f"{plan.N:.4g}", f"{law.optimum(1e21)[0]:.4g}"
    ('1.824e+09', '1.824e+09')
    >>> allocate(law, train_flops=1e21, inference_flops=2e9).at_bounds
    ('N at its upper bound 1e+09',)
    """
    problem = _Problem.of(law, train_flops, inference_flops, metric, n_range)
    if problem.train.size != 1:
        raise ValueError("allocate takes one budget: frontier takes many")
    N, k = _solve(problem, whole_k)
    D = problem.tokens(N)
    return Allocation(
        N=float(N[0]),
        D=float(D[0]),
        k=float(k[0]),
        metric=float(problem.metric(N, D, k)[0]),
        metric_name=problem.metric_name,
        at_bounds=problem.at_bounds(N)[0],
        train_flops=float(problem.train[0]),
        inference_flops=None if problem.inference is None else float(problem.inference[0]),
    )


def frontier(
    law: Any,
    *,
    train_flops: npt.ArrayLike,
    inference_flops: npt.ArrayLike | None = None,
    metric: Metric | None = None,
    whole_k: bool = False,
    n_range: tuple[float, float] | None = None,
) -> pd.DataFrame:
    """Find the best (N, D, k) for each of many budgets.

    Parameters
    ----------
    law, metric, whole_k, n_range
        As in :func:`allocate`.
    train_flops, inference_flops : array_like
        Budgets as in :func:`allocate`; they broadcast.

    Returns
    -------
    DataFrame
        One row a budget: ``train_flops``, ``inference_flops`` (NaN without one), ``N``, ``D``,
        ``k``, ``tokens_per_parameter``, the metric under its own name, and ``at_bounds`` (text,
        empty where the optimum is inside the range of N).

    Raises
    ------
    ValueError
        As :func:`allocate`; the first budget that cannot be met is named.
    """
    problem = _Problem.of(law, train_flops, inference_flops, metric, n_range)
    N, k = _solve(problem, whole_k)
    table = problem.table(N, problem.tokens(N), k)
    table["at_bounds"] = ["; ".join(names) for names in problem.at_bounds(N)]
    return table


def isoflop_profile(
    law: Any,
    *,
    train_flops: npt.ArrayLike,
    inference_flops: npt.ArrayLike | None = None,
    N: npt.ArrayLike,
    metric: Metric | None = None,
) -> pd.DataFrame:
    """Evaluate a law at chosen model sizes that spend the same budgets.

    Parameters
    ----------
    law, metric
        As in :func:`allocate`.
    train_flops, inference_flops : array_like
        Budgets as in :func:`allocate`; they broadcast with N.
    N : array_like, positive
        Model sizes. For several budgets give these a new axis: ``budgets[:, None]``.

    Returns
    -------
    DataFrame
        One row an element of the broadcast: ``train_flops``, ``inference_flops``, ``N``, ``D``,
        ``k`` (not rounded), ``tokens_per_parameter`` and the metric under its own name.

    Raises
    ------
    ValueError
        Where a number is not positive and finite, a model costs more per token than the inference
        budget, or the law lacks the metric.
    """
    sizes = passk._positive(N, "N")
    given = [passk._positive(train_flops, "train_flops"), sizes]
    if inference_flops is not None:
        inference = passk._positive(inference_flops, "inference_flops")
        paid, wide = np.broadcast_arrays(2 * sizes <= inference * (1 + 1e-12), sizes)
        passk._require(paid, "N", wide, "2 N exceeds inference_flops, so no sample is paid")
        given.append(inference)
    train, sizes, *rest = (array.ravel() for array in np.broadcast_arrays(*given))
    problem = _Problem.of(law, train, rest[0] if rest else None, metric, n_range=None, check=False)
    return problem.table(sizes, problem.tokens(sizes), problem.samples(sizes))


def first_order_residual(law: Chinchilla | AdditiveLaw, allocation: Allocation) -> float:
    """Return the derivative of a sum of powers in log N along the budget line; 0 at an optimum.

    With D and k falling as N rises, ``-alpha A N^-alpha + beta B D^-beta + gamma G k^-gamma``;
    the last term only for the additive law under an inference budget.

    Parameters
    ----------
    law : Chinchilla or AdditiveLaw
    allocation : Allocation

    Returns
    -------
    float
        In nats per unit of log N.

    Raises
    ------
    ValueError
        For another kind of law.
    """
    budgets = allocation.train_flops, allocation.inference_flops
    return _slope(law, np.log(allocation.N), *budgets)


def first_order_optimum(
    law: Chinchilla | AdditiveLaw, *, train_flops: float, inference_flops: float | None = None
) -> float:
    """N at which the first-order condition of a sum of powers holds, by a root search.

    The sum is convex in log N, so there is at most one such N and it is the optimum: a check of
    :func:`allocate` by other means.

    Parameters
    ----------
    law : Chinchilla or AdditiveLaw
    train_flops, inference_flops : float
        As in :func:`allocate`. The bound ``2 N <= inference_flops`` is not kept.

    Returns
    -------
    float
        Parameters N.

    Raises
    ------
    ValueError
        For another kind of law, or where the condition has no root between 1e-60 and 1e90.
    """
    ends = np.log([1e-60, 1e90])
    slopes = [_slope(law, x, train_flops, inference_flops) for x in ends]
    if not slopes[0] < 0 < slopes[1]:
        raise ValueError("the law rises or falls with N throughout: it has no inner optimum")
    args = (train_flops, inference_flops)
    root = optimize.brentq(lambda x: _slope(law, x, *args), *ends, xtol=1e-14, rtol=1e-14)
    return float(np.exp(root))


def _slope(law: Any, log_N: float, train_flops: float, inference_flops: float | None) -> float:
    if not isinstance(law, Chinchilla | AdditiveLaw):
        raise ValueError(f"{type(law).__name__} is no sum of powers of N, D and k")
    N = np.exp(log_N)
    slope = law.beta * law.B * (train_flops / 6 / N) ** -law.beta
    slope -= law.alpha * law.A * N**-law.alpha
    if isinstance(law, AdditiveLaw) and inference_flops is not None:
        slope += law.gamma * law.G * (inference_flops / 2 / N) ** -law.gamma
    return float(slope)


@dataclass(frozen=True)
class _Problem:
    """Budgets (one row each), the range of N that they allow, and the law's metric."""

    metric_name: str
    metric: Callable[[FloatArray, FloatArray, FloatArray], FloatArray]
    train: FloatArray
    inference: FloatArray | None
    low: FloatArray
    high: FloatArray

    @classmethod
    def of(
        cls,
        law: Any,
        train_flops: npt.ArrayLike,
        inference_flops: npt.ArrayLike | None,
        metric: str | None,
        n_range: tuple[float, float] | None,
        check: bool = True,
    ) -> _Problem:
        name, function = _metric_of(law, metric)
        smallest, largest = _range_of(n_range)
        train = passk._positive(train_flops, "train_flops")
        if check:
            problem = f"it buys no token for any N from {smallest:g} on"
            passk._require(train / 6 >= smallest, "train_flops", train, problem)
        largest_here = np.minimum(train / 6, largest)  # one token at least
        inference = None
        if inference_flops is not None:
            inference = passk._positive(inference_flops, "inference_flops")
            if check:
                problem = f"2 N exceeds it for every N from {smallest:g} on: no sample is paid"
                passk._require(inference / 2 >= smallest, "inference_flops", inference, problem)
            largest_here = np.minimum(largest_here, inference / 2)  # one sample at least
            inference = np.broadcast_to(inference, largest_here.shape).ravel()
        train = np.broadcast_to(train, largest_here.shape).ravel()
        low = np.full(train.shape, smallest)
        return cls(name, function, train, inference, low, largest_here.ravel())

    def sizes(self, x: FloatArray, rows: Any = slice(None)) -> FloatArray:
        """N at log N = x; at an end of the range it is the end itself, to the last digit."""
        low, high = self.low[rows], self.high[rows]
        return np.where(x <= np.log(low), low, np.where(x >= np.log(high), high, np.exp(x)))

    def tokens(self, N: FloatArray, rows: Any = slice(None)) -> FloatArray:
        return self.train[rows] / 6 / N

    def samples(self, N: FloatArray, rows: Any = slice(None)) -> FloatArray:
        if self.inference is None:
            return np.ones_like(N)
        # Where 2 N is the whole budget, rounding must not push k below 1.
        return np.maximum(self.inference[rows] / 2 / N, 1.0)

    def badness(self, x: FloatArray, rows: IntArray, k: FloatArray | None = None) -> FloatArray:
        """What is minimised at log N = x, for the budgets ``rows``; shape as x."""
        N = self.sizes(x, rows)
        k = self.samples(N, rows) if k is None else np.broadcast_to(k, N.shape)
        return _METRICS[self.metric_name] * self.metric(N, self.tokens(N, rows), k)

    def at_bounds(self, N: FloatArray) -> list[tuple[str, ...]]:
        return [
            tuple(
                f"N at its {side} bound {bound:.6g}"
                for side, bound in (("lower", low), ("upper", high))
                if abs(np.log(size / bound)) < 1e-9
            )
            for size, low, high in zip(N, self.low, self.high, strict=True)
        ]

    def table(self, N: FloatArray, D: FloatArray, k: FloatArray) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "train_flops": self.train,
                "inference_flops": np.nan if self.inference is None else self.inference,
                "N": N,
                "D": D,
                "k": k,
                "tokens_per_parameter": D / N,
                self.metric_name: self.metric(N, D, k),
            }
        )


def _metric_of(law: Any, metric: str | None) -> tuple[str, Callable[..., FloatArray]]:
    has = [name for name in _METRICS if callable(getattr(law, name, None))]
    if not has:
        raise ValueError(f"{type(law).__name__} is no law: it has none of {', '.join(_METRICS)}")
    name = has[0] if metric is None else metric
    if name not in has:
        raise ValueError(f"{type(law).__name__} has no metric {name!r}: it has {', '.join(has)}")
    method = getattr(law, name)
    if name == "loss":
        return name, lambda N, D, k: method(N, D)
    return name, method


def _range_of(n_range: tuple[float, float] | None) -> tuple[float, float]:
    smallest, largest = (1.0, np.inf) if n_range is None else map(float, n_range)
    if not (0 < smallest < np.inf and smallest <= largest):
        raise ValueError(
            f"n_range is ({smallest:g}, {largest:g}): must be two positive sizes in rising order"
        )
    return smallest, largest


# ------------------------------------------------------------------------------- the search


def _solve(problem: _Problem, whole_k: bool) -> tuple[FloatArray, FloatArray]:
    """Best N and k for every budget."""
    rows, x = _valleys(problem)
    if whole_k and problem.inference is not None:
        return _solve_whole(problem, rows, x)
    best = _best_of_each_row(rows, problem.badness(x, rows), len(problem.train))
    N = problem.sizes(x[best])
    return N, problem.samples(N)


def _valleys(problem: _Problem) -> tuple[IntArray, FloatArray]:
    """Find every local minimum over log N: the row it belongs to, and where it lies."""
    low, high = np.log(problem.low), np.log(problem.high)
    n_points = int(np.ceil((high - low).max() / _STEP)) + 3
    grid = np.linspace(low, high, n_points, axis=1)
    every_row = np.broadcast_to(np.arange(len(low))[:, None], grid.shape)
    values = problem.badness(grid, every_row)
    bad = np.argwhere(np.isnan(values))
    if len(bad):
        N = np.exp(grid[tuple(bad[0])])
        raise ValueError(f"the law's {problem.metric_name} is not a number at N = {N:.4g}")
    walled = np.pad(values, ((0, 0), (1, 1)), constant_values=np.inf)
    # On a plateau only its first point counts.
    rows, columns = np.nonzero((values < walled[:, :-2]) & (values <= walled[:, 2:]))
    left = grid[rows, np.maximum(columns - 1, 0)]
    right = grid[rows, np.minimum(columns + 1, n_points - 1)]
    return rows, _bottom(lambda x, part: problem.badness(x, rows[part]), left, right)


def _bottom(
    badness: Callable[[FloatArray, IntArray], FloatArray], left: FloatArray, right: FloatArray
) -> FloatArray:
    """Minimise over [left, right], for each element apart.

    A zoom rather than Brent's method: all elements move at once, a minimum at an end is reached
    exactly, and a plateau does no harm. ``badness(x, which)`` takes x and each element's index.
    """
    which = np.arange(len(left))
    low, high, best = left, right, left
    done = len(left) == 0
    while not done:  # once at least: the better end of a narrow interval counts too
        points = np.linspace(low, high, 9, axis=1)
        values = badness(points, np.broadcast_to(which[:, None], points.shape))
        lowest = values.argmin(axis=1)
        best = points[which, lowest]
        low = points[which, np.maximum(lowest - 1, 0)]
        high = points[which, np.minimum(lowest + 1, 8)]
        done = (high - low).max() < 1e-7
    return _polish(badness, best, left, right)


def _polish(
    badness: Callable[[FloatArray, IntArray], FloatArray],
    x: FloatArray,
    left: FloatArray,
    right: FloatArray,
) -> FloatArray:
    """Take two Newton steps where the stencil fits between the ends.

    Values alone place a flat minimum to the square root of their rounding error; a derivative over
    a wide stencil places it to about 1e-10.
    """
    offsets = _STENCIL * np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    for _ in range(2):
        inside = np.flatnonzero((x + offsets[0] > left) & (x + offsets[-1] < right))
        if not inside.size:
            break
        points = x[inside, None] + offsets
        values = badness(points, np.broadcast_to(inside[:, None], points.shape))
        slope = values @ np.array([1.0, -8.0, 0.0, 8.0, -1.0]) / (12 * _STENCIL)
        bend = values @ np.array([-1.0, 16.0, -30.0, 16.0, -1.0]) / (12 * _STENCIL**2)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = np.where(bend > 0, -slope / bend, np.inf)
        x = x.copy()
        x[inside] += np.where(np.abs(step) < _STENCIL / 10, step, 0.0)
    return x


def _best_of_each_row(rows: IntArray, values: FloatArray, n_rows: int) -> IntArray:
    """Index of the least value of each row; every row has one."""
    order = np.lexsort((values, rows))
    return order[np.searchsorted(rows[order], np.arange(n_rows))]


def _solve_whole(problem: _Problem, rows: IntArray, x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Best N and k for every budget, k whole: each k has an interval of N to itself.

    The continuous problem bounds the whole one from below, so only the k whose interval reaches
    below the best whole plan known can hold a better one; they lie next to the valleys.
    """
    pairs = [
        (row, k)
        for row in range(len(problem.train))
        for k in _whole_k(problem, row, x[rows == row])
    ]
    row, k = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs], dtype=float)
    left, right = _interval(problem, row, k)
    at = _bottom(
        lambda y, part: problem.badness(y, row[part], k[part]), np.log(left), np.log(right)
    )
    best = _best_of_each_row(row, problem.badness(at, row, k), len(problem.train))
    return np.clip(np.exp(at[best]), left[best], right[best]), k[best]


def _interval(problem: _Problem, row: IntArray, k: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Range of N for which the budget pays for k samples and not for k + 1."""
    assert problem.inference is not None
    half = problem.inference[row] / 2
    return np.maximum(half / (k + 1), problem.low[row]), np.minimum(half / k, problem.high[row])


def _whole_k(problem: _Problem, row: int, valleys: FloatArray) -> list[float]:
    """Whole numbers of samples whose interval may hold the best plan of a budget."""
    assert problem.inference is not None
    half = problem.inference[row] / 2
    # Where a budget pays for exactly k samples, rounding must not make it k - 1.
    fewest = float(np.floor(half / problem.high[row] * (1 + 1e-12)))
    most = float(np.floor(half / problem.low[row] * (1 + 1e-12)))
    near = np.clip(np.floor(half / np.exp(valleys) * (1 + 1e-12)), fewest, most)
    known = np.unique(np.concatenate([near, np.minimum(near + 1, most)]))
    all_rows = np.full(known.shape, row)
    ends = np.log(_interval(problem, all_rows, known)[1])
    best = problem.badness(ends, all_rows, known).min()
    best -= 4 * np.finfo(float).eps * abs(best)  # rounding is no reason to search on
    found = set(known.tolist())
    for start in near:
        for direction, last in ((1.0, most), (-1.0, fewest)):
            found |= _while_better(problem, row, start, direction, last, best)
    return sorted(found)


def _while_better(
    problem: _Problem, row: int, start: float, direction: float, last: float, best: float
) -> set[float]:
    """Walk from ``start`` samples up or down while the continuous problem stays below ``best``."""
    found: set[float] = set()
    size = 8
    while start != last:
        k: FloatArray = start + direction * np.arange(1.0, size + 1.0)
        k = k[(k - last) * direction <= 0]
        part = np.full(k.shape, row)
        # The end of the interval that is nearer to the valley, where the walk came from.
        near_end = np.log(_interval(problem, part, k)[1 if direction > 0 else 0])
        better = problem.badness(near_end, part) < best
        n_better = len(k) if better.all() else int(better.argmin())
        found |= set(k[:n_better].tolist())
        if n_better < len(k):
            break
        start, size = float(k[-1]), 2 * size
    return found
