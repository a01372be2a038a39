"""Fits: one function a law, each returning a :class:`Fit`.

Sums of powers are fitted by variable projection (:mod:`t2lib.fitting.projection`); the Beta laws by
bounded least squares or maximum likelihood with analytic derivatives on top of a Chinchilla fit.
A parameter at a bound, a flat direction or a runaway exponent is named in ``Fit.at_bounds``.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

from t2lib._checks import FloatArray, at_least_one, counted, require
from t2lib.fitting.huber import fit_huber_logs
from t2lib.fitting.projection import EXPONENT_RANGE, PowerSum, fit_power_sum, fit_power_sums
from t2lib.fitting.result import Fit, Residuals
from t2lib.laws import (
    AdditiveLaw,
    Chinchilla,
    InteractionLaw,
    LawsAtEachK,
)
from t2lib.planning.support import Support

# Each power term's coefficient, with its exponent and the size that is raised to it.
Terms = dict[str, tuple[str, FloatArray]]


# ------------------------------------------------------------------------------- Chinchilla


def fit_chinchilla(
    N: npt.ArrayLike,
    D: npt.ArrayLike,
    loss: npt.ArrayLike,
    *,
    objective: Literal["sse", "huber_log"] = "sse",
    delta: float = 1e-3,
    weights: npt.ArrayLike | None = None,
) -> Fit:
    """Fit the Chinchilla law ``L = E + A N^-alpha + B D^-beta``.

    Parameters
    ----------
    N, D : array_like, shape (n,)
        Parameters and training tokens of each run, positive.
    loss : array_like, shape (n,)
        Loss of each run in nats, positive.
    objective : {"sse", "huber_log"}
        "sse": sum of squared residuals, by variable projection. "huber_log": sum of Huber losses
        of ``log L_predicted - log L``, by damped Newton and reweighting steps from two projected
        optima.
    delta : float
        Where the Huber loss turns from quadratic to linear, in units of log loss.
    weights : array_like, shape (n,), optional
        Positive weights of the rows' terms in the objective; 1 by default.

    Returns
    -------
    Fit
        With a :class:`~t2lib.Chinchilla` law; residuals in nats.

    Raises
    ------
    ValueError
        Where a value is not positive and finite, lengths differ, there are fewer rows than
        parameters, or N or D takes a single value.

    References
    ----------
    Hoffmann et al. (2022), approach 3; Besiroglu et al. (2024) for the Huber loss on log
    residuals.

    Examples
    --------
    >>> truth = Chinchilla(E=1.7, A=400.0, B=2000.0, alpha=0.35, beta=0.37)
    >>> N, D = np.meshgrid([1e8, 3e8, 1e9], [1e9, 1e10, 1e11])
    >>> fit = fit_chinchilla(N.ravel(), D.ravel(), truth.loss(N, D).ravel())
    >>> {name: round(value, 3) for name, value in fit.params.items()}
    {'E': 1.7, 'A': 400.0, 'B': 2000.0, 'alpha': 0.35, 'beta': 0.37}
    """
    columns = {"N": N, "D": D, "loss": loss, "weights": _weights(weights, loss)}
    x = _columns(columns, n_parameters=5, vary=("N", "D"))
    root = np.sqrt(x["weights"])
    evaluations = 0
    scaled: Residuals
    if objective == "sse":
        found = fit_power_sum([x["N"], x["D"]], x["loss"], x["weights"])
        law, value, evaluations = _as_chinchilla(found), found.objective, found.evaluations

        def scaled(p: dict[str, float]) -> FloatArray:
            return root * (_power_sum(p, x) - x["loss"])

    elif objective == "huber_log":
        if not delta > 0:
            raise ValueError(f"delta is {delta:g}: must be positive")
        found_law, values = fit_huber_logs(x["N"], x["D"], x["loss"], x["weights"][None, :], delta)
        law, value = Chinchilla(*found_law[0].tolist()), float(values[0])

        def scaled(p: dict[str, float]) -> FloatArray:
            # Half the sum of squares of this is the sum of Huber losses.
            r = np.log(np.maximum(_power_sum(p, x), 1e-300)) - np.log(x["loss"])
            return root * np.sign(r) * np.sqrt(2 * special.huber(delta, r))

    else:
        raise ValueError(f"objective is {objective!r}: must be 'sse' or 'huber_log'")
    params = {name: getattr(law, name) for name in ("E", "A", "B", "alpha", "beta")}
    return Fit(
        law=law,
        params=params,
        objective=value,
        residuals=x["loss"] - law.loss(x["N"], x["D"]),
        at_bounds=_power_bounds(
            params, {"A": ("alpha", x["N"]), "B": ("beta", x["D"])}, x["weights"]
        ),
        n_rows=len(x["loss"]),
        fitted=Support(x["N"], x["D"], seen=x["loss"], metric="loss"),
        evaluations=evaluations,
        _scaled_residuals=scaled,
    )


def _as_chinchilla(found: PowerSum) -> Chinchilla:
    (A, B), (alpha, beta) = found.coefficients[:2], found.exponents[:2]
    return Chinchilla(found.constant, float(A), float(B), float(alpha), float(beta))


def _power_sum(p: dict[str, float], x: dict[str, FloatArray]) -> FloatArray:
    """E + A N^-alpha + B D^-beta (+ G k^-gamma) without the laws' refusal of negative values."""
    total = p["E"] + p["A"] * x["N"] ** -p["alpha"] + p["B"] * x["D"] ** -p["beta"]
    return total + p["G"] * x["k"] ** -p["gamma"] if "G" in p else total


