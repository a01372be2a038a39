"""Pass@k estimators, from counts and from likelihoods, and the Beta distribution's closed forms.

Two ways to know a question's chance ``p`` that one sample is right:

* counts: ``c`` of ``n`` samples were right (:func:`pass_at_k`);
* likelihood: the model gives the right answer ``p = exp(-nll)``
  (:func:`pass_at_k_from_nll`, :func:`neg_log_pass_from_nll`).

When the questions' ``p`` follow a Beta distribution, pass@k has a closed form
(:func:`beta_pass_at_k`), and -log pass@k an integral (:func:`beta_neg_log_pass`).

Everything here is exact to about ten digits or better where plain formulas lose them all:
``k`` up to 1e9, ``p`` down to 1e-300, Beta parameters from 1e-6 to 1e6.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from t2lib._checks import FloatArray, at_least_one, positive, require, whole

# Below this log p, log(1 - p) = -p to double precision.
_LOG_P_TINY = -37.0
# Stirling's series below is good to 1e-17 from here on; smaller arguments are shifted up to it.
_STIRLING_FROM = 12
_SHIFTS = np.arange(float(_STIRLING_FROM))
# Elements of the largest intermediate array (8 bytes each): what leaves the caches costs twice.
_BLOCK = 400_000


def pass_at_k(n: npt.ArrayLike, c: npt.ArrayLike, k: npt.ArrayLike) -> FloatArray:
    """Unbiased estimate of pass@k from ``c`` right answers among ``n`` samples.

    ``1 - C(n - c, k) / C(n, k)``: the share of all k-subsets of the samples that hold a right one.

    Parameters
    ----------
    n, c, k : array_like of whole numbers
        Samples drawn, samples that were right, samples allowed. They broadcast.

    Returns
    -------
    ndarray of float, the broadcast shape
        Pass@k of each question.

    Raises
    ------
    ValueError
        Where a value is not whole, ``k < 1``, ``c < 0``, ``c > n`` or ``k > n``: the estimator is
        undefined when more samples are allowed than were drawn.

    References
    ----------
    Chen et al. (2021), "Evaluating Large Language Models Trained on Code", equation 1.

    Examples
    --------
    >>> float(pass_at_k(10, 3, 1).round(12))
    0.3
    >>> pass_at_k(4, [0, 1, 4], 2).round(12).tolist()
    [0.0, 0.5, 1.0]
    """
    n, c, k = np.broadcast_arrays(whole(n, "n"), whole(c, "c"), whole(k, "k"))
    require(k >= 1, "k", k, "must be at least 1")
    require(c >= 0, "c", c, "must not be negative")
    require(c <= n, "c", c, "is larger than n, the number of samples")
    require(k <= n, "k", k, "is larger than n, the number of samples: pass@k is undefined there")
    left = n - c - k  # wrong samples that remain after a wrong k-subset; negative: there is none
    ratio = _log_gamma_ratio(np.maximum(left, 0) + 1.0, c, k)
    return np.where(left < 0, 1.0, -np.expm1(-ratio))


def pass_at_k_from_nll(nll: npt.ArrayLike, k: npt.ArrayLike) -> FloatArray:
    """Pass@k of a task from the negative log-likelihood of each question's right answer.

    The mean over questions of ``1 - (1 - exp(-nll))^k``.

    Parameters
    ----------
    nll : array_like, shape (..., questions)
        Negative log-likelihoods in nats, not negative.
    k : array_like, shape (K,) or a number
        Samples per question, at least 1; need not be whole.

    Returns
    -------
    ndarray, shape (..., K)
        Pass@k of each task. For a number ``k`` the last axis is dropped.

    Raises
    ------
    ValueError
        Where an nll is negative or NaN, there is no question, or ``k < 1``.

    Examples
    --------
    >>> pass_at_k_from_nll([0.0, np.log(2)], [1, 2]).tolist()
    [0.75, 0.875]
    """
    return _mean_over_questions(nll, k, _pass)


def neg_log_pass_from_nll(nll: npt.ArrayLike, k: npt.ArrayLike) -> FloatArray:
    """Mean over questions of -log pass@k, from negative log-likelihoods.

    It is the mean of the questions' logarithms, not the logarithm of the task's pass@k; by
    Jensen's inequality it is the larger of the two.

    Parameters
    ----------
    nll : array_like, shape (..., questions)
        Negative log-likelihoods in nats, not negative.
    k : array_like, shape (K,) or a number
        Samples per question, at least 1; need not be whole.

    Returns
    -------
    ndarray, shape (..., K)
        In nats. For a number ``k`` the last axis is dropped.

    Raises
    ------
    ValueError
        Where an nll is negative or NaN, there is no question, or ``k < 1``.

    Examples
    --------
    >>> neg_log_pass_from_nll([1.0, 3.0], 1).round(12).item()
    2.0
    """
    return _mean_over_questions(nll, k, _neg_log_pass)


def _mean_over_questions(
    nll: npt.ArrayLike, k: npt.ArrayLike, function: Callable[[FloatArray], FloatArray]
) -> FloatArray:
    """Mean over the last axis of a function of ``log(-k log(1 - p))``, block by block."""
    losses = np.asarray(nll, dtype=float)
    if losses.ndim == 0 or losses.shape[-1] == 0:
        raise ValueError("nll has no questions: its last axis must hold at least one")
    require(losses >= 0, "nll", losses, "must be a number of nats, 0 or more")
    log_k = np.log(at_least_one(k))
    # In C order, so that a question's mean is summed alike in a table of any layout.
    rows = np.ascontiguousarray(losses).reshape(-1, losses.shape[-1])
    out = np.empty((len(rows), log_k.size))
    step = max(1, _BLOCK // rows.shape[1])
    for start in range(0, len(rows), step):
        # The logarithm keeps its digits however small p is; adding log k never underflows.
        log_hazard = _log_hazard(rows[start : start + step])
        for column, shift in enumerate(log_k.ravel()):
            out[start : start + step, column] = function(log_hazard + shift).mean(axis=-1)
    return out.reshape(losses.shape[:-1] + log_k.shape)


def _pass(log_hazard: FloatArray) -> FloatArray:
    """``1 - (1 - p)^k`` from ``log(-k log(1 - p))``."""
    return -np.expm1(-np.exp(log_hazard))


def _neg_log_pass(log_hazard: FloatArray) -> FloatArray:
    """``-log(1 - (1 - p)^k)`` from ``log(-k log(1 - p))``."""
    return np.where(log_hazard < _LOG_P_TINY, -log_hazard, -_log1mexp(-np.exp(log_hazard)))


def _hazard(nll: FloatArray) -> FloatArray:
    """``-log(1 - p)`` for ``p = exp(-nll)``."""
    return -_log1mexp(-nll)


def _log_hazard(nll: FloatArray) -> FloatArray:
    """Logarithm of ``-log(1 - p)`` for ``p = exp(-nll)``; ``p = 1`` gives infinity."""
    with np.errstate(divide="ignore"):
        return np.where(-nll < _LOG_P_TINY, -nll, np.log(-_log1mexp(-nll)))


def _log1mexp(x: FloatArray) -> FloatArray:
    """Return ``log(1 - exp(x))`` for ``x <= 0`` with full relative precision."""
    with np.errstate(divide="ignore"):
        return np.where(x > -np.log(2), np.log(-np.expm1(x)), np.log1p(-np.exp(x)))


def beta_pass_at_k(a: npt.ArrayLike, b: npt.ArrayLike, k: npt.ArrayLike) -> FloatArray:
    """Pass@k of a task whose questions' p follow Beta(a, b).

    ``1 - E[(1 - p)^k] = 1 - B(a, b + k) / B(a, b)``.

    Parameters
    ----------
    a, b : array_like, positive
        Shape parameters: ``a`` rules the hard questions (p near 0), ``b`` the easy ones.
    k : array_like
        Samples per question, at least 1; need not be whole. All three broadcast.

    Returns
    -------
    ndarray of float, the broadcast shape

    Raises
    ------
    ValueError
        Where ``a`` or ``b`` is not positive and finite, or ``k < 1``.

    Examples
    --------
    >>> beta_pass_at_k(1.0, 1.0, [1, 3]).round(12).tolist()
    [0.5, 0.75]
    """
    a, b, k = np.broadcast_arrays(positive(a, "a"), positive(b, "b"), at_least_one(k))
    return -np.expm1(-_log_gamma_ratio(b, a, k))


def beta_mean_nll(a: npt.ArrayLike, b: npt.ArrayLike) -> FloatArray:
    """Mean of -log p for p ~ Beta(a, b): ``digamma(a + b) - digamma(a)``, in nats.

    Parameters
    ----------
    a, b : array_like, positive
        Shape parameters; they broadcast.

    Returns
    -------
    ndarray of float, the broadcast shape

    Raises
    ------
    ValueError
        Where ``a`` or ``b`` is not positive and finite.
    """
    a, b = np.broadcast_arrays(positive(a, "a"), positive(b, "b"))
    return _digamma_difference(a, b)


def beta_a_from_mean_nll(b: npt.ArrayLike, mean_nll: npt.ArrayLike) -> FloatArray:
    """Return the ``a`` for which Beta(a, b) has the given mean of -log p.

    Solves ``digamma(a + b) - digamma(a) = mean_nll`` by Newton's method in log a, for all
    elements at once. The left side falls from infinity to 0 as a grows, so the root is unique.

    Parameters
    ----------
    b : array_like, positive
        Second shape parameter.
    mean_nll : array_like, positive
        Mean negative log-likelihood in nats. Both broadcast.

    Returns
    -------
    ndarray of float, the broadcast shape
        With a relative residual in ``mean_nll`` of 1e-12 or less.

    Raises
    ------
    ValueError
        Where ``b`` or ``mean_nll`` is not positive and finite.
    """
    b, target = np.broadcast_arrays(positive(b, "b"), positive(mean_nll, "mean_nll"))
    return _beta_a(b, target)[0]


def _beta_a(
    b: FloatArray, target: FloatArray, near: FloatArray | None = None
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """As :func:`beta_a_from_mean_nll`, and what the mean falls by in a and rises by in b there.

    ``near`` are logarithms of a to begin at; one that is no number is not used.
    """
    # For small a the mean is near 1/a, for large a near log(1 + b/a): the sum of both inverses
    # starts close in each regime.
    with np.errstate(over="ignore"):
        log_a = np.log(np.minimum(1 / target, 1e150) + b / np.expm1(np.minimum(target, 700.0)))
    if near is not None:
        log_a = np.where(np.isfinite(near), near, log_a)
    settled = np.zeros(target.shape, dtype=bool)
    for _ in range(100):
        a = np.exp(log_a)
        mean, fall, rise = _mean_nll_and_slopes(a, b)
        step = np.log(mean / target) * mean / (a * fall)
        step = np.minimum(np.maximum(step, -2.0), 2.0)  # which numpy.clip takes longer for
        log_a = np.where(settled, log_a, log_a + step)
        # Steps shrink quadratically: after one of 1e-8 the rest is rounding, and the slopes before
        # it serve. Each element stops there by itself, so that its last digits do not depend on
        # the others.
        settled |= np.abs(step) < 1e-8
        if settled.all():
            break
    return np.exp(log_a), fall, rise


def beta_neg_log_pass(a: npt.ArrayLike, b: npt.ArrayLike, k: npt.ArrayLike) -> FloatArray:
    """Mean of -log(1 - (1 - p)^k) for p ~ Beta(a, b), in nats.

    The integrand is positive, so quadrature keeps its relative precision where the equivalent
    series ``sum_j B(a, b + j k) / (j B(a, b))`` needs millions of terms. The variable is the
    logit of p, stretched by ``sinh`` so that the trapezoidal rule reaches both the narrow peak of
    a large ``a`` and the long tail of a small one.

    Parameters
    ----------
    a, b : array_like, positive
        Shape parameters.
    k : array_like
        Samples per question, at least 1. All three broadcast.

    Returns
    -------
    ndarray of float, the broadcast shape
        Relative error below 1e-8 for a in [1e-2, 1e3], b in [1e-2, 1e4], k in [1, 1e6].

    Raises
    ------
    ValueError
        Where ``a`` or ``b`` is not positive and finite, or ``k < 1``.
    """
    a, b, k = np.broadcast_arrays(positive(a, "a"), positive(b, "b"), at_least_one(k))
    flat_a, flat_b, flat_k = a.ravel(), b.ravel(), k.ravel()
    out = np.empty(flat_a.size)
    step = _BLOCK // (4 * _NODES)
    for start in range(0, flat_a.size, step):
        part = slice(start, start + step)
        out[part] = _neg_log_pass_quadrature(flat_a[part], flat_b[part], flat_k[part])
    return out.reshape(a.shape)


_NODES = 240


def _neg_log_pass_quadrature(a: FloatArray, b: FloatArray, k: FloatArray) -> FloatArray:
    """Trapezoidal rule for one-dimensional, checked arrays of equal length."""
    # The integrand falls like exp(a u) to the left and exp(-(b + k) u) to the right.
    log_p, log_q, weight, step = _logit_nodes(a, b, b + k)
    k_log_q = k[:, None] * log_q
    # Where k log q rounds towards 0, -log(1 - q^k) is -(log p + log k).
    with np.errstate(divide="ignore"):
        loss = np.where(k_log_q > -1e-15, -(log_p + np.log(k)[:, None]), -_log1mexp(k_log_q))
    return (weight * loss).sum(axis=1) * step / (_NODES - 1)


def _logit_nodes(
    a: FloatArray, b: FloatArray, fall: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Nodes for an integral over Beta(a, b) whose integrand falls like exp(-fall u) to the right.

    Returns log p, log(1 - p) and weights, shape (n, nodes), and the length of the range of the
    stretched variable, which the weights lack.
    """
    tail = np.maximum(a, 1.0)
    center = np.log(tail / fall)
    width = np.minimum(1.0, np.sqrt(special.polygamma(1, tail) + special.polygamma(1, fall)))
    left = np.arcsinh(45.0 / (a * width) + 10.0)
    right = np.arcsinh(45.0 / (fall * width) + 10.0)
    share = np.linspace(0.0, 1.0, _NODES)
    t = -left[:, None] + (left + right)[:, None] * share
    logit = center[:, None] + width[:, None] * np.sinh(t)
    # Both logarithms of the logistic function share what is exponential in it.
    small = np.log1p(np.exp(-np.abs(logit)))
    log_p, log_q = np.minimum(logit, 0.0) - small, np.minimum(-logit, 0.0) - small
    log_density = a[:, None] * log_p + b[:, None] * log_q - special.betaln(a, b)[:, None]
    weight = np.exp(log_density) * width[:, None] * np.cosh(t)
    return log_p, log_q, weight, left + right


