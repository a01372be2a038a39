"""Mixtures of a Beta with questions never or always solved, and the law with such a share."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import t2lib as t2
from t2lib.fitting.inflated import Mixture, fit_mixture, fit_zero_inflated_counts
from t2lib.laws import BetaConsistentLaw, Chinchilla, ZeroInflatedLaw

LAW = ZeroInflatedLaw(Chinchilla(1.0, 4e3, 4e3, 0.4, 0.4), 1.0, 0.3, 0.5, -0.4)


def drawn(seed=0, questions=400, n=200):
    rng = np.random.default_rng(seed)
    p = rng.beta(0.8, 20, questions)
    p[: questions // 4], p[-questions // 10 :] = 0.0, 1.0
    samples = np.full(questions, n)
    return samples, rng.binomial(samples, p)


def suite(law=LAW, questions=300, n=400, seed=0):
    """Counts of a law, a row a question."""
    rng, rows = np.random.default_rng(seed), []
    for N in (1e7, 1e8, 1e9):
        for D in (1e9, 1e10, 1e11):
            z = float(law.never_solved(N, D))
            shape = BetaConsistentLaw(law.chinchilla, law.c0, law.c1).shape(N, D)
            p = np.where(rng.random(questions) < z, 0, rng.beta(*shape, questions))
            rows += [(N, D, n, c) for c in rng.binomial(n, p)]
    return pd.DataFrame(rows, columns=["n_params", "n_tokens", "n_samples", "n_correct"])


def test_likelihood_is_that_of_scipy_and_nothing_nearby_is_larger():
    n, c = drawn()
    found = fit_mixture(n, c, never=True, always=True)

    def log_likelihood(a, b, z, w):
        beta = stats.betabinom.pmf(c, n, a, b)
        return np.log(z * (c == 0) + w * (c == n) + (1 - z - w) * beta).sum()

    best = np.array([found.a, found.b, found.never, found.always])
    assert found.log_likelihood == pytest.approx(log_likelihood(*best), rel=1e-9)
    for step in np.vstack([np.diag(best), -np.diag(best)]) * 1e-3:
        assert log_likelihood(*(best + step)) < found.log_likelihood + 1e-9


def test_simulated_shares_are_recovered():
    found = fit_mixture(*drawn(questions=4000), never=True, always=True)
    assert found.a == pytest.approx(0.8, rel=0.1) and found.b == pytest.approx(20, rel=0.1)
    assert found.never == pytest.approx(0.25, abs=0.03)
    assert found.always == pytest.approx(0.1, abs=0.01)


def test_without_shares_it_is_the_beta_and_more_never_fits_worse():
    n, c = drawn()
    plain = fit_mixture(n, c)
    assert (plain.a, plain.b) == pytest.approx(t2.fit_beta(n=n, c=c), rel=1e-4)
    never, both = fit_mixture(n, c, never=True), fit_mixture(n, c, never=True, always=True)
    rounding = 1e-9  # where a share is best at 0, two searches end at one optimum
    assert plain.log_likelihood <= never.log_likelihood + rounding
    assert never.log_likelihood <= both.log_likelihood + rounding


def test_a_held_share_is_held():
    n, c = drawn()
    held = fit_mixture(n, c, never=0.1)
    assert held.never == 0.1 and held.log_likelihood < fit_mixture(n, c, never=True).log_likelihood


def test_a_share_is_none_where_the_beta_is_true():
    rng = np.random.default_rng(0)
    n = np.full(2000, 300)
    found = fit_mixture(n, rng.binomial(n, rng.beta(2, 20, 2000)), never=True, always=True)
    assert found.never < 0.01 and found.always < 0.01


def test_pass_at_k_ends_at_the_share_that_can_be_solved():
    mixture = Mixture(0.5, 5.0, never=0.3, always=0.2)
    assert mixture.pass_at_k(1) == pytest.approx(0.2 + 0.5 * 0.5 / 5.5)
    assert mixture.pass_at_k(1e12) == pytest.approx(0.7, abs=1e-5)


@pytest.mark.parametrize(
    ("n", "c", "message"),
    [
        ([5, 5], [6, 0], r"c\[0\] is 6: is larger than n"),
        ([5, 5], [0, 0], "c is 0 in every row"),
        ([5, 5], [1, -1], r"c\[1\] is -1"),
        ([5, 5], [1, 0.5], r"c\[1\] is 0.5: must be a whole number"),
    ],
)
def test_bad_counts_raise(n, c, message):
    with pytest.raises(ValueError, match=message):
        fit_mixture(n, c, never=True)


def test_the_law_is_recovered_and_beats_the_one_without_a_share():
    table = suite()
    found = t2.fit("ZeroInflatedLaw", table)
    plain = t2.fit("BetaConsistentLaw", table)
    assert found.objective < plain.objective - 10
    places = table.drop_duplicates(["n_params", "n_tokens"])
    sizes = places["n_params"], places["n_tokens"]
    assert found.law.never_solved(*sizes) == pytest.approx(LAW.never_solved(*sizes), abs=0.12)
    for k in (1, 100, 1e6):
        assert found.law.pass_at_k(*sizes, k) == pytest.approx(LAW.pass_at_k(*sizes, k), abs=0.06)
    assert t2.law_of("ZeroInflatedLaw", found.params) == found.law
    again = fit_zero_inflated_counts(*(table[name] for name in table), start=found.law)
    assert again.objective == pytest.approx(found.objective, abs=1e-4)


def test_the_law_s_likelihood_is_that_of_scipy():
    table = suite(questions=20)
    found = t2.fit("ZeroInflatedLaw", table, start=LAW)
    law, (N, D, n, c) = found.law, (table[name].to_numpy() for name in table)
    z = law.never_solved(N, D)
    a, b = BetaConsistentLaw(law.chinchilla, law.c0, law.c1).shape(N, D)
    chance = z * (c == 0) + (1 - z) * stats.betabinom.pmf(c, n, a, b)
    assert found.objective == pytest.approx(-np.log(chance).sum(), rel=1e-9)


def test_a_law_of_no_number_is_refused():
    with pytest.raises(ValueError, match="z1 is nan"):
        ZeroInflatedLaw(LAW.chinchilla, 0.0, 0.0, 0.0, np.nan)