# ------------------------------------------------------------------- approach 1 and the rivals


def fit_additive(
    N: npt.ArrayLike,
    D: npt.ArrayLike,
    k: npt.ArrayLike,
    neg_log_pass: npt.ArrayLike,
    *,
    weights: npt.ArrayLike | None = None,
    method: Literal["projection", "paper"] = "projection",
    restarts: int = 500,
    seed: int = 0,
) -> Fit:
    """Fit approach 1, ``-log pass@k = E + A N^-alpha + B D^-beta + G k^-gamma``.

    Parameters
    ----------
    N, D, k : array_like, shape (n,)
        Parameters, training tokens and samples of each row, positive, k at least 1.
    neg_log_pass : array_like, shape (n,)
        Mean over questions of -log pass@k in nats, not negative.
    weights : array_like, shape (n,), optional
        Positive weights of the squared residuals; 1 by default.
    method : {"projection", "paper"}
        "projection": the three exponents are searched, E, A, B and G solved for inside.
        "paper": the recipe of the paper's appendix F, to compare with: L-BFGS-B on all seven
        parameters from random starts (at most 5,000 iterations each, tolerance 1e-15), the best
        kept. Coefficients and exponents start log-uniformly; the paper does not print its ranges.
    restarts, seed : int
        Number and seed of the starts of "paper".

    Returns
    -------
    Fit
        With an :class:`~t2lib.AdditiveLaw`; residuals in nats. For "paper",
        ``Fit.restarts`` holds the objective each start arrived at.

    Raises
    ------
    ValueError
        Where a value is not valid, lengths differ, there are fewer rows than parameters, N, D or
        k takes a single value, or every -log pass@k is 0.

    References
    ----------
    Roberts et al. (2026), arXiv:2604.01411, approach 1 and appendix F.
    """
    columns = {"N": N, "D": D, "k": k, "neg_log_pass": neg_log_pass}
    columns["weights"] = _weights(weights, neg_log_pass)
    x = _columns(columns, n_parameters=7, vary=("N", "D", "k"), allow_zero=("neg_log_pass",))
    at_least_one(x["k"])
    y, root = x["neg_log_pass"], np.sqrt(x["weights"])
    _something_to_fit(y)
    arrived = None
    if method == "projection":
        found = fit_power_sum([x["N"], x["D"], x["k"]], y, x["weights"])
    elif method == "paper":
        found, arrived = _restarts(x, restarts, seed)
    else:
        raise ValueError(f"method is {method!r}: must be 'projection' or 'paper'")
    (A, B, G), (alpha, beta, gamma) = found.coefficients.tolist(), found.exponents.tolist()
    law = AdditiveLaw(found.constant, A, B, alpha, beta, G, gamma)
    params = {name: getattr(law, name) for name in ("E", "A", "B", "alpha", "beta", "G", "gamma")}
    terms = {"A": ("alpha", x["N"]), "B": ("beta", x["D"]), "G": ("gamma", x["k"])}
    return Fit(
        law=law,
        params=params,
        objective=found.objective,
        residuals=y - law.neg_log_pass(x["N"], x["D"], x["k"]),
        at_bounds=_power_bounds(params, terms, x["weights"]),
        n_rows=len(y),
        fitted=Support(x["N"], x["D"], x["k"], y, "neg_log_pass"),
        evaluations=found.evaluations,
        restarts=arrived,
        _scaled_residuals=lambda p: root * (_power_sum(p, x) - y),
    )