def beta_mean(
    a: FloatArray, b: FloatArray, function: Callable[[FloatArray, FloatArray], FloatArray]
) -> FloatArray:
    """Mean of a bounded, smooth function of p over Beta(a, b), by the same quadrature.

    Parameters
    ----------
    a, b : ndarray, shape (n,)
        Shape parameters, positive.
    function : callable
        Takes log p and log(1 - p), shape (n, nodes), and returns its values there.

    Returns
    -------
    ndarray, shape (n,)
    """
    log_p, log_q, weight, step = _logit_nodes(a, b, b)
    return np.asarray((weight * function(log_p, log_q)).sum(axis=1) * step / (_NODES - 1))


def beta_fail_at_k(a: npt.ArrayLike, b: npt.ArrayLike, k: npt.ArrayLike) -> FloatArray:
    """``1 - pass@k`` for p ~ Beta(a, b) without cancellation; k may be 0."""
    return np.exp(-_log_gamma_ratio(b, a, k))


def beta_mean_samples(a: npt.ArrayLike, b: npt.ArrayLike, k: npt.ArrayLike) -> FloatArray:
    """Mean number of samples until the first success, or k where there is none before.

    ``E[(1 - (1 - p)^k) / p] = (k (1 - pass@k) - (a + b - 1) pass@k) / (1 - a)`` for p ~ Beta(a, b),
    by summing ``1 - pass@j`` over j < k.

    Parameters
    ----------
    a, b : array_like, positive
        Shape parameters.
    k : array_like
        Most samples, at least 1; need not be whole. All three broadcast.

    Returns
    -------
    ndarray of float, the broadcast shape
        With a relative error below 1e-6.

    Examples
    --------
    >>> beta_mean_samples(2.0, 1.0, [1, 2]).round(12).tolist()  # 1 + the chance 1/3 of failing
    [1.0, 1.333333333333]
    """
    a, b, k = np.broadcast_arrays(positive(a, "a"), positive(b, "b"), at_least_one(k))
    # At a = 1 the fraction is 0 / 0: near it the line through both sides is taken.
    near = np.abs(a - 1) < _NEAR_ONE
    left = np.where(near, 1 - _NEAR_ONE, a)
    share = np.where(near, (a - left) / (2 * _NEAR_ONE), 0.0)
    mean = _mean_samples(left, b, k)
    if not near.any():
        return mean
    right = _mean_samples(np.where(near, 1 + _NEAR_ONE, a), b, k)
    return np.asarray((1 - share) * mean + share * right)


