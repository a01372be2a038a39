"""Least squares within bounds, by damped Gauss-Newton steps (Levenberg and Marquardt).

The sums over rows run in numpy's own loops, so the numbers do not depend on how many threads BLAS
has: a worker process has fewer than the process that started it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from t2lib._checks import FloatArray
from t2lib.fitting.projection import inner

# Residuals, shape (n,), and their Jacobian, shape (p, n), at parameters of shape (p,).
Evaluate = Callable[[FloatArray], tuple[FloatArray, FloatArray]]


@dataclass(frozen=True)
class Descent:
    """Where a search ended.

    Attributes
    ----------
    parameters : ndarray, shape (p,)
    objective : float
        Sum of squared residuals.
    jacobian : ndarray, shape (p, n)
    evaluations : int
    """

    parameters: FloatArray
    objective: float
    jacobian: FloatArray
    evaluations: int


def descend(
    evaluate: Evaluate,
    start: FloatArray,
    low: FloatArray,
    high: FloatArray,
    near: float = 1e-9,
    most: int = 300,
) -> Descent:
    """Minimise a sum of squared residuals from one start.

    Parameters
    ----------
    evaluate : callable
        Residuals and Jacobian.
    start, low, high : ndarray, shape (p,)
    near : float
        The search ends after a step shorter than this, relative to the parameters or to 1, and
        where steps no longer grow shorter, which is rounding.
    most : int
        Evaluations after which it ends anyway.

    Returns
    -------
    Descent

    References
    ----------
    Marquardt (1963).
    """
    v = np.clip(start, low, high)
    residuals, jacobian = evaluate(v)
    value = float(inner(residuals, residuals))
    damping, growth, before, evaluations = 1e-4, 3, np.inf, 1
    while evaluations < most and damping < 1e12:
        gradient = np.einsum("in,n->i", jacobian, residuals)
        normal = np.einsum("in,jn->ij", jacobian, jacobian)
        problem = v[None], gradient[None], normal[None], np.array([damping])
        step = damped_step(*problem, low, high, anew=True)
        moved = float((np.abs(step[0] - v) / (1 + np.abs(v))).max())
        trial, trial_jacobian = evaluate(step[0])
        found = float(inner(trial, trial))
        evaluations += 1
        # Close to the minimum the sum is level to rounding, the gradient is not.
        slack = 1e-12 * value if moved < 1e-5 else 0.0
        if not found <= value + slack:  # nor where a trial far outside is no number
            damping, growth = damping * growth, 2 * growth
            continue
        v, value, residuals, jacobian = step[0], found, trial, trial_jacobian
        if damping < 1e-2 and (moved < near or (moved < 1e-5 and moved > 0.5 * before)):
            break
        damping, growth, before = damping / 5, 3, moved
    return Descent(v, value, jacobian, evaluations)


def damped_step(
    v: FloatArray,
    gradient: FloatArray,
    normal: FloatArray,
    damping: FloatArray,
    low: FloatArray,
    high: FloatArray,
    *,
    anew: bool = False,
) -> FloatArray:
    """Where damped steps lead, for P problems; what is at a bound and pushed outwards is held.

    Parameters
    ----------
    v, gradient : ndarray, shape (P, p)
    normal : ndarray, shape (P, p, p)
        Gauss-Newton's matrix, or the Hessian, which may be indefinite.
    damping : ndarray, shape (P,)
        Relative to the diagonal of the normal matrix.
    low, high : ndarray, shape (p,)
    anew : bool
        What a step would take beyond a bound stops there. Whether the others are then solved for
        anew: in a narrow valley they would be far off without it.

    Returns
    -------
    ndarray, shape (P, p)
    """
    free = ~(((v <= low) & (gradient > 0)) | ((v >= high) & (gradient < 0)))
    damped = normal.copy()
    diagonal = np.einsum("pii->pi", damped)  # a view
    size = np.abs(diagonal)
    size = size + 1e-12 * size.sum(axis=1, keepdims=True) + 1e-300
    diagonal += damping[:, None] * size
    ends, pull = v, gradient
    while True:
        held = np.where(free[:, :, None] & free[:, None, :], damped, 0.0)
        np.einsum("pii->pi", held)[~free] = 1.0
        step = np.linalg.solve(held, np.where(free, pull, 0.0)[:, :, None])[:, :, 0]
        trial = np.where(free, v - step, ends)
        ends = np.minimum(np.maximum(trial, low), high)
        if not anew:
            return ends
        beyond = free & ((trial < low) | (trial > high))
        if not beyond.any():
            return ends
        free = free & ~beyond
        pull = gradient + np.einsum("pij,pj->pi", normal, np.where(free, 0.0, ends - v))
