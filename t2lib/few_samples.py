"""Pass@k from few samples: a forecast beyond the samples drawn, and where to draw more.

Both rest on one posterior. A question's p is 0 with chance z, else from Beta(a, b). What a, b and z
may be, given all questions' counts, is summed on a grid; what one question's p may be then has a
closed form. The priors are weak: log a is normal around 0 with standard deviation 1.5 (a is the
exponent with which failures fall in k: 0.05 to 20), pass@1 flat in its logit, and z is 0 with
chance one half, else flat between 0 and 1. Without that half, intervals would miss wherever every
question can be solved.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special

from t2lib import passk
from t2lib._checks import FloatArray, IntArray, at_least_one
from t2lib.fitting.beta import _counts

_LOG_A_WIDTH = 1.5  # standard deviation of the prior of log a
_BOX = ((-4.5, 4.5), (-25.0, 10.0), (0.0, 1.0))  # log a, logit of pass@1, z
_NODES = (21, 21, 11)
_PASSES = 4
_DROP = 12.0  # nats below the top at which the grid may end


def predict_pass_at_k(
    n: npt.ArrayLike,
    c: npt.ArrayLike,
    k: npt.ArrayLike,
    *,
    never: bool = True,
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Predict the pass@k of a task's questions, also beyond the samples drawn.

    Parameters
    ----------
    n, c : array_like, shape (questions,)
        Samples and right samples of each question of one checkpoint. n may differ, also where
        more was drawn because nothing was right so far. No question is dropped for c = 0.
    k : array_like, shape (K,) or a number
        Samples per question to predict at, 1 or more.
    never : bool
        Whether a share of questions may have p = 0.
    level : float
        Coverage of the interval, between 0 and 1.
    draws, seed : int
        Draws from the posterior, and their seed.

    Returns
    -------
    DataFrame, indexed by k
        ``value`` (the posterior's median), ``low`` and ``high``: pass@k of these same questions.

    Raises
    ------
    ValueError
        Where a value is not valid, c > n, or no sample (or every one) is right.

    References
    ----------
    Kazdan et al. (2025), arXiv:2510.05197, for the Beta-binomial; Verine et al. (2026),
    "Estimating Pass@k from Fewer Samples with Hierarchical Bayesian Priors", for the questions'
    posterior and the share at 0. The priors are this book's.

    Examples
    --------
    >>> right = [0] * 20 + [1] * 6 + [2, 2, 3, 9]
    >>> predict_pass_at_k([50] * 30, right, 5000).round(1).loc[5000].to_dict()
    {'value': 0.8, 'low': 0.4, 'high': 1.0}
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level:g}: must be between 0 and 1")
    if draws < 1:
        raise ValueError(f"draws is {draws}: must be at least 1")
    k, rng = np.atleast_1d(at_least_one(k)), np.random.default_rng(seed)
    n, c = _counts(n, c)
    found = _Posterior.of(n, c, never).drawn(draws, rng)
    p = rng.beta(found.a[:, None] + c, found.b[:, None] + (n - c))
    p[rng.random(p.shape) < found.dead(n, c)] = 0.0
    with np.errstate(divide="ignore"):
        log_wrong = np.log1p(-p)
    passes = np.stack([-np.expm1(one * log_wrong).mean(axis=1) for one in k])
    tails = [0.5, (1 - level) / 2, (1 + level) / 2]
    value, low, high = np.quantile(passes, tails, axis=1)
    index = pd.Index(k, name="k")
    return pd.DataFrame({"value": value, "low": low, "high": high}, index=index)


def sampling_plan(
    n: npt.ArrayLike,
    c: npt.ArrayLike,
    more: int,
    *,
    k: float,
    never: bool = True,
    draws: int = 200,
    seed: int = 0,
) -> IntArray:
    """Share further samples among a task's questions so that its pass@k gets known best.

    Neyman's allocation: a question's samples in all in proportion to the standard deviation that
    one sample gives its pass@k, ``s^2 = E[k^2 (1 - p)^(2k - 2) p (1 - p)]`` over the posterior of
    its p. Questions that have more than that already get none.

    Parameters
    ----------
    n, c : array_like, shape (questions,)
        As :func:`~t2lib.predict_pass_at_k`: a pilot, the same number for every question.
    more : int
        Samples to share out, 0 or more.
    k : float
        Samples per question of the pass@k that is wanted, 1 or more.
    never, draws, seed
        As :func:`~t2lib.predict_pass_at_k`.

    Returns
    -------
    ndarray of int, shape (questions,)
        Further samples of each question; their sum is ``more``.

    Raises
    ------
    ValueError
        As :func:`~t2lib.predict_pass_at_k`, or where ``more`` is negative or not whole.

    References
    ----------
    Kazdan et al. (2025), arXiv:2510.05197, who too spend more on hard questions, by another rule.

    Examples
    --------
    >>> sampling_plan([50] * 4, [0, 1, 5, 20], 100, k=1000).tolist()
    [98, 2, 0, 0]
    """
    if more < 0 or more != int(more):
        raise ValueError(f"more is {more:g}: must be a whole number, 0 or more")
    k = float(at_least_one(k))
    n, c = _counts(n, c)
    found = _Posterior.of(n, c, never).drawn(draws, np.random.default_rng(seed))
    cells, place = np.unique(np.stack([n, c], axis=1), axis=0, return_inverse=True)
    a, b = found.a[:, None] + cells[:, 1], found.b[:, None] + (cells[:, 0] - cells[:, 1])
    log_square = special.betaln(a + 1, b + 2 * k - 1) - special.betaln(a, b)
    with np.errstate(divide="ignore"):
        log_square = log_square + np.log1p(-found.dead(*cells.T))
    log_square = special.logsumexp(log_square, axis=0)
    spread = np.exp((log_square - log_square.max()) / 2)[place.ravel()]
    return _whole_shares(_filled(n, spread, int(more)), int(more))


@dataclass(frozen=True)
class _Posterior:
    """Points (a, b, z) and their weights."""

    a: FloatArray
    b: FloatArray
    z: FloatArray
    weights: FloatArray

    @classmethod
    def of(cls, n: FloatArray, c: FloatArray, never: bool) -> _Posterior:
        """Sum the posterior: where all can be solved, and where some cannot, half a chance each."""
        cells, repeats = np.unique(np.stack([n, c], axis=1), axis=0, return_counts=True)
        grids = [_grid(cells, repeats, some) for some in ((False, True) if never else (False,))]
        log_a, logit, z, log_mass = (np.concatenate(parts) for parts in zip(*grids, strict=True))
        there = np.isfinite(log_mass)
        a, b = _shape(log_a[there], logit[there], z[there])
        weights = np.exp(log_mass[there] - log_mass.max())
        return cls(a, b, z[there], weights / weights.sum())

    def drawn(self, draws: int, rng: np.random.Generator) -> _Posterior:
        """Draw points by their weights."""
        pick = rng.choice(len(self.a), size=draws, p=self.weights)
        return _Posterior(self.a[pick], self.b[pick], self.z[pick], np.full(draws, 1 / draws))

    def dead(self, n: FloatArray, c: FloatArray) -> FloatArray:
        """Chance at each point (rows) that a question (columns) has p = 0."""
        log_none = -passk._log_gamma_ratio(self.b[:, None], self.a[:, None], n)
        z = self.z[:, None]
        return np.where(c == 0, z / (z + (1 - z) * np.exp(log_none)), 0.0)


def _grid(
    cells: FloatArray, repeats: npt.NDArray[np.int64], some: bool
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Points (log a, logit of pass@1, z) that close in on the posterior, and their log masses."""
    box = [list(ends) for ends in (_BOX if some else (*_BOX[:2], (0.0, 0.0)))]
    nodes = _NODES if some else (41, 41, 1)
    for _ in range(_PASSES):
        axes = [
            low + (high - low) * (np.arange(number) + 0.5) / number
            for (low, high), number in zip(box, nodes, strict=True)
        ]
        log_a, logit, z = (one.ravel() for one in np.meshgrid(*axes, indexing="ij"))
        steps = [(high - low) / len(axis) for (low, high), axis in zip(box, axes, strict=True)]
        # Without a share, all of its prior lies at 0: that axis has no width.
        log_mass = _log_posterior(log_a, logit, z, cells, repeats)
        log_mass += np.log([step for step in steps if step]).sum()
        near = log_mass > log_mass.max() - _DROP
        for ends, step, points in zip(box, steps, (log_a, logit, z), strict=True):
            ends[:] = (
                max(ends[0], points[near].min() - step),
                min(ends[1], points[near].max() + step),
            )
    return log_a, logit, z, log_mass