_NEAR_ONE = 1e-5


def _mean_samples(a: FloatArray, b: FloatArray, k: FloatArray) -> FloatArray:
    ratio = _log_gamma_ratio(b, a, k)
    return np.asarray((k * np.exp(-ratio) + (a + b - 1) * np.expm1(-ratio)) / (1 - a))


# Normal scores of the questions' difficulty at which the Beta's rivals are summed, and weights: the
# trapezoidal rule, which for a smooth function times the normal density is exact to rounding.
_SCORES = np.linspace(-9.0, 9.0, 145)
_WEIGHTS = np.exp(-(_SCORES**2) / 2)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()
# -log p of questions at losses (...) and scores (n): shape (..., n).
OfScores = Callable[[npt.ArrayLike, FloatArray], FloatArray]


def pass_of_scores(nll: OfScores, loss: npt.ArrayLike, k: npt.ArrayLike) -> FloatArray:
    """Pass@k where -log p is a function of the loss and a standard normal score.

    Parameters
    ----------
    nll : callable
        Takes losses and scores, returns -log p of shape ``losses.shape + scores.shape``.
    loss, k : array_like
        Mean negative log-likelihoods in nats, and samples; they broadcast.

    Returns
    -------
    ndarray of float, the broadcast shape
    """
    # Pass@k needs no logarithm of the hazard: where it underflows no question is solved.
    return _over_scores(nll, loss, k, _hazard, lambda hazard, k: -np.expm1(-k * hazard))


