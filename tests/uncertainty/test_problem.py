"""Fits as least-squares problems: coordinates, held parameters, shared errors."""

import numpy as np
import pytest

import t2lib as t2
from t2lib.uncertainty.problem import Problem, intraclass_correlation

TRUTH = t2.Chinchilla(E=1.8, A=480.0, B=2000.0, alpha=0.35, beta=0.37)


def suite(models=9, checkpoints=8):
    N, D = np.meshgrid(np.geomspace(5e7, 5e9, models), np.geomspace(1e10, 3e11, checkpoints))
    model = np.broadcast_to(np.arange(models), N.shape)
    return N.ravel(), D.ravel(), model.ravel()


def noisy_fit(seed=0, shared=0.0, own=0.01):
    rng = np.random.default_rng(seed)
    N, D, model = suite()
    error = shared * rng.standard_normal(9)[model] + own * rng.standard_normal(len(N))
    return t2.fit_chinchilla(N, D, TRUTH.loss(N, D) + error), model


def test_the_start_is_the_fit_s_optimum():
    fit, _ = noisy_fit()
    problem = Problem.of(fit)
    assert problem.minimum == pytest.approx(fit.objective, rel=1e-9)
    assert problem.law(problem.start).loss(1e9, 1e11) == pytest.approx(fit.law.loss(1e9, 1e11))
    gradient = problem.jacobian().T @ problem.residuals(problem.start)
    lengths = np.linalg.norm(problem.jacobian(), axis=0)
    assert np.abs(gradient / lengths).max() < 1e-5


def test_curvature_is_lmfit_s():
    fit, _ = noisy_fit()
    ours = dict(zip(fit.params, np.sqrt(np.diag(Problem.of(fit).covariance())), strict=True))
    for name, error in fit.standard_errors().items():
        scale = fit.params[name] if name in ("A", "B") else 1.0
        assert ours[name] * scale == pytest.approx(error, rel=1e-3)


def test_a_vanished_term_is_held():
    """Losses that do not depend on D: B is 0, beta is not told, the other three are free."""
    N, D, _ = suite()
    rng = np.random.default_rng(1)
    loss = 2 + 50 * N**-0.3 + 0.02 * D / D.max() + 1e-3 * rng.standard_normal(len(N))
    fit = t2.fit_chinchilla(N, D, loss)
    assert fit.params["B"] == 0
    assert set(Problem.of(fit).names) == {"E", "A", "alpha"}
    with pytest.raises(ValueError, match="'beta' is no free parameter"):
        t2.profile(fit, "beta")


def test_intraclass_correlation_is_recovered():
    rng = np.random.default_rng(2)
    groups = np.repeat(np.arange(400), 10)
    for shared in (0.0, 0.3, 0.8):
        error = np.sqrt(shared) * rng.standard_normal(400)[groups]
        error += np.sqrt(1 - shared) * rng.standard_normal(len(groups))
        assert intraclass_correlation(error, groups) == pytest.approx(shared, abs=0.04)


def test_shared_errors_become_independent():
    """What is left of whitened residuals has no correlation within groups, and equal variance."""
    fit, model = noisy_fit(seed=3, shared=0.03, own=0.01)
    problem = Problem.of(fit, model)
    assert problem.correlation > 0.5
    assert abs(intraclass_correlation(problem.residuals(problem.start), model)) < 0.1
    assert problem.freedom == 9 - 5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f, m: Problem.of(f, m[:-1]), "71 labels for 72 rows"),
        (lambda f, m: Problem.of(f, np.where(m == 3, np.nan, m)), "is empty"),
        (lambda f, m: Problem.of(f, m % 4), "4 groups cannot tell 5 parameters"),
        (lambda f, m: intraclass_correlation(np.ones(3), ["a", "a", "a"]), "1 groups of 3 rows"),
        (lambda f, m: intraclass_correlation(np.ones(3), ["a", "b", "c"]), "is not told"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call(*noisy_fit())


def test_two_stages_are_refused():
    N, D, _ = suite()
    law = t2.BetaConsistentLaw(TRUTH, c0=0.8, c1=0.6)
    rows = [np.repeat(x, 2) for x in (N, D)]
    k = np.tile([1.0, 16.0], len(N))
    fit = t2.fit_beta_consistent(*rows, k, law.pass_at_k(*rows, k), loss=TRUTH.loss(*rows))
    with pytest.raises(ValueError, match="use a bootstrap"):
        Problem.of(fit)