def _something_to_fit(neg_log_pass: FloatArray) -> None:
    if not neg_log_pass.any():
        raise ValueError("neg_log_pass is 0 in every row: there is nothing to fit")


def _restarts(x: dict[str, FloatArray], restarts: int, seed: int) -> tuple[PowerSum, FloatArray]:
    """The paper's recipe: L-BFGS-B on all parameters from random starts."""
    if restarts < 1:
        raise ValueError(f"restarts is {restarts}: must be at least 1")
    logs = [np.log(x[name]) for name in ("N", "D", "k")]
    middles = np.array([values.mean() for values in logs])
    logs = [values - middle for values, middle in zip(logs, middles, strict=True)]
    y, w = x["neg_log_pass"], x["weights"]

    def value_and_gradient(v: FloatArray) -> tuple[float, FloatArray]:
        powers = [np.exp(-e * log) for e, log in zip(v[4:], logs, strict=True)]
        r = v[0] + sum(c * power for c, power in zip(v[1:4], powers, strict=True)) - y
        weighted = 2 * w * r
        moments = [weighted * power for power in powers]
        slopes = [-c * (m @ log) for c, m, log in zip(v[1:4], moments, logs, strict=True)]
        gradient = np.array([weighted.sum(), *(m.sum() for m in moments), *slopes])
        return float(w @ (r * r)), gradient

    rng = np.random.default_rng(seed)
    # Coefficients as terms in the middle of the data: their size is then that of y.
    size = float(np.average(y, weights=w))
    starts = np.exp(rng.uniform(np.log(0.01), np.log(2.0), (restarts, 7)))
    starts[:, :4] *= size
    arrived, best = np.empty(restarts), None
    evaluations = 0
    for i, start in enumerate(starts):
        result = optimize.minimize(
            value_and_gradient,
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=[(0, None)] * 4 + [EXPONENT_RANGE] * 3,
            options={"maxiter": 5000, "maxfun": 50000, "ftol": 1e-15, "gtol": 1e-15},
        )
        arrived[i] = result.fun
        evaluations += result.nfev
        if best is None or result.fun < best.fun:
            best = result
    assert best is not None
    coefficients = best.x[1:4] * np.exp(best.x[4:] * middles)
    found = PowerSum(float(best.x[0]), coefficients, best.x[4:], float(best.fun), evaluations)
    return found, arrived