def neg_log_pass_of_scores(nll: OfScores, loss: npt.ArrayLike, k: npt.ArrayLike) -> FloatArray:
    """Mean negative log pass@k in nats, as :func:`pass_of_scores`."""
    return _over_scores(
        nll, loss, k, _log_hazard, lambda hazard, k: _neg_log_pass(hazard + np.log(k))
    )


def _over_scores(
    nll: OfScores,
    loss: npt.ArrayLike,
    k: npt.ArrayLike,
    of_nll: Callable[[FloatArray], FloatArray],
    function: Callable[[FloatArray, FloatArray], FloatArray],
) -> FloatArray:
    """Mean over scores, block by block; each loss's questions are computed once."""
    losses, samples = np.broadcast_arrays(np.asarray(loss, dtype=float), at_least_one(k))
    levels, rows = np.unique(losses.ravel(), return_inverse=True)
    samples, out = samples.ravel(), np.empty(losses.size)
    step = _BLOCK // (4 * len(_SCORES))
    for start in range(0, losses.size, step):
        part = slice(start, start + step)
        own, place = np.unique(rows[part], return_inverse=True)
        of_levels = of_nll(nll(levels[own], _SCORES))
        values = function(of_levels[place], samples[part, None])
        out[part] = (values * _WEIGHTS).sum(axis=1)
    return out.reshape(losses.shape)