def _shape(log_a: FloatArray, logit: FloatArray, z: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Beta parameters of the questions that can be solved, NaN where pass@1 needs more of them."""
    a, mean = np.exp(log_a), special.expit(logit) / (1 - z)
    with np.errstate(divide="ignore", invalid="ignore"):
        return a, np.where(mean < 1, a * (1 - mean) / mean, np.nan)


def _log_posterior(
    log_a: FloatArray,
    logit: FloatArray,
    z: FloatArray,
    cells: FloatArray,
    repeats: npt.NDArray[np.int64],
) -> FloatArray:
    """Log of prior times likelihood at each point, but for a constant; -inf where there is none."""
    a, b = _shape(log_a, logit, z)
    total = -0.5 * (log_a / _LOG_A_WIDTH) ** 2
    start = special.betaln(a, b)
    for (n, c), number in zip(cells, repeats, strict=True):
        log = special.betaln(a + c, b + n - c) - start
        log = np.log(z + (1 - z) * np.exp(log)) if c == 0 else log + np.log1p(-z)
        total = total + number * log
    return np.where(np.isnan(total), -np.inf, total)


def _filled(n: FloatArray, spread: FloatArray, more: int) -> FloatArray:
    """Samples to add so that all those below a common level in n / spread reach it."""
    with np.errstate(divide="ignore"):
        full = n / spread
    order = np.argsort(full, kind="stable")
    drawn, total = np.cumsum(n[order]), np.cumsum(spread[order])
    levels = (more + drawn) / total
    # The level of the first j questions counts where it stays below that of the next one.
    last = int(np.flatnonzero(levels <= np.append(full[order][1:], np.inf))[0])
    return np.maximum(levels[last] * spread - n, 0.0)


def _whole_shares(shares: FloatArray, total: int) -> IntArray:
    """Round to whole numbers with this sum, the largest remainders up."""
    down = np.floor(shares).astype(np.int64)
    up = np.argsort(-(shares - down), kind="stable")[: total - int(down.sum())]
    down[up] += 1
    return down
