"""Beta distributions of difficulty with questions that are never, or always, solved.

One checkpoint: :func:`fit_mixture`. A suite: :func:`fit_zero_inflated_counts`, where the share that
is never solved follows the loss. Both by maximum likelihood of counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

from t2lib import passk
from t2lib._checks import FloatArray
from t2lib.fitting.beta import (
    _CHINCHILLA,
    _LINK_BOUNDS,
    _chinchilla_bounds,
    _ConsistentShape,
    _count_input,
    _Counts,
    _counts,
    _named_bounds,
    fit_beta_consistent_counts,
)
from t2lib.fitting.powers import _flat
from t2lib.fitting.projection import EXPONENT_RANGE
from t2lib.fitting.result import Fit
from t2lib.laws import BetaConsistentLaw, Chinchilla, ZeroInflatedLaw
from t2lib.planning.support import Support

_MOST = 0.999  # of a share: something must be left to the Beta
_SHARE_BOUNDS = [(-30.0, 30.0), (-10.0, 10.0)]


# --------------------------------------------------------------------------------- one checkpoint


@dataclass(frozen=True)
class Mixture:
    """How p spreads over questions: a Beta, a share with p = 0 and a share with p = 1.

    Attributes
    ----------
    a, b : float
        Shape of the Beta.
    never, always : float
        Shares of all questions; 0 where they were not asked for.
    log_likelihood : float
        Of the counts it was fitted to, in nats.
    """

    a: float
    b: float
    never: float = 0.0
    always: float = 0.0
    log_likelihood: float = field(default=np.nan, compare=False)

    def pass_at_k(self, k: npt.ArrayLike) -> FloatArray:
        """Pass@k of a task with such questions; k at least 1."""
        rest = 1 - self.never - self.always
        return self.always + rest * passk.beta_pass_at_k(self.a, self.b, k)


def fit_mixture(
    n: npt.ArrayLike,
    c: npt.ArrayLike,
    *,
    never: bool | float = False,
    always: bool = False,
) -> Mixture:
    """Fit a Beta, with shares never or always solved, to one checkpoint's counts.

    Maximum likelihood: c is Beta-binomial, or 0, or n. Where the counts scatter no more than
    samples of a single p, a + b ends at its bound.

    Parameters
    ----------
    n, c : array_like, shape (questions,)
        Samples and right samples of each question; no question is dropped for c = 0.
    never, always : bool
        Which shares are fitted; a number for ``never`` is held, as a profile needs.

    Returns
    -------
    Mixture

    Raises
    ------
    ValueError
        Where a value is not valid, or all samples or none are right.
    """
    n, c = _counts(n, c)
    counts = _Counts(np.zeros(len(n), dtype=int), n, c)
    samples, right, repeats = counts.n, counts.c, counts.repeats.astype(float)
    zero, full = (right == 0).astype(float), (right == samples).astype(float)

    def value(v: FloatArray) -> tuple[float, FloatArray]:
        (a, b), z, w = np.exp(v[:2]), v[2], v[3]  # a share w of what is not never solved
        log_beta, by_a, by_b = counts.beta_binomial(np.array([a]), np.array([b]))
        beta = np.exp(log_beta)
        solved = (1 - w) * beta + w * full
        chance = z * zero + (1 - z) * solved
        # Where nothing is inflated the logarithm is the Beta-binomial's own: it does not underflow.
        plain = (z * zero == 0) & (w * full == 0)
        log = np.where(plain, np.log1p(-z) + np.log1p(-w) + log_beta, np.log(chance + plain))
        of_beta = np.where(plain, 1.0, (1 - z) * (1 - w) * beta / (chance + plain))
        by_z = np.where(plain & (zero == 0), -1 / (1 - z), (zero - solved) / (chance + 1e-300))
        by_w = np.where(
            plain & (full == 0), -1 / (1 - w), (1 - z) * (full - beta) / (chance + 1e-300)
        )
        slopes = np.stack([a * of_beta * by_a, b * of_beta * by_b, by_z, by_w])
        return -float(repeats @ log), -(slopes @ repeats)

    held = not isinstance(never, bool)
    of_never = (float(never), float(never)) if held else (0.0, _MOST if never else 0.0)
    ends = [(-25.0, 25.0)] * 2 + [of_never, (0.0, _MOST if always else 0.0)]
    options = {"ftol": 1e-13, "gtol": 1e-7, "maxiter": 2000}
    mean = (repeats @ right + 0.5) / (repeats @ samples + 1)
    plain = np.array([*np.log([0.5, 0.5 * float((1 - mean) / mean)]), of_never[0], 0.0])
    # From no inflation, and from half of the questions that may be inflated.
    halves = [0.5 * float(repeats @ seen) / repeats.sum() for seen in (zero, full)]
    inflated = np.array([1.0, 1.0, halves[0] * (never is True), halves[1] * always])
    starts = [plain, plain + inflated] if inflated[2:].any() else [plain]
    found = [
        optimize.minimize(value, first, jac=True, method="L-BFGS-B", bounds=ends, options=options)
        for first in starts
    ]
    best = min(found, key=lambda result: float(result.fun))
    a, b = np.exp(best.x[:2])
    z, w = best.x[2:]
    return Mixture(float(a), float(b), float(z), float((1 - z) * w), -float(best.fun))


# ------------------------------------------------------------------------------------- a suite


def fit_zero_inflated_counts(
    N: npt.ArrayLike,
    D: npt.ArrayLike,
    n: npt.ArrayLike,
    c: npt.ArrayLike,
    *,
    common: bool = False,
    start: ZeroInflatedLaw | None = None,
) -> Fit:
    """Fit the Beta-consistent law with a share never solved to counts, by maximum likelihood.

    All nine parameters together, from the Beta-consistent law of the same counts.

    Parameters
    ----------
    N, D, n, c : array_like, shape (rows,)
        As :func:`~t2lib.fit_beta_consistent_counts`.
    common : bool
        One share for every N and D: z1 is held at 0.
    start : ZeroInflatedLaw, optional
        Search from this law alone: for refits of resamples.

    Returns
    -------
    Fit
        With a :class:`~t2lib.laws.ZeroInflatedLaw`; ``objective`` is the negative log-likelihood
        in nats. Where no share is told, z0 and z1 are named in ``at_bounds``.

    Raises
    ------
    ValueError
        As :func:`~t2lib.fit_beta_consistent_counts`.
    """
    x, checkpoints, counts = _count_input(N, D, n, c, n_parameters=9)
    middle = [float(np.log(size).mean()) for size in checkpoints]
    log_N, log_D = (np.log(size) - m for size, m in zip(checkpoints, middle, strict=True))
    zero, shape_at = counts.c == 0, _ConsistentShape()

    def value(v: FloatArray) -> tuple[float, FloatArray]:
        total, scores = likelihood(v)
        return -total, -(scores * counts.repeats[:, None]).sum(axis=0)

    def likelihood(v: FloatArray) -> tuple[float, FloatArray]:
        """Total log-likelihood, and each distinct row's score."""
        term_N, term_D = np.exp(-v[3] * log_N), np.exp(-v[4] * log_D)
        losses = v[0] + v[1] * term_N + v[2] * term_D
        by_loss = np.stack(
            [np.ones_like(losses), term_N, term_D, -v[1] * log_N * term_N, -v[2] * log_D * term_D]
        )
        a, b, wrt, wrt_loss = shape_at(v[5:7], losses)
        logit = v[7] + v[8] * losses
        z = special.expit(logit)[counts.rows]
        log, by_a, by_b = counts.beta_binomial(a, b)
        log_rest = -np.logaddexp(0.0, logit)[counts.rows] + log
        log_never = np.where(zero, -np.logaddexp(0.0, -logit)[counts.rows], -np.inf)
        log_chance = np.logaddexp(log_rest, log_never)
        of_beta = np.exp(log_rest - log_chance)
        by_logit = (1 - of_beta) - z  # the chance that it is never solved, against the share
        by_a, by_b = of_beta * by_a, of_beta * by_b
        from_loss = by_a * wrt_loss[0][counts.rows] + by_b * wrt_loss[1][counts.rows]
        from_loss = from_loss + by_logit * v[8]
        link = by_a * wrt[0][:, counts.rows] + by_b * wrt[1][:, counts.rows]
        share = np.stack([by_logit, by_logit * losses[counts.rows]])
        scores = np.concatenate([from_loss * by_loss[:, counts.rows], link, share]).T
        return float(counts.repeats @ log_chance), scores

    def search(first: FloatArray) -> optimize.OptimizeResult:
        options = {"maxiter": 5000, "maxfun": 10000, "ftol": 1e-13, "gtol": 1e-7, "maxcor": 30}
        return optimize.minimize(
            value, first, jac=True, method="L-BFGS-B", bounds=bounds, options=options
        )

    share_bounds = [_SHARE_BOUNDS[0], (0.0, 0.0) if common else _SHARE_BOUNDS[1]]
    bounds = [(0.0, None)] * 3 + [EXPONENT_RANGE] * 2 + _LINK_BOUNDS + share_bounds
    starts = [(start.z0, start.z1)] if start else [(-4.0, 0.0), (1.0, -0.5), (-3.0, 0.3)]
    near = start or fit_beta_consistent_counts(N, D, n, c).law
    starts = [(z0, 0.0 if common else z1) for z0, z1 in starts]
    found = [search(_place(near, middle, share)) for share in starts]
    best = min(found, key=lambda result: float(result.fun))
    best = min(best, search(best.x), key=lambda result: float(result.fun))
    E, A, B, alpha, beta, c0, c1, z0, z1 = best.x.tolist()
    A, B = A * float(np.exp(alpha * middle[0])), B * float(np.exp(beta * middle[1]))
    law = ZeroInflatedLaw(Chinchilla(E, A, B, alpha, beta), c0, c1, z0, z1)
    names = (*_CHINCHILLA, "c0", "c1", "z0", "z1")
    low, high = np.array(_LINK_BOUNDS + _SHARE_BOUNDS).T
    bounded = _chinchilla_bounds(law.chinchilla, *checkpoints)
    bounded += _named_bounds(best.x[5:], low, high, names[5:])
    held = {bound.split(" ")[0] for bound in bounded} | ({"z1"} if common else set())
    free = [i for i, name in enumerate(names) if name not in held]
    scores = likelihood(best.x)[1][:, free] * np.sqrt(counts.repeats)[:, None]
    bounded += _flat(scores.T, tuple(names[i] for i in free))
    return Fit(
        law=law,
        params=dict(zip(names, (E, A, B, alpha, beta, c0, c1, z0, z1), strict=True)),
        objective=float(best.fun),
        residuals=x["c"] / x["n"] - law.pass_at_k(*checkpoints, 1)[counts.questions],
        at_bounds=bounded,
        n_rows=len(x["n"]),
        fitted=Support(x["N"], x["D"], x["n"], right=x["c"]),
        evaluations=sum(result.nfev for result in found),
    )


def _place(
    near: BetaConsistentLaw | ZeroInflatedLaw, middle: list[float], share: tuple[float, float]
) -> FloatArray:
    """Parameters as they are searched, coefficients at the middle of the sizes."""
    first = near.chinchilla
    A = first.A * np.exp(-first.alpha * middle[0]) + 1e-3
    B = first.B * np.exp(-first.beta * middle[1]) + 1e-3
    return np.array([first.E, A, B, first.alpha, first.beta, near.c0, near.c1, *share])
