"""The Bayesian check: agrees with the profile, same draws for a seed, honest about its length."""

import numpy as np
import pytest

import t2lib as t2
from t2lib.uncertainty.posteriors import _Ridge
from t2lib.uncertainty.problem import Problem

TRUTH = t2.Chinchilla(E=1.8, A=480.0, B=2000.0, alpha=0.35, beta=0.37)


def exponent(law):
    return law.compute_exponent


@pytest.fixture(scope="module")
def fit():
    rng = np.random.default_rng(0)
    N, D = (x.ravel() for x in np.meshgrid(np.geomspace(5e7, 5e9, 9), np.geomspace(1e9, 3e11, 9)))
    return t2.fit_chinchilla(N, D, TRUTH.loss(N, D) + 0.01 * rng.standard_normal(len(N)))


@pytest.fixture(scope="module")
def sample(fit):
    return t2.posterior(fit, seed=0, steps=2500, burn=400, quantities={"a": exponent})


def test_agrees_with_the_profile_where_priors_are_flat(fit, sample):
    for name, quantity in (("a", exponent), ("alpha", "alpha"), ("E", "E")):
        profile = t2.profile(fit, quantity)
        low, high = np.quantile(sample.draws[name], [0.025, 0.975])
        assert high - low == pytest.approx(profile.high - profile.low, rel=0.2)
        assert abs(low - profile.low) < 0.2 * (profile.high - profile.low)


def test_says_what_the_chain_is_worth(sample):
    slowest = max(sample.autocorrelation_time.values())
    assert slowest > 1
    assert sample.effective_draws == pytest.approx(2100 * 16 / slowest)
    assert sample.long_enough == (50 * slowest <= 2100)
    assert 0.15 < sample.acceptance < 0.7
    assert len(sample.draws) <= 4000


def test_same_seed_same_draws(fit):
    one, same, other = (
        t2.posterior(fit, seed=s, steps=60, burn=10).draws.to_numpy() for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_bad_input(fit):
    with pytest.raises(ValueError, match="nothing is left"):
        t2.posterior(fit, seed=0, steps=100, burn=100)
    sizes = [1e8, 1e8, 1e9, 1e9, 1e10], [1e9, 1e10, 1e9, 1e10, 1e11], [1, 4, 1, 4, 16]
    linear = t2.fit_interaction(*sizes, [0.1, 0.2, 0.3, 0.5, 0.6])
    with pytest.raises(ValueError, match="InteractionLaw is no sum of powers"):
        t2.posterior(linear, seed=0)


def test_the_straight_coordinates_keep_flat_priors_flat(fit):
    """There and back is the identity; the map's determinant is 1 wherever one looks."""
    problem = Problem.of(fit)
    ridge = _Ridge(problem)
    rng = np.random.default_rng(0)
    for _ in range(5):
        v = problem.start * rng.uniform(0.7, 1.3, len(problem.start))
        np.testing.assert_allclose(ridge.bent(ridge.straight(v)), v, rtol=1e-10)
        steps = 1e-5 * np.eye(len(v))
        slopes = [(ridge.straight(v + h) - ridge.straight(v - h)) / 2e-5 for h in steps]
        assert np.linalg.det(np.array(slopes)) == pytest.approx(1, rel=1e-6)


def test_gemstones_do_not_hold_the_chain_up():
    """Where E and the term of N are hardly told apart, plain coordinates took 500 steps."""
    table = t2.load_curves("gemstones").query("task == 'hellaswag_zeroshot' and k == 1")
    fitted = t2.ChinchillaRefit(loss="mean_nll")(table)
    chain = t2.posterior(fitted, seed=0, steps=1500)
    profile = t2.profile(fitted, "alpha")
    low, high = np.quantile(chain.draws["alpha"], [0.025, 0.975])
    assert high - low == pytest.approx(profile.high - profile.low, rel=0.25)


def test_prints_nothing(fit, capfd):
    t2.posterior(fit, seed=0, steps=60, burn=10)
    assert capfd.readouterr() == ("", "")
