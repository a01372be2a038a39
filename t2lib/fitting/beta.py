"""Fits of the laws that give each checkpoint a Beta distribution of question difficulty.

From pass@k and mean losses: bounded least squares with analytic derivatives, on top of a
Chinchilla fit of the losses. From counts of right samples: maximum likelihood of the
Beta-binomial, in which a question that was never answered right counts like any other.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

from t2lib import passk
from t2lib._belonging import first_contradiction
from t2lib._checks import FloatArray, at_least_one, distinct, require, whole
from t2lib.fitting.descent import Descent, Evaluate, descend
from t2lib.fitting.powers import _columns, _flat, _power_bounds, fit_chinchilla
from t2lib.fitting.projection import EXPONENT_RANGE
from t2lib.fitting.result import Fit
from t2lib.laws import BetaConsistentLaw, BetaRegressionLaw, Chinchilla
from t2lib.planning.support import Support

# Beta parameters at each loss, and their derivatives: (a, b, d(a, b)/d parameters, d(a, b)/dL).
Shape = tuple[FloatArray, FloatArray, FloatArray, FloatArray]
ShapeFunction = Callable[[FloatArray, FloatArray], Shape]

_CHINCHILLA = ("E", "A", "B", "alpha", "beta")
_THETA = ("theta0", "theta1", "theta2", "theta3", "theta4")
_THETA_BOUNDS = [(-100.0, 100.0), (1e-3, 100.0), (1e-9, 1.0), (-30.0, 30.0), (-30.0, 30.0)]
_LINK_BOUNDS = [(-30.0, 30.0), (-10.0, 10.0)]
# Checkpoints used to choose starting points; the search itself sees them all.
_PILOT_CHECKPOINTS = 60
_STARTS = 3
_ON_THE_WAY = 9  # places between a start and the end of another search
# An nll of 0 is p = 1, of which the Beta's density is 0 or infinite: p is the next number below.
_LEAST_NLL = 2.0**-53
_FEW = passk._STIRLING_FROM


# --------------------------------------------------------------------------- one checkpoint


def fit_beta(
    *,
    nll: npt.ArrayLike | None = None,
    n: npt.ArrayLike | None = None,
    c: npt.ArrayLike | None = None,
) -> tuple[float, float]:
    """Fit Beta(a, b) to one checkpoint's questions by maximum likelihood.

    Parameters
    ----------
    nll : array_like, shape (questions,), optional
        Negative log-likelihoods of the right answers in nats: p = exp(-nll) is known. 0 stands
        for the largest p below 1.
    n, c : array_like, shape (questions,), optional
        Samples and right samples of each question: p is not known, c is Beta-binomial. No
        question is dropped for c = 0. Give either ``nll`` or both of these.

    Returns
    -------
    a, b : float

    Raises
    ------
    ValueError
        Where the input is not valid, or the likelihood has no maximum: all questions are alike
        (every c is 0, every c is n, every share c / n or every nll the same), or n is 1
        throughout, which tells nothing of the spread.

    Warns
    -----
    RuntimeWarning
        Where counts scatter no more than samples of a single p: the likelihood then rises all
        the way to a binomial. Only ``a / (a + b)`` is told; ``a + b`` is returned at its bound.
    """
    if (nll is None) == (n is None) or (n is None) != (c is None):
        raise ValueError("give either nll, or both n and c")
    if nll is not None:
        losses = _columns({"nll": nll}, n_parameters=2, vary=(), allow_zero=("nll",))["nll"]
        losses = np.maximum(losses, _LEAST_NLL)
        if np.ptp(losses) == 0:
            raise ValueError("nll is the same for every question: the Beta has no width")
        log_p, log_q = -losses.mean(), passk._log1mexp(-losses).mean()

        def value(v: FloatArray) -> tuple[float, FloatArray]:
            a, b = np.exp(v)
            both = special.digamma(a + b)
            slope = np.array([special.digamma(a) - both - log_p, special.digamma(b) - both - log_q])
            return float(special.betaln(a, b) - a * log_p - b * log_q), slope * np.exp(v)

        start = np.zeros(2)
    else:
        samples, right = _counts(n, c)  # type: ignore[arg-type]
        counts = _Counts(np.zeros(len(samples), dtype=int), samples, right)
        if np.ptp(right / samples) == 0:
            raise ValueError("c / n is the same for every question: the Beta has no width")

        def value(v: FloatArray) -> tuple[float, FloatArray]:
            shape = np.exp(v)
            total, *slopes = counts.log_likelihood(*shape[:, None])
            return -total, -np.concatenate(slopes) * shape

        mean = (right.sum() + 0.5) / (samples.sum() + 1)
        start = np.log([0.5, 0.5 * (1 - mean) / mean])
    result = optimize.minimize(
        value, start, jac=True, method="L-BFGS-B", bounds=[(-25, 25)] * 2, options={"ftol": 1e-14}
    )
    if nll is None:
        mean = float(right.sum() / samples.sum())
        narrow = float(np.exp(25.0)) * np.array([mean, 1 - mean])
        if value(np.log(narrow))[0] <= result.fun + 1e-6:
            warnings.warn(
                "the counts scatter no more than samples of one p: only a / (a + b) is told",
                RuntimeWarning,
                stacklevel=2,
            )
            return float(narrow[0]), float(narrow[1])
    a, b = np.exp(result.x)
    return float(a), float(b)


def _counts(n: npt.ArrayLike, c: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Check columns of samples and right samples."""
    x = _columns({"n": n, "c": c}, n_parameters=2, vary=(), allow_zero=("c",))
    n, c = whole(x["n"], "n"), whole(x["c"], "c")
    require(c <= n, "c", c, "is larger than n, the number of samples")
    if not c.any():
        raise ValueError("c is 0 in every row: no sample was ever right, nothing can be fitted")
    if np.all(c == n):
        raise ValueError("c is n in every row: every sample was right, nothing can be fitted")
    if np.all(n == 1):
        raise ValueError("n is 1 in every row: one sample tells nothing of the spread of p")
    return n, c