def logit_mean_from_mean_nll(s: npt.ArrayLike, mean_nll: npt.ArrayLike) -> FloatArray:
    """Mean of the logit of p for which -log p has a given mean, the logit being normal.

    Newton's method on the logarithm of the mean of -log p, which is nearly a line in the logit's
    mean where p is close to 1; it starts where the logits would not scatter.

    Parameters
    ----------
    s : array_like, positive
        Standard deviation of the logit.
    mean_nll : array_like, positive
        In nats. Both broadcast.

    Returns
    -------
    ndarray of float, the broadcast shape
    """
    s, target = np.broadcast_arrays(positive(s, "s"), positive(mean_nll, "mean_nll"))
    middle = -(target + np.log(-np.expm1(-target)))
    settled = np.zeros(target.shape, dtype=bool)
    for _ in range(100):
        logit = middle[..., None] + s[..., None] * _SCORES
        small = np.exp(-np.abs(logit))
        mean = ((np.maximum(-logit, 0) + np.log1p(small)) * _WEIGHTS).sum(axis=-1)
        slope = (np.where(logit > 0, small, 1.0) / (1 + small) * _WEIGHTS).sum(axis=-1)
        step = np.clip(np.log(mean / target) * mean / slope, -3.0, 3.0)
        middle = np.where(settled, middle, middle + step)
        settled = settled | (np.abs(step) < 1e-8)  # quadratic: the next one is rounding
        if settled.all():
            break
    return middle


