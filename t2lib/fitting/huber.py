"""Huber fits of the Chinchilla law's logarithm, several weightings of the same rows at once.

The sum of Huber losses is quadratic in small residuals and linear in large ones. Two damped steps
are tried at each turn and the lower kept: Newton's on the rows in the quadratic part, which ends
exactly, and that of iteratively reweighted least squares, which is sure from anywhere.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from t2lib._checks import FloatArray
from t2lib.fitting.descent import damped_step
from t2lib.fitting.projection import (
    EXPONENT_RANGE,
    PowerSum,
    fit_power_sums,
    inner,
    parts_of,
)

_LOW = np.array([0.0, 0.0, 0.0, EXPONENT_RANGE[0], EXPONENT_RANGE[0]])
_HIGH = np.array([np.inf, np.inf, np.inf, EXPONENT_RANGE[1], EXPONENT_RANGE[1]])
_STEPS = 400
# Turns without gain after which a search ends: damping may have to rise by decades first.
_PATIENCE = 8


def fit_huber_logs(
    N: FloatArray, D: FloatArray, loss: FloatArray, weights: FloatArray, delta: float
) -> tuple[FloatArray, FloatArray]:
    """Minimise ``sum_i w_i huber(log L(N_i, D_i) - log L_i)`` for each weighting.

    Parameters
    ----------
    N, D, loss : ndarray, shape (n,)
        Parameters, tokens and loss of each run.
    weights : ndarray, shape (R, n)
        Weights of the Huber losses, not negative.
    delta : float
        Where the Huber loss turns from quadratic to linear.

    Returns
    -------
    parameters : ndarray, shape (R, 5)
        E, A, B, alpha, beta.
    objective : ndarray, shape (R,)

    Notes
    -----
    The searches start at the optimum of squared residuals, and at that of squared relative
    residuals weighted down where they are large.

    References
    ----------
    Hoffmann et al. (2022), approach 3; Huber and Ronchetti (2009), "Robust Statistics", section
    7.8, for the two kinds of steps.
    """
    problem = _LogResiduals(N, D, loss, weights, delta)
    sums = fit_power_sums([N, D], loss, weights, exactly=False)
    first = problem.at_middle(sums)
    relative = np.abs(problem.residuals(first))
    robust = weights / loss**2 * np.minimum(1, delta / np.maximum(relative, 1e-300))
    second = problem.at_middle(fit_power_sums([N, D], loss, robust, exactly=False))
    v, value = problem.search(np.concatenate([first, second]))
    first_is_lower = value[: len(first)] <= value[len(first) :]
    best = np.where(first_is_lower, 0, len(first)) + np.arange(len(first))
    return problem.at_one(v[best]), value[best]


class _LogResiduals:
    """Log residuals of the law, its coefficients taken at the geometric mean of N and D.

    There they have the size of their terms, which keeps the problem well-scaled.
    """

    def __init__(
        self, N: FloatArray, D: FloatArray, loss: FloatArray, weights: FloatArray, delta: float
    ) -> None:
        self.middle_N, self.middle_D = np.log(N).mean(), np.log(D).mean()
        self.log_N, self.log_D = np.log(N) - self.middle_N, np.log(D) - self.middle_D
        self.log_loss, self.weights, self.delta = np.log(loss), weights, delta

    def at_middle(self, sums: list[PowerSum]) -> FloatArray:
        """Parameters of fitted sums of powers, shape (R, 5)."""
        v = np.array([[s.constant, *s.coefficients, *s.exponents] for s in sums])
        v[:, 1] *= np.exp(-v[:, 3] * self.middle_N)
        v[:, 2] *= np.exp(-v[:, 4] * self.middle_D)
        # With a zero coefficient its exponent has no gradient: start a little inside.
        v[:, :3] = np.maximum(v[:, :3], 1e-3 * v[:, :3].max(axis=1, keepdims=True))
        return v

    def at_one(self, v: FloatArray) -> FloatArray:
        """Coefficients back at N = D = 1."""
        v = v.copy()
        v[:, 1] *= np.exp(v[:, 3] * self.middle_N)
        v[:, 2] *= np.exp(v[:, 4] * self.middle_D)
        return v

    def _terms(self, v: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        # The limit only keeps a runaway trial finite; it is then refused for its value.
        term_N = np.exp(np.minimum(-v[:, 3:4] * self.log_N, 200.0))
        term_D = np.exp(np.minimum(-v[:, 4:5] * self.log_D, 200.0))
        model = v[:, 0:1] + v[:, 1:2] * term_N + v[:, 2:3] * term_D
        return np.maximum(model, 1e-100), term_N, term_D

    def residuals(self, v: FloatArray) -> FloatArray:
        """Predicted minus observed log loss, shape (P, n)."""
        return np.log(self._terms(v)[0]) - self.log_loss

    def parts(self, v: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Log residuals, shape (P, n), and their Jacobian, shape (P, 5, n)."""
        model, term_N, term_D = self._terms(v)
        slopes = np.empty((len(v), 5, len(self.log_loss)))
        slopes[:, 0], slopes[:, 1], slopes[:, 2] = 1.0, term_N, term_D
        slopes[:, 3] = -v[:, 1:2] * self.log_N * term_N
        slopes[:, 4] = -v[:, 2:3] * self.log_D * term_D
        slopes /= model[:, None, :]
        return np.log(model) - self.log_loss, slopes

    def _bend(self, hessian: FloatArray, pulls: FloatArray) -> None:
        """Add what the model's own second derivatives contribute: those with an exponent."""
        for c, e, log in ((1, 3, self.log_N), (2, 4, self.log_D)):
            mixed = -inner(pulls[:, c], log)
            hessian[:, c, e] += mixed
            hessian[:, e, c] += mixed
            hessian[:, e, e] -= inner(pulls[:, e], log)

    def search(self, v: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Follow each start to the bottom; there may be several for each weighting, in turn."""
        v, value = v.copy(), np.empty(len(v))
        which = np.arange(len(v)) % len(self.weights)
        # A trial far outside may overflow; it is then no lower, and refused.
        with np.errstate(over="ignore", invalid="ignore"):
            for part in parts_of(np.arange(len(v)), 30 * len(self.log_loss)):
                v[part], value[part] = self._search_together(v[part], self.weights[which[part]])
        return v, value

    def _search_together(self, v: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        ends, lowest = v.copy(), np.empty(len(v))
        value = inner(weights, special.huber(self.delta, self.residuals(v)))
        damping = np.full((2, len(v)), 1e-6)
        before = np.full(len(v), np.inf)
        quiet = np.zeros(len(v), dtype=int)
        at_work = np.arange(len(v))
        for _ in range(_STEPS):
            r, J = self.parts(v)
            pull = np.clip(r, -self.delta, self.delta)
            pulls = J * (weights * pull)[:, None, :]
            gradient = pulls.sum(axis=2)
            size = np.abs(r)
            # The model's own bend counts where Newton's steps are short: farther away it leads
            # astray as often as not. The logarithm's part of it is in the rows' shares.
            bend = ((before < 1e-2) & (damping[0] < 1e-4))[:, None]
            shares = np.empty((2, *r.shape))
            shares[0] = (size <= self.delta) - bend * pull
            shares[1] = self.delta / np.maximum(size, self.delta)
            normal = np.einsum("kpin,pjn->kpij", J * (weights * shares)[:, :, None, :], J)
            if bend.any():
                self._bend(normal[0], pulls * bend[:, None])
            places, slopes = (np.concatenate([each, each]) for each in (v, gradient))
            matrices, dampings = normal.reshape(-1, 5, 5), damping.ravel()
            trial = damped_step(places, slopes, matrices, dampings, _LOW, _HIGH)
            residuals = self.residuals(trial).reshape(shares.shape)
            found = inner(weights, special.huber(self.delta, residuals))
            newton, weighted = trial.reshape(2, *v.shape)
            damping = np.clip(damping * np.where(found < value, 0.1, 10.0), 1e-12, 1e12)
            moved = np.abs(newton - v).max(axis=1)
            # Close to the minimum the sum is level to rounding, the gradient is not.
            close = (moved < 1e-5) & (found[0] <= value * (1 + 1e-12))
            better = (found[0] < value) | close
            v = np.where(better[:, None], newton, v)
            start, value = value, np.where(better, found[0], value)
            better = (found[1] < value) & ~close
            v = np.where(better[:, None], weighted, v)
            value = np.where(better, found[1], value)
            level = start - value <= 1e-14 * value
            quiet = np.where(level, quiet + 1, 0)
            # Newton's steps shrink quadratically, unless they are damped or at rounding.
            last = (moved < 1e-7) & (damping[0] < 1e-4)
            settled = close & (last | (level & (moved > 0.5 * before)))
            before = moved
            going = ~settled & (quiet < _PATIENCE)
            if not going.all():
                ends[at_work], lowest[at_work] = v, value
                at_work, v, value, weights = (a[going] for a in (at_work, v, value, weights))
                before, quiet, damping = before[going], quiet[going], damping[:, going]
                if not len(v):
                    break
        ends[at_work], lowest[at_work] = v, value
        return ends, lowest