# --------------------------------------------------------- from a loss to the Beta's parameters


def _regression_shape(theta: FloatArray, loss: FloatArray) -> Shape:
    """(a, b) of approach 2 with derivatives with respect to theta and to the loss."""
    middle, steepness, ceiling, log_nu, slope = theta
    share = special.expit(-steepness * (loss - middle))
    mean = np.clip(ceiling * share, 1e-300, 1 - 1e-12)
    nu = np.exp(np.clip(log_nu + slope * loss, -40, 40))
    mean_wrt_loss = -steepness * mean * (1 - share)
    mean_wrt = [-mean_wrt_loss, -(loss - middle) * mean * (1 - share), mean / ceiling]
    nu_wrt = [nu, nu * loss]
    a_wrt = [nu * d for d in mean_wrt] + [mean * d for d in nu_wrt]
    b_wrt = [-nu * d for d in mean_wrt] + [(1 - mean) * d for d in nu_wrt]
    wrt_loss = np.stack(
        [nu * mean_wrt_loss + mean * nu * slope, -nu * mean_wrt_loss + (1 - mean) * nu * slope]
    )
    return mean * nu, (1 - mean) * nu, np.stack([a_wrt, b_wrt]), wrt_loss


def _log_ceiling_shape(v: FloatArray, loss: FloatArray) -> Shape:
    """As :func:`_regression_shape`, of the ceiling's logarithm.

    Far below its ceiling the mean depends on ``theta2 exp(theta1 theta0)`` alone: in the logarithm
    that valley of the objective is straight.
    """
    theta = v.copy()
    theta[2] = np.exp(v[2])
    a, b, wrt, wrt_loss = _regression_shape(theta, loss)
    wrt[:, 2] *= theta[2]
    return a, b, wrt, wrt_loss


class _ConsistentShape:
    """(a, b) of the Beta-consistent law with derivatives with respect to c0, c1 and the loss.

    A search asks for one nearby law after the other: each a is sought from where the slopes of the
    call before lead.
    """

    def __init__(self) -> None:
        self._before: tuple[FloatArray, ...] = ()

    def __call__(self, link: FloatArray, loss: FloatArray) -> Shape:
        loss = np.maximum(loss, 1e-12)
        log_b = np.clip(link[0] + link[1] * loss, -40, 40)
        loss = np.broadcast_to(loss, log_b.shape)
        b, near = np.exp(log_b), None
        if self._before and self._before[0].shape == loss.shape:
            past_loss, past_log_b, log_a, by_log_b, by_loss = self._before
            step = by_log_b * (log_b - past_log_b) + by_loss * (loss - past_loss)
            near = np.where(np.abs(step) < 1, log_a + step, np.nan)
        a, fall, rise = passk._beta_a(b, loss, near)
        by_log_b, by_loss = rise * b / fall, -1 / fall
        self._before = loss, log_b, np.log(a), by_log_b / a, by_loss / a
        wrt = np.array([[by_log_b, by_log_b * loss], [b, b * loss]])
        return a, b, wrt, np.array([by_loss + by_log_b * link[1], b * link[1]])