def _log_gamma_ratio(z: Any, a: Any, k: Any) -> FloatArray:
    """Return ``log[G(z) G(z + a + k) / (G(z + a) G(z + k))]`` (G: gamma function), 0 or more.

    Both closed forms of pass@k are ``1 - exp(-this)``. The difference of four log-gammas would
    lose every digit; here each term is of the size of the result. ``z`` below the range of
    Stirling's series is shifted up by the recurrence of the gamma function.
    """
    z, a, k = (np.asarray(value, dtype=float) for value in (z, a, k))
    ak = a + k

    def shifted(j: Any) -> FloatArray:
        x = z + j
        return np.asarray(a * (k / (x * (x + ak))))

    total = np.log1p(_grown(shifted, np.broadcast_shapes(z.shape, ak.shape)))
    z = z + _STIRLING_FROM
    s = z + a + k
    total = total - (z - 0.5) * np.log1p(a * (k / (s * z)))
    total = total + k * np.log1p(a / (z + k)) + a * np.log1p(k / (z + a))
    return total + (_stirling(s) - _stirling(z + k)) - (_stirling(z + a) - _stirling(z))


def _summed(shifted: Callable[[Any], FloatArray], shape: tuple[int, ...]) -> FloatArray:
    """Sum a recurrence's term over its shifts: side by side, or one by one.

    Side by side they cost a few calls instead of many, which counts for few elements only. Either
    way they are added from the first to the last: ``sum`` would pair those of a single element.
    """
    size = math.prod(shape)
    if size <= 1000:
        terms = shifted(_SHIFTS.reshape(-1, *(1,) * len(shape)))
        return terms.sum(axis=0) if size > 1 else np.add.accumulate(terms, axis=0)[-1]
    total = shifted(0.0)
    for j in range(1, _STIRLING_FROM):
        total += shifted(float(j))
    return total


