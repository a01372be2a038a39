"""A Bayesian check of a fit: emcee through lmfit, with what tells whether to trust the chains."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from t2lib.fitting.projection import EXPONENT_RANGE
from t2lib.fitting.result import Fit
from t2lib.uncertainty.problem import COEFFICIENTS, Problem

# Flat priors need ends: an E or a coefficient beyond these is no scaling law.
_LARGEST_E = 20.0
_COEFFICIENT_RANGE = (1e-6, 1e40)
_OUTSIDE = 1e8  # a residual for what the priors exclude; lmfit takes no infinity
_EXPONENTS = dict(zip(COEFFICIENTS, ("alpha", "beta", "gamma"), strict=True))


@dataclass(frozen=True)
class Posterior:
    """Draws from the posterior distribution of a law's parameters.

    Attributes
    ----------
    draws : DataFrame
        One row a draw, a column a parameter, then the quantities asked for.
    autocorrelation_time : dict of str to float
        Steps of the chain that are worth one independent draw, by parameter.
    effective_draws : float
        Independent draws that the chains are worth: steps after the burn-in times walkers, over
        the longest autocorrelation time.
    long_enough : bool
        Whether the chain is 50 autocorrelation times long, emcee's rule of thumb.
    acceptance : float
        Mean share of proposals accepted; 0.2 to 0.5 is healthy.
    correlation : float
        Intraclass correlation of the residuals within groups; 0 where none were given.
    """

    draws: pd.DataFrame
    autocorrelation_time: dict[str, float]
    effective_draws: float
    long_enough: bool
    acceptance: float
    correlation: float


def posterior(
    fit: Fit,
    *,
    seed: int,
    steps: int = 4000,
    burn: int = 500,
    walkers: int = 16,
    groups: npt.ArrayLike | None = None,
    quantities: Mapping[str, Callable[[Any], float]] | None = None,
    most_draws: int = 4000,
) -> Posterior:
    """Sample the posterior of a law with normal errors of unknown size, by emcee.

    Priors are flat: in E, in the exponents, in the logarithms of the coefficients and of the size
    of the errors. Rows are taken as independent unless groups are given.

    Parameters
    ----------
    fit : Fit
        Of a law that is a sum of powers, by squared errors; its optimum is where the walkers
        start.
    seed : int
        The same seed gives the same draws.
    steps, burn, walkers : int
        Steps of each walker, how many of them are left out at the start, and walkers (even, at
        least twice the parameters).
    groups : array_like, shape (rows,), optional
        Label of each fitted row's group, such as its model: rows of a group share an error.
    quantities : mapping of str to callable, optional
        Name, and function of the law, of what to derive from each draw.
    most_draws : int
        The chain is thinned to this many draws at most.

    Returns
    -------
    Posterior

    Raises
    ------
    ValueError
        Where the fit has two stages or a likelihood, there are too few rows or groups, or the
        chain is not longer than its burn-in.
    ModuleNotFoundError
        Where emcee is not installed (it comes with ``pip install t2lib[book]``).

    References
    ----------
    Foreman-Mackey et al. (2013), "emcee: The MCMC Hammer"; Goodman and Weare (2010).
    """
    import emcee
    import lmfit

    if not 0 <= burn < steps:
        raise ValueError(f"burn is {burn} of {steps} steps: nothing is left")
    if "E" not in fit.params:
        raise ValueError(f"{type(fit.law).__name__} is no sum of powers: use a bootstrap")
    problem = Problem.of(fit, groups)
    ridge = _Ridge(Problem.of(fit))
    low, high = np.array([_prior(name) for name in problem.names]).T
    names = [f"u{i}" for i in range(len(problem.names))]
    parameters = lmfit.Parameters()
    for name, value in zip(names, ridge.straight(problem.start), strict=True):
        parameters.add(name, value=float(value))
    spread = round(float(np.log(problem.variance) / 2), 3)
    parameters.add("__lnsigma", value=spread, min=spread - 5, max=spread + 5)

    def residuals(p: Any) -> npt.NDArray[np.float64]:
        v = ridge.bent(np.array([p[name].value for name in names]))
        if np.all((v >= low) & (v <= high)):
            return problem.residuals(v)
        return np.full(fit.n_rows, _OUTSIDE)

    silence = io.StringIO()  # lmfit prints when a chain is short: that is in the result
    with contextlib.redirect_stdout(silence):
        minimizer = lmfit.Minimizer(residuals, parameters)
        minimizer.emcee(
            steps=steps,
            burn=burn,
            nwalkers=walkers,
            pos=_starts(problem, ridge, spread, walkers, seed),
            is_weighted=False,
            seed=seed,
            progress=False,
        )
    sampler = minimizer.sampler
    chains = sampler.get_chain(discard=burn)
    chains[:, :, :-1] = ridge.bent(chains[:, :, :-1])
    times = emcee.autocorr.integrated_time(chains, tol=0)
    chain = chains.reshape(-1, chains.shape[-1])
    kept = chain[:: -(-len(chain) // most_draws)]
    return Posterior(
        draws=_frame(problem, kept, quantities or {}),
        autocorrelation_time=dict(zip([*problem.names, "sigma"], times.tolist(), strict=True)),
        effective_draws=float(len(chain) / times.max()),
        long_enough=bool((steps - burn) >= 50 * times.max()),
        acceptance=float(sampler.acceptance_fraction.mean()),
        correlation=problem.correlation,
    )


class _Ridge:
    """Coordinates in which the bent ridge of a sum of powers is straight.

    The data tell each term's slope in their middle, ``s = log(c e x^-e)``, and the sum of all
    terms there, ``l``, far better than coefficient, exponent and E: along these a chain crawls.
    Given the exponents, ``s`` moves as ``log c`` does, and given both ``l`` as E does: the change
    of coordinates has determinant 1, so flat priors stay flat.
    """

    def __init__(self, problem: Problem) -> None:
        place = problem.names.index
        self.constant = place("E")
        self.terms = []
        slopes = problem.jacobian()
        for coefficient, exponent in _EXPONENTS.items():
            if coefficient in problem.names:
                c, e = place(coefficient), place(exponent)
                logs = -slopes[:, e] / slopes[:, c]  # of the term's variable, row by row
                # Any value near the middle does: a short one is the same on every machine.
                self.terms.append((c, e, round(float(logs.mean()), 2)))

    def straight(self, v: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """From the problem's coordinates, shape (..., free)."""
        u = v.copy()
        for c, e, middle in self.terms:
            u[..., c] += np.log(v[..., e]) - v[..., e] * middle
            u[..., self.constant] += np.exp(u[..., c]) / v[..., e]
        return u

    def bent(self, u: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Back to the problem's coordinates; not finite where there are none."""
        v = u.copy()
        with np.errstate(invalid="ignore", over="ignore"):
            for c, e, middle in self.terms:
                v[..., c] += u[..., e] * middle - np.log(u[..., e])
                v[..., self.constant] -= np.exp(u[..., c]) / u[..., e]
        return v


def _prior(name: str) -> tuple[float, float]:
    if name in COEFFICIENTS:
        low, high = np.log(_COEFFICIENT_RANGE)
        return float(low), float(high)
    return (0.0, _LARGEST_E) if name == "E" else EXPONENT_RANGE


def _starts(
    problem: Problem, ridge: _Ridge, spread: float, walkers: int, seed: int
) -> npt.NDArray[np.float64]:
    """Walkers around the optimum, spread as the curvature says, inside the priors."""
    rng = np.random.default_rng(seed)
    covariance = problem.covariance()
    values, vectors = np.linalg.eigh(covariance)
    # A flat direction has no curvature worth the name: start within a unit of the optimum there.
    # The symmetric root does not depend on the eigenvectors' signs, which differ by machine.
    root = (vectors * np.sqrt(np.clip(values, 0, 1))) @ vectors.T
    jump = rng.standard_normal((walkers, len(problem.start))) @ root
    low, high = np.array([_prior(name) for name in problem.names]).T
    # Rounded, as a chain magnifies the last digits of the optimum, which differ by machine too.
    step = 10 ** np.floor(np.log10(jump.std(axis=0)) - 3)
    places = step * np.round((problem.start + jump) / step)
    places = np.where(places < low, 2 * low - places, places)  # reflected at the bound
    places = np.clip(places, low + 1e-9, high - 1e-9)
    noise = spread + 0.05 * rng.standard_normal((walkers, 1))
    return np.concatenate([ridge.straight(places), noise], axis=1)


def _frame(
    problem: Problem,
    chain: npt.NDArray[np.float64],
    quantities: Mapping[str, Callable[[Any], float]],
) -> pd.DataFrame:
    rows = []
    for v in chain[:, :-1]:
        row = {name: problem.params(v)[name] for name in problem.names}
        law = problem.law(v)
        rows.append(row | {name: float(function(law)) for name, function in quantities.items()})
    return pd.DataFrame(rows)
