"""Fits of the rivals of the Beta-consistent law: other interactions with k, other distributions.

The product law by projection inside a search for gamma; the laws tied to the loss in two stages, as
the Beta laws are: Chinchilla on the mean losses, then what is left by least squares.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from t2lib import passk
from t2lib._checks import FloatArray, at_least_one
from t2lib.fitting.beta import (
    _CHINCHILLA,
    _Checkpoints,
    _enough_checkpoints,
    _named_bounds,
    _two_stage_input,
)
from t2lib.fitting.descent import Descent, descend
from t2lib.fitting.powers import (
    _as_chinchilla,
    _columns,
    _flat,
    _power_bounds,
    _something_to_fit,
    fit_chinchilla,
)
from t2lib.fitting.projection import EXPONENT_RANGE, fit_power_sum
from t2lib.fitting.result import Fit
from t2lib.laws import (
    Chinchilla,
    KumaraswamyLaw,
    LogitNormalLaw,
    LogNormalLaw,
    LossTiedLaw,
    ProductLaw,
)
from t2lib.planning.support import Support

ScoreLaw = TypeVar("ScoreLaw", KumaraswamyLaw, LogNormalLaw, LogitNormalLaw)
_LINK = ("c0", "c1")
_LINK_BOUNDS = (np.array([-30.0, -10.0]), np.array([30.0, 10.0]))
# Where searches begin: c0 for a flat link, by what its shape parameter is.
_FIRST_LINKS: dict[type, tuple[float, ...]] = {
    KumaraswamyLaw: (0.0, 2.0, 5.0),
    LogNormalLaw: (-1.5, -0.5, 0.5),
    LogitNormalLaw: (-0.5, 0.5, 1.5),
}
_TIED = ("log_kappa", "g0", "g1")
_TIED_BOUNDS = (np.array([-10.0, -20.0, -10.0]), np.array([20.0, 5.0, 10.0]))
_STEP = 1e-5  # of the central differences in c0: their error is of its square


# ------------------------------------------------------------------------------- the product law


def fit_product(
    N: npt.ArrayLike, D: npt.ArrayLike, k: npt.ArrayLike, neg_log_pass: npt.ArrayLike
) -> Fit:
    """Fit ``-log pass@k = (E + A N^-alpha + B D^-beta) k^-gamma`` by squared errors.

    At a given gamma the rest is a Chinchilla law of ``k^gamma`` times the data, found by
    projection; from there all six parameters go down together.

    Parameters
    ----------
    N, D, k : array_like, shape (n,)
        Parameters, training tokens and samples of each row.
    neg_log_pass : array_like, shape (n,)
        Mean over questions of -log pass@k in nats, not negative.

    Returns
    -------
    Fit
        With a :class:`~t2lib.laws.ProductLaw`; residuals in nats.

    Raises
    ------
    ValueError
        As :func:`~t2lib.fit_additive`.
    """
    columns = {"N": N, "D": D, "k": k, "neg_log_pass": neg_log_pass}
    x = _columns(columns, n_parameters=6, vary=("N", "D", "k"), allow_zero=("neg_log_pass",))
    at_least_one(x["k"])
    y, log_k = x["neg_log_pass"], np.log(x["k"])
    _something_to_fit(y)
    log_N, log_D = np.log(x["N"]), np.log(x["D"])
    middle_N, middle_D = log_N.mean(), log_D.mean()
    log_N, log_D = log_N - middle_N, log_D - middle_D

    def residuals(v: FloatArray) -> tuple[FloatArray, FloatArray]:
        term_N, term_D, share = (np.exp(-e * log) for e, log in zip(v[3:], logs, strict=True))
        loss = v[0] + v[1] * term_N + v[2] * term_D
        slopes = [np.ones_like(y), term_N, term_D, -v[1] * log_N * term_N, -v[2] * log_D * term_D]
        return loss * share - y, np.stack([*slopes, -loss * log_k]) * share

    logs = (log_N, log_D, log_k)
    low = np.array([0.0, 0.0, 0.0, *[EXPONENT_RANGE[0]] * 3])
    high = np.array([np.inf, np.inf, np.inf, *[EXPONENT_RANGE[1]] * 3])
    found: list[Descent] = []
    for gamma in (0.05, 0.2, 0.6):
        first = fit_power_sum([x["N"], x["D"]], y * x["k"] ** gamma, x["k"] ** (-2 * gamma))
        law = _as_chinchilla(first)
        A, B = law.A * np.exp(-law.alpha * middle_N), law.B * np.exp(-law.beta * middle_D)
        start = np.array([law.E, A, B, law.alpha, law.beta, gamma])
        found.append(descend(residuals, start, low, high))
    best = min(found, key=lambda result: result.objective)
    v = best.parameters
    v[:3] = np.where(v[:3] < 1e-6 * y.max(), 0.0, v[:3])  # nothing in the data's middle: 0
    E, A, B, alpha, beta, gamma = v.tolist()
    A, B = A * float(np.exp(alpha * middle_N)), B * float(np.exp(beta * middle_D))
    names = (*_CHINCHILLA, "gamma")
    params = dict(zip(names, (E, A, B, alpha, beta, gamma), strict=True))
    bounds = _power_bounds(params, {"A": ("alpha", x["N"]), "B": ("beta", x["D"])})
    bounds += _named_bounds(v[5:], low[5:], high[5:], ("gamma",))
    return Fit(
        law=ProductLaw(**params),
        params=params,
        objective=best.objective,
        residuals=y - ProductLaw(**params).neg_log_pass(x["N"], x["D"], x["k"]),
        at_bounds=bounds,
        n_rows=len(y),
        evaluations=sum(result.evaluations for result in found),
        fitted=Support(x["N"], x["D"], x["k"], y, "neg_log_pass"),
    )


# ---------------------------------------------------------------------- a power tied to the loss


def fit_loss_tied(
    N: npt.ArrayLike,
    D: npt.ArrayLike,
    k: npt.ArrayLike,
    neg_log_pass: npt.ArrayLike,
    *,
    loss: npt.ArrayLike,
    start: LossTiedLaw | None = None,
) -> Fit:
    """Fit ``-log pass@k = L (1 + (k - 1) / kappa)^-exp(g0 + g1 L)`` in two stages.

    Parameters
    ----------
    N, D, k, neg_log_pass
        As :func:`fit_product`.
    loss : array_like, shape (n,)
        Mean negative log-likelihood of each row's checkpoint in nats.
    start : LossTiedLaw, optional
        Search the second stage from this law alone.

    Returns
    -------
    Fit
        With a :class:`~t2lib.laws.LossTiedLaw`; residuals in nats.

    Raises
    ------
    ValueError
        As :func:`~t2lib.fit_additive`.
    """
    columns = {"N": N, "D": D, "k": k, "neg_log_pass": neg_log_pass, "loss": loss}
    x = _columns(columns, n_parameters=8, vary=("N", "D", "k"), allow_zero=("neg_log_pass",))
    at_least_one(x["k"])
    y = x["neg_log_pass"]
    _something_to_fit(y)
    checkpoints = _Checkpoints(x)
    _enough_checkpoints(checkpoints.N)
    sizes = checkpoints.N, checkpoints.D
    first = fit_chinchilla(*sizes, checkpoints.loss, weights=checkpoints.weights)
    losses = first.law.loss(*sizes)[checkpoints.rows]

    def residuals(v: FloatArray) -> tuple[FloatArray, FloatArray]:
        more = (x["k"] - 1) * np.exp(-v[0])
        exponent = np.exp(np.clip(v[1] + v[2] * losses, -40.0, 40.0))
        value = losses * np.exp(-exponent * np.log1p(more))
        by_g0 = -value * exponent * np.log1p(more)
        by_kappa = value * exponent * more / (1 + more)
        return value - y, np.stack([by_kappa, by_g0, by_g0 * losses])

    starts = [np.array([log_kappa, -0.5, 0.0]) for log_kappa in (0.0, 2.0, 4.0)]
    if start is not None:
        starts = [np.array([np.log(start.kappa), start.g0, start.g1])]
    found = [descend(residuals, begin, *_TIED_BOUNDS) for begin in starts]
    best = min(found, key=lambda result: result.objective)
    log_kappa, g0, g1 = best.parameters.tolist()
    law = LossTiedLaw(first.law, float(np.exp(log_kappa)), g0, g1)
    bounds = _named_bounds(best.parameters, *_TIED_BOUNDS, _TIED)
    bounds += _flat(best.jacobian, _TIED)
    return Fit(
        law=law,
        params=first.params | {"kappa": law.kappa, "g0": g0, "g1": g1},
        objective=best.objective,
        residuals=y - law.neg_log_pass(x["N"], x["D"], x["k"]),
        at_bounds=first.at_bounds + bounds,
        n_rows=len(y),
        evaluations=sum(result.evaluations for result in found),
        fitted=Support(x["N"], x["D"], x["k"], y, "neg_log_pass", loss=x["loss"]),
    )


# ------------------------------------------------------- other distributions tied to the loss


def fit_scores(
    kind: type[ScoreLaw],
    N: npt.ArrayLike,
    D: npt.ArrayLike,
    k: npt.ArrayLike,
    pass_at_k: npt.ArrayLike,
    *,
    loss: npt.ArrayLike,
    chinchilla: Chinchilla | None = None,
    start: Any = None,
) -> Fit:
    """Fit a rival of the Beta as :func:`~t2lib.fit_beta_consistent` fits the Beta, in two stages.

    Parameters
    ----------
    kind : type
        :class:`~t2lib.laws.KumaraswamyLaw`, :class:`~t2lib.laws.LogNormalLaw` or
        :class:`~t2lib.laws.LogitNormalLaw`.
    N, D, k, pass_at_k, loss, chinchilla
        As :func:`~t2lib.fit_beta_consistent`.
    start : law of that kind, optional
        Search the second stage from this law alone.

    Returns
    -------
    Fit
        Residuals are of pass@k.

    Raises
    ------
    ValueError
        As :func:`~t2lib.fit_beta_regression`.
    """
    x, checkpoints, chinchilla, bounds = _two_stage_input(
        N, D, k, pass_at_k, loss, chinchilla, n_parameters=2
    )
    losses = chinchilla.loss(checkpoints.N, checkpoints.D)[checkpoints.rows]

    def predicted(v: FloatArray) -> FloatArray:
        return passk.pass_of_scores(kind(chinchilla, *v.tolist()).nll_at_loss, losses, x["k"])

    def residuals(v: FloatArray) -> tuple[FloatArray, FloatArray]:
        step = np.array([_STEP, 0.0])
        slope = (predicted(v + step) - predicted(v - step)) / (2 * _STEP)
        # c0 and c1 act through c0 + c1 L alone.
        return predicted(v) - x["pass_at_k"], np.stack([slope, slope * losses])

    starts = [np.array([c0, 0.0]) for c0 in _FIRST_LINKS[kind]]
    if start is not None:
        starts = [np.array([start.c0, start.c1])]
    nearest = sorted(starts, key=lambda v: float(np.sum(residuals(v)[0] ** 2)))[:2]
    found = [descend(residuals, v, *_LINK_BOUNDS, near=1e-8) for v in nearest]
    best = min(found, key=lambda result: result.objective)
    law = kind(chinchilla, *best.parameters.tolist())
    bounds += _named_bounds(best.parameters, *_LINK_BOUNDS, _LINK)
    bounds += _flat(best.jacobian, _LINK)
    first = {name: getattr(chinchilla, name) for name in _CHINCHILLA}
    return Fit(
        law=law,
        params=first | dict(zip(_LINK, best.parameters.tolist(), strict=True)),
        objective=best.objective,
        residuals=x["pass_at_k"] - law.pass_at_k(x["N"], x["D"], x["k"]),
        at_bounds=bounds,
        n_rows=len(x["k"]),
        evaluations=3 * sum(result.evaluations for result in found),
        fitted=Support(x["N"], x["D"], x["k"], x["pass_at_k"], loss=x["loss"]),
    )