def _grown(shifted: Callable[[Any], FloatArray], shape: tuple[int, ...]) -> FloatArray:
    """Product of 1 and a recurrence's positive term over its 12 shifts, less 1.

    One logarithm of it takes the place of twelve. Multiplied in the same order for few elements,
    side by side, and for many, as :func:`_summed` adds.
    """

    def both(x: FloatArray, y: FloatArray) -> FloatArray:
        return np.asarray(x + y + x * y)

    if math.prod(shape) <= 1000:
        terms = shifted(_SHIFTS.reshape(-1, *(1,) * len(shape)))
        half = both(terms[:6], terms[6:])
        first, second, third = both(half[:3], half[3:])
    else:
        first, second, third = (
            both(both(shifted(j), shifted(j + 6)), both(shifted(j + 3), shifted(j + 9)))
            for j in (0.0, 1.0, 2.0)
        )
    return both(both(first, second), third)


def _stirling(z: FloatArray) -> FloatArray:
    """Stirling's series: what log-gamma adds to ``(z - 1/2) log z - z + log(2 pi) / 2``."""
    i = 1.0 / (z * z)
    return (1 / 12 - i * (1 / 360 - i * (1 / 1260 - i * (1 / 1680 - i / 1188)))) / z


def _digamma_difference(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return ``digamma(a + b) - digamma(a)`` without cancellation, by Stirling's series."""

    def shifted(j: Any) -> FloatArray:
        x = a + j
        return np.asarray(b / (x * (x + b)))

    total = _summed(shifted, np.broadcast_shapes(a.shape, b.shape))
    a = a + _STIRLING_FROM
    s = a + b
    total = total + np.log1p(b / a) + b / (2 * a * s) + b * (a + s) / (12 * (a * s) ** 2)
    return total + _digamma_tail(s) - _digamma_tail(a)


def _digamma_tail(x: FloatArray) -> FloatArray:
    """Digamma's asymptotic series from its fourth term on."""
    i = 1.0 / (x * x)
    return i * i * (1 / 120 - i * (1 / 252 - i * (1 / 240 - i / 132)))


def _mean_nll_and_slopes(a: FloatArray, b: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return ``digamma(a + b) - digamma(a)``, what it falls by in a and what it rises by in b.

    Those are ``trigamma(a) - trigamma(a + b)``, without cancellation, and ``trigamma(a + b)``. All
    three come from the reciprocals of a and of a + b, shifted.
    """
    shape, a, b = a.shape, a.ravel(), b.ravel()

    def shifted(j: Any) -> FloatArray:
        x = a + j
        u, v = 1 / x, 1 / (x + b)
        terms = np.empty((*x.shape[:-1], 3, len(a)))
        terms[..., 0, :] = both = u * v
        terms[..., 1, :] = both * (u + v)
        terms[..., 2, :] = v * v
        return terms

    mean, fall, rise = _summed(shifted, a.shape)
    x = np.array([a, a + b]) + _STIRLING_FROM
    u, v = reciprocals = 1 / x
    both, added = u * v, u + v
    i = reciprocals * reciprocals
    digammas = i * i * (1 / 120 - i * (1 / 252 - i * (1 / 240 - i / 132)))
    trigammas = i * i * reciprocals * (-1 / 30 + i * (1 / 42 - i * (1 / 30 - i * 5 / 66)))
    mean = b * (mean + both * (0.5 + added / 12)) + np.log1p(b * u)
    fall = b * (fall + both * (1 + added / 2 + (added * added - both) / 6))
    rise = rise + v * (1 + v * (0.5 + v / 6)) + trigammas[1]
    mean, fall = mean + digammas[1] - digammas[0], fall + trigammas[0] - trigammas[1]
    return mean.reshape(shape), fall.reshape(shape), rise.reshape(shape)