def _pass_and_slopes(
    a: FloatArray, b: FloatArray, k: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Pass@k of Beta(a, b), and its derivatives with respect to a and b."""
    wrong = np.exp(-passk._log_gamma_ratio(b, a, k))
    by_a, by_nu = passk._digamma_difference(np.stack([a + b, b]), k)
    return 1 - wrong, wrong * by_a, wrong * (by_a - by_nu)


def _codes(*columns: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Number the combinations of the columns' values, in the order of the values."""
    codes = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        levels, places = distinct(column)
        codes = distinct(codes * len(levels) + places)[1]  # so that no product overflows
    return codes


def _first_rows(codes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the first row of each code."""
    first = np.empty(codes.max() + 1, dtype=np.int64)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    return first


class _Checkpoints:
    """The checkpoints behind rows in which each stands once for every k.

    ``weights`` count how often a checkpoint is listed, its rows for each of its k: 1, and 2 for
    a checkpoint that a resample drew twice.
    """

    def __init__(self, x: dict[str, FloatArray]) -> None:
        self.rows = _codes(x["N"], x["D"], x["loss"])
        first, of_pair = _first_rows(self.rows), _first_rows(_codes(self.rows, x["k"]))
        self.weights = np.bincount(self.rows) / np.bincount(self.rows[of_pair])
        self.N, self.D, self.loss = (x[name][first] for name in ("N", "D", "loss"))


def _pass_residuals(
    shape: ShapeFunction,
    parameters: FloatArray,
    losses: FloatArray,
    rows: npt.NDArray[np.int64],
    k: FloatArray,
    target: FloatArray,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Predicted minus observed pass@k, Jacobian of shape (p, n), derivative by the row's loss."""
    a, b, wrt, wrt_loss = shape(parameters, losses)
    value, by_a, by_b = _pass_and_slopes(a[rows], b[rows], k)
    jacobian = by_a * wrt[0][:, rows] + by_b * wrt[1][:, rows]
    return value - target, jacobian, by_a * wrt_loss[0][rows] + by_b * wrt_loss[1][rows]


# ------------------------------------------------------------------- from pass@k and mean NLL


def fit_beta_regression(
    N: npt.ArrayLike,
    D: npt.ArrayLike,
    k: npt.ArrayLike,
    pass_at_k: npt.ArrayLike,
    *,
    loss: npt.ArrayLike,
    chinchilla: Chinchilla | None = None,
    start: BetaRegressionLaw | None = None,
) -> Fit:
    """Fit approach 2: Chinchilla on the mean losses, then theta by squared error of pass@k.

    Parameters
    ----------
    N, D, k : array_like, shape (n,)
        Parameters, training tokens and samples of each row.
    pass_at_k : array_like, shape (n,)
        Task's pass@k, 0 to 1.
    loss : array_like, shape (n,)
        Mean negative log-likelihood of each row's checkpoint in nats.
    chinchilla : Chinchilla, optional
        First stage; by default fitted to the checkpoints' losses, each as often as it is listed
        (a checkpoint that a resample drew twice counts twice). The paper profiles E over 40
        values with 50 restarts each; variable projection finds that optimum directly.
    start : BetaRegressionLaw, optional
        Search the second stage from this law alone instead of from several places: for refits
        of resamples, from the fit of the whole table, in less than half of the time.

    Returns
    -------
    Fit
        With a :class:`~t2lib.BetaRegressionLaw`; residuals are of pass@k.

    Raises
    ------
    ValueError
        Where a value is not valid, rows contradict each other (a checkpoint's pass@k falls in k,
        or its loss is below -log of a pass rate, which Jensen's inequality forbids), there are
        fewer rows than parameters, N, D or k takes a single value, or every pass@k is 0 or every
        one is 1.

    References
    ----------
    Roberts et al. (2026), arXiv:2604.01411, approach 2 and its appendix.
    """
    x, checkpoints, chinchilla, first_bounds = _two_stage_input(
        N, D, k, pass_at_k, loss, chinchilla, n_parameters=5
    )
    losses = chinchilla.loss(checkpoints.N, checkpoints.D)
    low, middle, high = np.quantile(losses, [0.05, 0.5, 0.95])
    starts = [
        np.array([where, steepness, ceiling, log_nu, 0.0])
        for where in (low - 1, low, middle, high)
        for steepness in (0.5, 1.5, 4.0)
        for ceiling in (0.5, 0.99)
        for log_nu in (0.0, 2.0)
    ]
    if start is not None:
        starts = [np.array(start.theta)]
    low, high = np.array(_THETA_BOUNDS).T
    theta, objective, evaluations, flat = _second_stage(
        _log_ceiling_shape,
        [_with_third(start, np.log) for start in starts],
        (_with_third(low, np.log), _with_third(high, np.log)),
        _THETA,
        losses,
        checkpoints.rows,
        x,
    )
    theta = _with_third(theta, np.exp)
    flat = _named_bounds(theta, low, high, _THETA) + flat
    law = BetaRegressionLaw(chinchilla, tuple(theta.tolist()))
    return _beta_fit(
        law,
        dict(zip(_THETA, theta.tolist(), strict=True)),
        x,
        checkpoints,
        objective,
        evaluations,
        first_bounds + flat,
    )


def fit_beta_consistent(
    N: npt.ArrayLike,
    D: npt.ArrayLike,
    k: npt.ArrayLike,
    pass_at_k: npt.ArrayLike,
    *,
    loss: npt.ArrayLike,
    chinchilla: Chinchilla | None = None,
    method: Literal["two_stage", "joint"] = "two_stage",
    start: BetaConsistentLaw | None = None,
) -> Fit:
    """Fit the Beta-consistent law: Chinchilla on the mean losses, then the link of log b.

    Parameters
    ----------
    N, D, k : array_like, shape (n,)
        Parameters, training tokens and samples of each row.
    pass_at_k : array_like, shape (n,)
        Task's pass@k, 0 to 1.
    loss : array_like, shape (n,)
        Mean negative log-likelihood of each row's checkpoint in nats.
    chinchilla : Chinchilla, optional
        First stage; by default fitted to the checkpoints' losses, each as often as it is listed.
    method : {"two_stage", "joint"}
        "two_stage": c0 and c1 by squared error of pass@k, the first stage held. "joint": all
        seven parameters at once, by squared errors of pass@k and of the losses, each divided by
        its mean square after two stages, so that both count by their own scatter.
    start : BetaConsistentLaw, optional
        Search the second stage from this law alone instead of from several places: for refits
        of resamples, from the fit of the whole table, in less than half of the time.

    Returns
    -------
    Fit
        With a :class:`~t2lib.BetaConsistentLaw`; residuals are of pass@k.

    Raises
    ------
    ValueError
        As :func:`fit_beta_regression`.
    """
    if method not in ("two_stage", "joint"):
        raise ValueError(f"method is {method!r}: must be 'two_stage' or 'joint'")
    x, checkpoints, chinchilla, first_bounds = _two_stage_input(
        N, D, k, pass_at_k, loss, chinchilla, n_parameters=2
    )
    losses = chinchilla.loss(checkpoints.N, checkpoints.D)
    starts = [np.array([c0, c1]) for c0 in (-2.0, 0.0, 2.0, 5.0) for c1 in (-1.0, 0.0, 1.0)]
    if start is not None:
        starts = [np.array([start.c0, start.c1])]
    low, high = np.array(_LINK_BOUNDS).T
    link, objective, evaluations, flat = _second_stage(
        _ConsistentShape(), starts, (low, high), ("c0", "c1"), losses, checkpoints.rows, x
    )
    flat = _named_bounds(link, low, high, ("c0", "c1")) + flat
    law = BetaConsistentLaw(chinchilla, *link.tolist())
    params = dict(zip(("c0", "c1"), link.tolist(), strict=True))
    if method == "joint":
        law, objective, more, flat = _joint(law, objective, checkpoints, x)
        evaluations += more
        params = {"c0": law.c0, "c1": law.c1}
        first_bounds = _chinchilla_bounds(law.chinchilla, checkpoints.N, checkpoints.D)
    return _beta_fit(law, params, x, checkpoints, objective, evaluations, first_bounds + flat)


def _two_stage_input(
    N: npt.ArrayLike,
    D: npt.ArrayLike,
    k: npt.ArrayLike,
    pass_at_k: npt.ArrayLike,
    loss: npt.ArrayLike,
    chinchilla: Chinchilla | None,
    n_parameters: int,
) -> tuple[dict[str, FloatArray], _Checkpoints, Chinchilla, tuple[str, ...]]:
    """Check the columns, find the checkpoints, and fit the first stage where none is given."""
    columns = {"N": N, "D": D, "k": k, "pass_at_k": pass_at_k, "loss": loss}
    if chinchilla is None:
        n_parameters += len(_CHINCHILLA)
    x = _columns(
        columns, n_parameters=n_parameters, vary=("N", "D", "k"), allow_zero=("pass_at_k",)
    )
    at_least_one(x["k"])
    Q = x["pass_at_k"]
    require(Q <= 1, "pass_at_k", Q, "is above 1")
    for value in (0, 1):
        if np.all(value == Q):
            raise ValueError(f"pass_at_k is {value} in every row: there is nothing to fit")
    checkpoints = _Checkpoints(x)
    if found := first_contradiction(Q, x["k"], checkpoints.rows, x["loss"]):
        row, name, words = found
        raise ValueError(f"{name}[{row}] is {x[name][row]:g}: it {words}")
    if chinchilla is not None:
        return x, checkpoints, chinchilla, ()
    _enough_checkpoints(checkpoints.N)
    first = fit_chinchilla(
        checkpoints.N, checkpoints.D, checkpoints.loss, weights=checkpoints.weights
    )
    return x, checkpoints, first.law, first.at_bounds


def _enough_checkpoints(sizes: npt.NDArray[Any]) -> None:
    """Refuse a Chinchilla fit to fewer checkpoints than it has parameters."""
    if len(sizes) < len(_CHINCHILLA):
        raise ValueError(
            f"N and D are those of {len(sizes)} checkpoints: "
            f"they cannot fix the {len(_CHINCHILLA)} parameters of the Chinchilla law"
        )


def _second_stage(
    shape: ShapeFunction,
    starts: list[FloatArray],
    bounds: tuple[FloatArray, FloatArray],
    names: tuple[str, ...],
    losses: FloatArray,
    rows: npt.NDArray[np.int64],
    x: dict[str, FloatArray],
) -> tuple[FloatArray, float, int, tuple[str, ...]]:
    """Least squares of pass@k over the parameters that turn a loss into a Beta distribution."""
    low, high = bounds
    # Every k of some checkpoints: the special functions are needed at few losses then.
    some = np.linspace(0, len(losses) - 1, min(len(losses), _PILOT_CHECKPOINTS)).astype(int)
    pilot = np.flatnonzero(np.isin(rows, some))

    def residuals_of(pick: npt.NDArray[np.int64]) -> Evaluate:
        own, picked = distinct(rows[pick])
        levels, k, target = losses[own], x["k"][pick], x["pass_at_k"][pick]
        return lambda v: _pass_residuals(shape, v, levels, picked, k, target)[:2]

    everyone, few = residuals_of(np.arange(len(rows))), residuals_of(pilot)
    pilots: list[Descent] = []
    if len(starts) == 1:
        results = [descend(everyone, starts[0], low, high)]
    else:
        own = np.searchsorted(some, rows[pilot])

        def misses(points: FloatArray) -> FloatArray:
            """Sums of squares alone, all points, shape (M, p), in one call."""
            a, b, _, _ = shape(points.T[:, :, None], losses[some])
            wrong = np.exp(-passk._log_gamma_ratio(b[:, own], a[:, own], x["k"][pilot]))
            return ((1 - wrong - x["pass_at_k"][pilot]) ** 2).sum(axis=1)

        nearest = np.argsort(misses(np.array(starts)), kind="stable")[:_STARTS]
        # A pilot only shows the way to a basin.
        pilots = [descend(few, starts[nearest[0]], low, high, 1e-2, most=15)]
        others = np.array([starts[i] for i in nearest[1:]])
        if others.shape[1] == 2:
            # Where the way there from another start only falls, that has no basin of its own. With
            # five parameters it may have: one search in a hundred then ends higher.
            share = np.linspace(0, 1, _ON_THE_WAY)[:, None, None]
            ways = others + share * (pilots[0].parameters - others)
            heights = misses(ways.reshape(-1, 2)).reshape(ways.shape[:2])
            others = others[(np.diff(heights, axis=0) > 0).any(axis=0)]
        pilots += [descend(few, start, low, high, 1e-2, most=15) for start in others]
        pilots.sort(key=_objective)
        results = [descend(everyone, pilots[0].parameters, low, high)]
        for other in pilots[1:]:  # a second basin is followed only where there is one
            apart = np.abs(other.parameters - pilots[0].parameters).max() > 0.1
            if apart and other.objective < 1.5 * pilots[0].objective:
                results.append(descend(everyone, other.parameters, low, high))
    best = min(results, key=_objective)
    flat = _flat(best.jacobian, names)
    return best.parameters, best.objective, sum(r.evaluations for r in results + pilots), flat


def _with_third(theta: FloatArray, function: Callable[[float], float]) -> FloatArray:
    changed = theta.copy()
    changed[2] = function(theta[2])
    return changed


def _objective(result: Descent) -> float:
    return result.objective


def _named_bounds(
    v: FloatArray, low: FloatArray, high: FloatArray, names: tuple[str, ...]
) -> tuple[str, ...]:
    room = 1e-6 * (high - low)
    found = [
        f"{n} at its lower bound {lo:g}"
        for n, x, lo, r in zip(names, v, low, room, strict=True)
        if x < lo + r
    ]
    return tuple(
        found
        + [
            f"{n} at its upper bound {hi:g}"
            for n, x, hi, r in zip(names, v, high, room, strict=True)
            if x > hi - r
        ]
    )


def _chinchilla_bounds(law: Chinchilla, N: FloatArray, D: FloatArray) -> tuple[str, ...]:
    """Name what is at a bound or not told in a Chinchilla law fitted to these checkpoints."""
    params = {name: getattr(law, name) for name in _CHINCHILLA}
    return _power_bounds(params, {"A": ("alpha", N), "B": ("beta", D)})


def _joint(
    law: BetaConsistentLaw, objective: float, checkpoints: _Checkpoints, x: dict[str, FloatArray]
) -> tuple[BetaConsistentLaw, float, int, tuple[str, ...]]:
    """All seven parameters at once, from the two-stage fit."""
    first = law.chinchilla
    log_N, log_D = np.log(checkpoints.N), np.log(checkpoints.D)
    middle_N, middle_D = log_N.mean(), log_D.mean()
    log_N, log_D = log_N - middle_N, log_D - middle_D
    loss_error = first.loss(checkpoints.N, checkpoints.D) - checkpoints.loss
    scale_loss = np.sqrt(np.average(loss_error**2, weights=checkpoints.weights)) + 1e-12
    scale_loss = scale_loss / np.sqrt(checkpoints.weights)
    scale_pass = np.sqrt(objective / len(x["k"])) + 1e-12

    shape_at = _ConsistentShape()

    def residuals(v: FloatArray) -> tuple[FloatArray, FloatArray]:
        term_N, term_D = np.exp(-v[3] * log_N), np.exp(-v[4] * log_D)
        losses = v[0] + v[1] * term_N + v[2] * term_D
        slopes = np.stack(
            [np.ones_like(losses), term_N, term_D, -v[1] * log_N * term_N, -v[2] * log_D * term_D]
        )
        r, by_link, by_loss = _pass_residuals(
            shape_at, v[5:], losses, checkpoints.rows, x["k"], x["pass_at_k"]
        )
        upper = np.concatenate([by_loss * slopes[:, checkpoints.rows], by_link])
        lower = np.concatenate([slopes, np.zeros((2, len(losses)))])
        value = np.concatenate([r / scale_pass, (losses - checkpoints.loss) / scale_loss])
        return value, np.concatenate([upper / scale_pass, lower / scale_loss], axis=1)

    start = np.array(
        [
            first.E,
            first.A * np.exp(-first.alpha * middle_N),
            first.B * np.exp(-first.beta * middle_D),
            first.alpha,
            first.beta,
            law.c0,
            law.c1,
        ]
    )
    low = np.array([0, 0, 0, EXPONENT_RANGE[0], EXPONENT_RANGE[0], -30, -10])
    high = np.array([np.inf, np.inf, np.inf, EXPONENT_RANGE[1], EXPONENT_RANGE[1], 30, 10])
    found = descend(residuals, start, low, high)
    v = found.parameters
    # What is nothing in the data's middle is 0.
    v[:3] = np.where(v[:3] < 1e-6, 0.0, v[:3])
    E, A, B, alpha, beta, c0, c1 = v.tolist()
    A, B = A * float(np.exp(alpha * middle_N)), B * float(np.exp(beta * middle_D))
    names = ("c0", "c1")
    bounds = _named_bounds(v[5:], low[5:], high[5:], names) + _flat(found.jacobian[5:], names)
    law = BetaConsistentLaw(Chinchilla(E, A, B, alpha, beta), c0, c1)
    return law, found.objective, found.evaluations, bounds


def _beta_fit(
    law: BetaRegressionLaw | BetaConsistentLaw,
    params: dict[str, float],
    x: dict[str, FloatArray],
    checkpoints: _Checkpoints,
    objective: float,
    evaluations: int,
    at_bounds: tuple[str, ...],
) -> Fit:
    first = {name: getattr(law.chinchilla, name) for name in _CHINCHILLA}
    a, b = law.shape(checkpoints.N, checkpoints.D)
    predicted = passk.beta_pass_at_k(a[checkpoints.rows], b[checkpoints.rows], x["k"])
    return Fit(
        law=law,
        params=first | params,
        objective=objective,
        residuals=x["pass_at_k"] - predicted,
        at_bounds=at_bounds,
        n_rows=len(x["k"]),
        evaluations=evaluations,
        fitted=Support(x["N"], x["D"], x["k"], x["pass_at_k"], loss=x["loss"]),
    )


# ------------------------------------------------------------------- from counts of right samples


def fit_beta_consistent_counts(
    N: npt.ArrayLike,
    D: npt.ArrayLike,
    n: npt.ArrayLike,
    c: npt.ArrayLike,
    *,
    start: BetaConsistentLaw | None = None,
) -> Fit:
    """Fit the Beta-consistent law to counts: maximum likelihood of the Beta-binomial.

    The mean negative log-likelihood L is not observed: it is the law's own E[-log p], and all
    seven parameters are found together.

    Parameters
    ----------
    N, D : array_like, shape (rows,)
        Parameters and training tokens of the checkpoint of each row.
    n, c : array_like, shape (rows,)
        Samples and right samples of one question; no question is dropped for c = 0.
    start : BetaConsistentLaw, optional
        Search from this law alone instead of from several places: for refits of resamples, from
        the fit of the whole table, in a fraction of the time.

    Returns
    -------
    Fit
        ``objective`` is the negative log-likelihood in nats.

    Raises
    ------
    ValueError
        Where a value is not valid, c > n, there are fewer rows than parameters, N or D takes a
        single value, or no (or every) sample was right.
    """
    x, checkpoints, counts = _count_input(N, D, n, c, n_parameters=7)
    log_N, log_D = np.log(checkpoints[0]), np.log(checkpoints[1])
    middle_N, middle_D = log_N.mean(), log_D.mean()
    log_N, log_D = log_N - middle_N, log_D - middle_D

    shape_at = _ConsistentShape()

    def shape(v: FloatArray) -> Shape:
        term_N, term_D = np.exp(-v[3] * log_N), np.exp(-v[4] * log_D)
        losses = v[0] + v[1] * term_N + v[2] * term_D
        slopes = np.array(
            [np.ones_like(losses), term_N, term_D, -v[1] * log_N * term_N, -v[2] * log_D * term_D]
        )
        a, b, wrt, wrt_loss = shape_at(v[5:], losses)
        return a, b, np.concatenate([wrt_loss[:, None] * slopes, wrt], axis=1), wrt_loss

    bounds = [(0.0, None)] * 3 + [EXPONENT_RANGE] * 2 + _LINK_BOUNDS

    def place(first: Chinchilla, c0: float, c1: float, room: float) -> FloatArray:
        A = first.A * np.exp(-first.alpha * middle_N) + room
        B = first.B * np.exp(-first.beta * middle_D) + room
        return np.array([first.E, A, B, first.alpha, first.beta, c0, c1])

    if start is not None:
        starts = [place(start.chinchilla, start.c0, start.c1, 1e-3)]
    else:
        rough = _first_losses(checkpoints, counts)
        starts = [place(rough, c0, 0.0, 0.1) for c0 in (0.0, 2.0)]
        # A rough loss may put an exponent at its bound, which no search leaves.
        starts.append(place(Chinchilla(rough.E, 0.0, 0.0, 0.4, 0.4), 1.0, 0.0, 0.5))
    best, evaluations = _maximise(counts, shape, starts, bounds)
    E, A, B, alpha, beta, c0, c1 = best.x.tolist()
    A, B = A * float(np.exp(alpha * middle_N)), B * float(np.exp(beta * middle_D))
    law = BetaConsistentLaw(Chinchilla(E, A, B, alpha, beta), c0, c1)
    names = (*_CHINCHILLA, "c0", "c1")
    low, high = np.array(_LINK_BOUNDS).T
    bounded = _chinchilla_bounds(law.chinchilla, *checkpoints)
    bounded += _named_bounds(best.x[5:], low, high, names[5:])
    bounded += counts.flat(shape(best.x), names, bounded)
    return _count_fit(
        law,
        dict(zip(names, (E, A, B, alpha, beta, c0, c1), strict=True)),
        x,
        law.pass_at_k(*checkpoints, 1)[counts.questions],
        best,
        evaluations,
        bounded,
    )


def fit_beta_regression_counts(
    N: npt.ArrayLike,
    D: npt.ArrayLike,
    n: npt.ArrayLike,
    c: npt.ArrayLike,
    *,
    chinchilla: Chinchilla | None = None,
    start: BetaRegressionLaw | None = None,
) -> Fit:
    """Fit approach 2 to counts: theta by maximum likelihood of the Beta-binomial.

    Approach 2 needs a loss for each checkpoint, and counts give none: theta's midpoint and
    steepness could undo any scale of L. The Chinchilla law is therefore given, or taken from
    :func:`fit_beta_consistent_counts`, whose loss is the Beta's own E[-log p].

    Parameters
    ----------
    N, D, n, c : array_like, shape (rows,)
        As :func:`fit_beta_consistent_counts`.
    chinchilla : Chinchilla, optional
        Law of the mean negative log-likelihood.
    start : BetaRegressionLaw, optional
        Search from this law alone instead of from several places.

    Returns
    -------
    Fit
        ``objective`` is the negative log-likelihood in nats.

    Raises
    ------
    ValueError
        As :func:`fit_beta_consistent_counts`.
    """
    x, checkpoints, counts = _count_input(N, D, n, c, n_parameters=10)
    if chinchilla is None:
        near = BetaConsistentLaw(start.chinchilla, 2.0, 0.0) if start is not None else None
        chinchilla = fit_beta_consistent_counts(N, D, n, c, start=near).law.chinchilla
    losses = chinchilla.loss(*checkpoints)

    def shape(theta: FloatArray) -> Shape:
        a, b, wrt, wrt_loss = _regression_shape(theta, losses)
        return np.maximum(a, 1e-290), np.maximum(b, 1e-290), wrt, wrt_loss

    low, middle = np.quantile(losses, [0.05, 0.5])
    starts = [
        np.array([where, steepness, ceiling, 0.0, 0.0])
        for where in (low - 3, low, middle)
        for steepness in (0.5, 1.5)
        for ceiling in (0.3, 0.9)
    ]
    if start is not None:
        starts = [np.array(start.theta)]
    best, evaluations = _maximise(counts, shape, starts, _THETA_BOUNDS)
    law = BetaRegressionLaw(chinchilla, tuple(best.x.tolist()))
    edges = np.array(_THETA_BOUNDS).T
    bounded = _named_bounds(best.x, edges[0], edges[1], _THETA)
    bounded += counts.flat(shape(best.x), _THETA, bounded)
    return _count_fit(
        law,
        dict(zip(_THETA, best.x.tolist(), strict=True)),
        x,
        law.pass_at_k(*checkpoints, 1)[counts.questions],
        best,
        evaluations,
        bounded,
    )


class _Counts:
    """Distinct (checkpoint, n, c), each with how often it occurs.

    ``questions`` are the checkpoints of the rows that were given, ``rows`` those of distinct ones.
    """

    def __init__(self, rows: npt.NDArray[np.int64], n: FloatArray, c: FloatArray) -> None:
        codes = _codes(rows, n, c)
        first, self.repeats = _first_rows(codes), np.bincount(codes)
        self.rows, self.n, self.c, self.questions = rows[first], n[first], c[first], rows
        self.size = int(rows.max()) + 1
        self._choose = -np.log(self.n + 1) - special.betaln(self.n - self.c + 1, self.c + 1)
        # Sums over the samples that were right, wrong and drawn: the questions of a checkpoint
        # share many of them.
        self._of, shapes, samples = [], [], np.zeros(0)
        for kind, number in enumerate((self.c, self.n - self.c, self.n)):
            codes = _codes(self.rows, number)
            first = _first_rows(codes)
            self._of.append(codes + len(samples))
            shapes.append(kind * self.size + self.rows[first])
            samples = np.concatenate([samples, number[first]])
        self._shapes, few = np.concatenate(shapes), np.minimum(samples, _FEW).astype(int)
        self._few, self._more = 3 * self.size * few + self._shapes, samples - few
        _, of_wrong, of_drawn = self._of
        self._wrong = self._more[of_wrong]
        self._right = self._more[of_drawn] - self._wrong
        self._skipped = 3 * self.size * few[of_wrong] + self._shapes[of_drawn]

    def beta_binomial(
        self, a: FloatArray, b: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Log-likelihood of each row, and its derivatives by its a and b.

        ``log choose(n, c) + rise(a, c) + rise(b, n - c) - rise(a + b, n)``, where ``rise(z, k)`` is
        ``log gamma(z + k) - log gamma(z)``, a sum of k logarithms: the first of them are added, the
        others follow by Stirling's series. Differences of log-gammas lose their digits where b is
        large, as it is on hard tasks: every term here is of the size of the result.
        """
        of_right, of_wrong, of_drawn = self._of
        shapes = np.array([a, b, a + b])
        first = shapes + np.arange(float(_FEW))[:, None, None]
        start = shapes + _FEW
        near, more = start.ravel()[self._shapes], self._more
        far, ratio = near + more, np.log1p(more / near)
        both = near * far
        sums = np.zeros((_FEW + 1, *shapes.shape))
        np.cumsum(1 / first, axis=0, out=sums[1:])
        slope = (sums - passk._digamma_tail(start)).ravel()[self._few] + ratio
        slope += more * (0.5 + (near + far) / (12 * both)) / both + passk._digamma_tail(far)
        # Of the right and the drawn ones the logarithms themselves; of the wrong ones the part of
        # them that the drawn ones have beyond, for b and a + b hardly differ on hard tasks.
        np.cumsum(np.log(first), axis=0, out=sums[1:])
        sums[1:, 1] = -np.cumsum(np.log1p(a / first[:, 1]), axis=0)
        value = sums.ravel()[self._few] + passk._stirling(far)
        some = slice(of_right.max() + 1)
        value[some] += (far[some] - 0.5) * ratio[some] + more[some] * (np.log(near[some]) - 1)
        log = value[of_right] + value[of_wrong] - value[of_drawn] + sums.ravel()[self._skipped]
        # What Stirling's series of b and of a + b leave of each other, wrong samples before right.
        wrong, right, a_row = self._wrong, self._right, a[self.rows]
        b_near, b_far = near[of_wrong], far[of_wrong]
        ab_near, ab_far = near[of_drawn], far[of_drawn]
        ab_wrong = ab_near + wrong
        log += (b_near - 0.5) * np.log1p(a_row * (wrong / (ab_wrong * b_near)))
        log -= wrong * np.log1p(a_row / b_far) + a_row * np.log1p(wrong / ab_near)
        log -= (ab_far - 0.5) * np.log1p(right / ab_wrong) + right * (np.log(ab_wrong) - 1)
        of_a, of_b, of_ab = passk._stirling(start)
        log -= (of_a + of_b - of_ab)[self.rows]
        slope_a, slope_b = (slope[of] - slope[of_drawn] for of in (of_right, of_wrong))
        return self._choose + log, slope_a, slope_b

    def log_likelihood(self, a: FloatArray, b: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Return its total, and its derivatives by each checkpoint's a and b."""
        value, by_a, by_b = self.beta_binomial(a, b)
        total = float(self.repeats @ value)
        by_a = np.bincount(self.rows, self.repeats * by_a, self.size).astype(float)
        by_b = np.bincount(self.rows, self.repeats * by_b, self.size).astype(float)
        return total, by_a, by_b

    def flat(self, shape: Shape, names: tuple[str, ...], named: tuple[str, ...]) -> tuple[str, ...]:
        """Name free parameters that the counts cannot tell, by each row's score."""
        held = {bound.split(" ")[0] for bound in named}
        free = [i for i, name in enumerate(names) if name not in held]
        return _flat(self.scores(shape).T[free], tuple(names[i] for i in free))

    def scores(self, shape: Shape) -> FloatArray:
        """Slopes of each row's log-likelihood by the parameters, by the root of its repeats."""
        a, b, wrt, _ = shape
        _, by_a, by_b = self.beta_binomial(a, b)
        scores = by_a[:, None] * wrt[0].T[self.rows] + by_b[:, None] * wrt[1].T[self.rows]
        return scores * np.sqrt(self.repeats)[:, None]


def _count_input(
    N: npt.ArrayLike, D: npt.ArrayLike, n: npt.ArrayLike, c: npt.ArrayLike, n_parameters: int
) -> tuple[dict[str, FloatArray], tuple[FloatArray, FloatArray], _Counts]:
    columns = {"N": N, "D": D, "n": n, "c": c}
    x = _columns(columns, n_parameters=n_parameters, vary=("N", "D"), allow_zero=("c",))
    _counts(x["n"], x["c"])
    rows = _codes(x["N"], x["D"])
    first = _first_rows(rows)
    _enough_checkpoints(first)
    return x, (x["N"][first], x["D"][first]), _Counts(rows, x["n"], x["c"])


def _first_losses(checkpoints: tuple[FloatArray, FloatArray], counts: _Counts) -> Chinchilla:
    """Chinchilla law of a rough loss of each checkpoint, to start from."""
    weight = counts.repeats
    right = np.bincount(counts.rows, weight * counts.c, counts.size)
    drawn = np.bincount(counts.rows, weight * counts.n, counts.size)
    rough = 2.0 - np.log((right + 0.5) / (drawn + 1))
    return fit_chinchilla(*checkpoints, rough).law


def _maximise(
    counts: _Counts,
    shape: Callable[[FloatArray], Shape],
    starts: list[FloatArray],
    bounds: Sequence[tuple[float, float | None]],
) -> tuple[optimize.OptimizeResult, int]:
    """Best of several L-BFGS-B runs on the likelihood of counts, given the Beta's parameters.

    From several starts pilots lead to basins; the best two are followed, and more where these end
    at different optima.
    """
    low, high = np.array([(lo, np.inf if hi is None else hi) for lo, hi in bounds]).T
    results: list[optimize.OptimizeResult] = []

    def descend_from(start: FloatArray, most: int) -> optimize.OptimizeResult:
        # In units of each parameter's own error: a coefficient may count by its sixth digit.
        curvature = (counts.scores(shape(start)) ** 2).sum(axis=0)
        unit = 1 / np.sqrt(np.maximum(curvature, 1e-12 * curvature.max()) + 1e-300)

        def value(u: FloatArray) -> tuple[float, FloatArray]:
            a, b, wrt, _ = shape(u * unit)
            total, by_a, by_b = counts.log_likelihood(a, b)
            return -total, -(by_a @ wrt[0].T + by_b @ wrt[1].T) * unit

        options = {"maxiter": most, "maxfun": 10000, "ftol": 1e-13, "gtol": 1e-7, "maxcor": 30}
        ends = np.stack([low / unit, high / unit], axis=1)
        found = optimize.minimize(
            value, start / unit, jac=True, method="L-BFGS-B", bounds=ends, options=options
        )
        found.x = np.clip(found.x * unit, low, high)
        results.append(found)
        return found

    def search(start: FloatArray) -> float:
        best = descend_from(start, 5000)
        for _ in range(5):  # a search may end short of the optimum; begun anew it goes on
            again = descend_from(best.x, 5000)
            gained = best.fun - again.fun
            best = again if gained > 0 else best
            if gained < 1e-6:
                break
        return float(best.fun)

    pilots = [descend_from(start, 20) for start in starts] if len(starts) > 1 else []
    starts = [pilot.x for pilot in sorted(pilots, key=lambda pilot: float(pilot.fun))] or starts
    if np.ptp([search(start) for start in starts[:2]]) > 1e-6:
        for start in starts[2:5]:
            search(start)
    return min(results, key=lambda result: float(result.fun)), sum(r.nfev + 1 for r in results)


def _count_fit(
    law: BetaRegressionLaw | BetaConsistentLaw,
    params: dict[str, float],
    x: dict[str, FloatArray],
    expected: FloatArray,
    best: optimize.OptimizeResult,
    evaluations: int,
    at_bounds: tuple[str, ...],
) -> Fit:
    first = {name: getattr(law.chinchilla, name) for name in _CHINCHILLA}
    return Fit(
        law=law,
        params=first | params,
        objective=float(best.fun),
        residuals=x["c"] / x["n"] - expected,
        at_bounds=at_bounds,
        n_rows=len(x["n"]),
        fitted=Support(x["N"], x["D"], x["n"], right=x["c"]),
        evaluations=evaluations,
    )