def fit_interaction(
    N: npt.ArrayLike, D: npt.ArrayLike, k: npt.ArrayLike, pass_at_k: npt.ArrayLike
) -> Fit:
    """Fit Krajewski et al.'s interaction law by linear least squares on ``log(-log Q)``.

    Parameters
    ----------
    N, D, k : array_like, shape (n,)
        Parameters, training tokens and samples of each row.
    pass_at_k : array_like, shape (n,)
        Task's pass@k, above 0 and below 1: its double logarithm is fitted.

    Returns
    -------
    Fit
        With an :class:`~t2lib.InteractionLaw`; residuals are of pass@k.

    Raises
    ------
    ValueError
        Where a value is not valid (a pass@k of 0 or 1 among them), there are fewer rows than
        parameters, or compute or k takes a single value.
    """
    columns = {"N": N, "D": D, "k": k, "pass_at_k": pass_at_k}
    x = _columns(columns, n_parameters=4, vary=("k",))
    Q = x["pass_at_k"]
    require(Q < 1, "pass_at_k", Q, "must be below 1: its double logarithm is fitted")
    C = 6 * x["N"] * x["D"]
    log_C, log_k = np.log(C), np.log(at_least_one(x["k"]))
    if _is_one_value(C):
        raise ValueError("6 N D is the same in every row: its exponent cannot be fitted")
    design = np.stack([np.ones_like(Q), log_C, log_k, log_C * log_k], axis=1)
    target = np.log(-np.log(Q))
    solution, _, _, _ = np.linalg.lstsq(design, target)
    law = InteractionLaw(*solution.tolist())
    names = ("log_A", "alpha", "beta", "delta")
    middle = log_C - log_C.mean()
    centred = np.stack([np.ones_like(Q), middle, log_k, middle * log_k])
    return Fit(
        law=law,
        params=dict(zip(names, solution.tolist(), strict=True)),
        objective=float(((design @ solution - target) ** 2).sum()),
        residuals=Q - law.pass_at_k(x["N"], x["D"], x["k"]),
        at_bounds=_flat(centred, names),
        n_rows=len(Q),
        fitted=Support(x["N"], x["D"], x["k"], Q),
        evaluations=1,
        _scaled_residuals=lambda p: design @ np.array([p[name] for name in names]) - target,
    )


def fit_at_each_k(
    N: npt.ArrayLike,
    D: npt.ArrayLike,
    k: npt.ArrayLike,
    pass_at_k: npt.ArrayLike,
    *,
    by_compute: bool = True,
) -> Fit:
    """Fit Schaeffer et al.'s laws: a saturating power law of ``-log Q`` for each k apart.

    Squared residuals are relative to ``-log Q``, so that rows of every size count alike.

    Parameters
    ----------
    N, D, k : array_like, shape (n,)
        Parameters, training tokens and samples of each row.
    pass_at_k : array_like, shape (n,)
        Task's pass@k, above 0 and below 1.
    by_compute : bool
        Fit ``E + C0 C^-alpha`` with C = 6 N D, otherwise ``E + A N^-alpha + B D^-beta``.

    Returns
    -------
    Fit
        With a :class:`~t2lib.LawsAtEachK`; parameters are named ``E[1]``, ``alpha[1]``, ...
        by their k; residuals are of pass@k.

    Raises
    ------
    ValueError
        Where a value is not valid (a pass@k of 0 or 1 among them), or a k has fewer rows than its
        law has parameters, or a single size.
    """
    columns = {"N": N, "D": D, "k": k, "pass_at_k": pass_at_k}
    x = _columns(columns, n_parameters=3, vary=())
    Q = x["pass_at_k"]
    require(Q < 1, "pass_at_k", Q, "must be below 1: its logarithm is fitted")
    ks = np.unique(at_least_one(x["k"]))
    rows = [np.flatnonzero(x["k"] == value) for value in ks]
    sizes = []
    for value, here in zip(ks, rows, strict=True):
        own = {"N": x["N"][here], "D": x["D"][here]}
        if by_compute:
            own = {"C": 6 * own["N"] * own["D"]}
        try:
            sizes.append(_columns(dict(own), n_parameters=1 + 2 * len(own), vary=tuple(own)))
        except ValueError as error:
            raise ValueError(f"at k = {value:g}: {error}") from None
    # The k of the same checkpoints, mostly all, are fitted side by side.
    alike: dict[bytes, list[int]] = {}
    for i, own in enumerate(sizes):
        alike.setdefault(np.array(list(own.values())).tobytes(), []).append(i)
    fits: dict[int, PowerSum] = {}
    for which in alike.values():
        y = np.stack([-np.log(Q[rows[i]]) for i in which])
        together = fit_power_sums(list(sizes[which[0]].values()), y, 1 / y**2)
        fits |= dict(zip(which, together, strict=True))
    laws: list[Chinchilla] = []
    params: dict[str, float] = {}
    bounds: list[str] = []
    objective = 0.0
    for i, value in enumerate(ks):
        found = fits[i]
        if by_compute:  # Chinchilla's second term switched off
            one = Chinchilla(
                found.constant, float(found.coefficients[0]), 0.0, float(found.exponents[0]), 1.0
            )
            terms = {"A": ("alpha", sizes[i]["C"])}
        else:
            one = _as_chinchilla(found)
            terms = {"A": ("alpha", sizes[i]["N"]), "B": ("beta", sizes[i]["D"])}
        laws.append(one)
        objective += found.objective
        names = ("E", "A", "alpha") if by_compute else ("E", "A", "B", "alpha", "beta")
        numbers = {name: getattr(one, name) for name in names}
        params |= {f"{name}[{value:g}]": number for name, number in numbers.items()}
        for bound in _power_bounds(numbers, terms, np.log(Q[rows[i]]) ** -2):
            name, _, rest = bound.partition(" ")
            bounds.append(f"{name}[{value:g}] {rest}")
    law = LawsAtEachK(tuple(ks.tolist()), tuple(laws), by_compute)
    return Fit(
        law=law,
        params=params,
        objective=objective,
        residuals=Q - law.pass_at_k(x["N"], x["D"], x["k"]),
        at_bounds=tuple(bounds),
        n_rows=len(Q),
        fitted=Support(x["N"], x["D"], x["k"], Q),
    )


# ------------------------------------------------------------------------- checks and bounds


def _weights(weights: npt.ArrayLike | None, like: npt.ArrayLike) -> npt.ArrayLike:
    if weights is not None:
        return weights
    # As objects, so that a column that is no column of numbers is refused with its name.
    return np.ones(like.shape if hasattr(like, "shape") else np.asarray(like, dtype=object).shape)


def _columns(
    columns: Mapping[str, npt.ArrayLike],
    *,
    n_parameters: int,
    vary: tuple[str, ...],
    allow_zero: tuple[str, ...] = (),
) -> dict[str, FloatArray]:
    """Check equal-length, positive, finite columns with enough rows and more than one level."""
    arrays = {}
    for name, values in columns.items():
        array = _numbers(values, name)
        if array.ndim != 1:
            raise ValueError(f"{name} has {array.ndim} axes: must be one column of numbers")
        good = np.isfinite(array) & ((array >= 0) if name in allow_zero else (array > 0))
        rule = "not negative and finite" if name in allow_zero else "positive and finite"
        require(good, name, array, f"must be {rule}")
        arrays[name] = array
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise ValueError(f"columns differ in length: {listed}")
    _enough_rows(arrays, next(iter(lengths.values())), n_parameters, vary)
    return arrays


def _enough_rows(
    arrays: dict[str, FloatArray], n_rows: int, n_parameters: int, vary: tuple[str, ...]
) -> None:
    """Refuse fewer rows than parameters, and sizes that take a single value."""
    if n_rows < n_parameters:
        raise ValueError(f"{counted(n_rows, 'row')} cannot fix {n_parameters} parameters")
    for name in vary:
        if _is_one_value(arrays[name]):
            raise ValueError(
                f"{name} is {arrays[name][0]:g} in every row: its exponent cannot be fitted"
            )


def _numbers(values: npt.ArrayLike, name: str) -> FloatArray:
    """Return an array of floats, or say which value is no number."""
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        for i, value in enumerate(np.asarray(values, dtype=object).ravel()):
            try:
                float(value)
            except (TypeError, ValueError):
                raise ValueError(f"{name}[{i}] is {value!r}: must be a number") from None
        raise


def _is_one_value(values: FloatArray) -> bool:
    """Whether positive values differ by no more than rounding, as 6 N D at one budget does."""
    return bool(values.max() / values.min() - 1 < 1e-9)


def _power_bounds(
    params: dict[str, float], terms: Terms, weights: FloatArray | None = None
) -> tuple[str, ...]:
    """Name the parameters of a sum of powers that lie at a bound or that the data cannot tell."""
    found = ["E at 0"] if params["E"] == 0 else []
    low, high = EXPONENT_RANGE
    columns = {"E": np.ones(len(next(iter(terms.values()))[1]))}
    logs = {}
    for coefficient, (exponent, size) in terms.items():
        log = np.log(size)
        middle = float(log.mean())
        logs[exponent] = log = log - middle
        # The coefficient at the middle of the data: at size 1 it only repeats the exponent.
        columns[coefficient] = np.exp(-params[exponent] * log)
        there = params[coefficient] * float(np.exp(-params[exponent] * middle))
        columns[exponent] = there * columns[coefficient] * log
        if params[coefficient] == 0:
            found += [f"{coefficient} at 0", f"{exponent} not told: {coefficient} is 0"]
        elif params[exponent] <= low * 1.001:
            found.append(f"{exponent} at its lower bound {low:g}")
        elif params[exponent] >= high * 0.999:
            found.append(f"{exponent} at its upper bound {high:g}")
        low_size, high_size = size.min(), size.max()
        # E + A x^-alpha is then two numbers for three parameters.
        if low_size < high_size and ((size == low_size) | (size == high_size)).all():
            reason = f"not told: the size of {exponent} takes two values only"
            found += [f"{name} {reason}" for name in ("E", coefficient, exponent)]
    named = {bound.split(" ")[0] for bound in found}
    free = {name: column for name, column in columns.items() if name not in named}
    if free:
        rows = np.array(list(free.values()))
        found += _flat(rows if weights is None else rows * np.sqrt(weights), tuple(free))
    return (*found, *_exchangeable(logs))


def _exchangeable(logs: dict[str, FloatArray]) -> list[str]:
    """Name exponents of sizes that rise together: where D = c N^s the two terms can swap.

    ``logs`` are the logarithms of each exponent's size, less their mean.
    """
    found = []
    squares = {exponent: float(log @ log) for exponent, log in logs.items()}
    for one, other in combinations(logs, 2):
        together = float(logs[one] @ logs[other])
        alike = together > (1 - 1e-6) * (squares[one] * squares[other]) ** 0.5
        if alike and min(np.ptp(logs[one]), np.ptp(logs[other])) >= 1e-9:
            found += [
                f"{e} not told from {f}: their sizes rise together"
                for e, f in ((one, other), (other, one))
            ]
    return found


def _flat(slopes: FloatArray, names: tuple[str, ...]) -> tuple[str, ...]:
    """Name the parameters along which the residuals hardly change, where there are any.

    ``slopes`` are the residuals' by each parameter, shape (parameters, n), here scaled to unit
    length; a singular value under 1e-4 of the largest means that the parameters of that direction
    can trade against each other.
    """
    gram = slopes @ slopes.T
    lengths = np.sqrt(gram.diagonal())
    dead = lengths <= 1e-12 * lengths.max()
    found = [f"{name} flat" for name, gone in zip(names, dead, strict=True) if gone]
    alive = np.flatnonzero(~dead)
    if len(alive) > 1:
        scaled = gram[np.ix_(alive, alive)] / np.multiply.outer(lengths[alive], lengths[alive])
        # Squares of the singular values; 1e-8 of the largest is far above their rounding.
        values, directions = np.linalg.eigh(scaled)
        small = values < 1e-8 * values[-1]
        if small.any():
            heavy = np.flatnonzero(np.abs(directions[:, small]).max(axis=1) > 0.3)
            found += [f"{names[alive[i]]} in a flat direction" for i in heavy]
    return tuple(found)
