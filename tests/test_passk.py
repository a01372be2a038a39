"""Pass@k: against brute force, closed forms and 60-digit arithmetic."""

import itertools
import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import t2lib as t2
from t2lib import passk
from t2lib.passk import beta_mean_nll

EPS = 1e-12


def exact_pass_at_k(n, c, k):
    return 1 - math.comb(n - c, k) / math.comb(n, k)


def test_counts_against_binomial_coefficients():
    for n in (1, 2, 7, 30):
        for c, k in itertools.product(range(n + 1), range(1, n + 1)):
            assert t2.pass_at_k(n, c, k) == pytest.approx(exact_pass_at_k(n, c, k), rel=1e-13)


def test_counts_keep_their_digits_at_a_thousand_million_samples():
    n, c = 10**9, 3
    for k in (1, 1000, 10**6, 5 * 10**8, 10**9 - 3):
        with mpmath.workdps(60):
            log_all_wrong = sum(mpmath.log1p(-mpmath.mpf(k) / (n - j)) for j in range(c))
            expected = float(-mpmath.expm1(log_all_wrong))
        assert t2.pass_at_k(n, c, k) == pytest.approx(expected, rel=1e-10)
    assert t2.pass_at_k(n, c, n) == 1.0
    assert t2.pass_at_k(n, 0, n) == 0.0


@given(st.integers(1, 9).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n))), st.data())
def test_mean_over_all_subsets_is_exact(sizes, data):
    n, k = sizes
    right = data.draw(st.lists(st.booleans(), min_size=n, max_size=n))
    subsets = list(itertools.combinations(right, k))
    share = sum(any(subset) for subset in subsets) / len(subsets)
    assert t2.pass_at_k(n, sum(right), k) == pytest.approx(share, abs=EPS)


@given(st.integers(2, 200), st.data())
def test_counts_rise_with_k_and_with_c(n, data):
    c = data.draw(st.integers(0, n - 1))
    values = t2.pass_at_k(n, c, np.arange(1, n + 1))
    assert np.all(np.diff(values) >= -EPS)
    assert np.all(t2.pass_at_k(n, c + 1, np.arange(1, n + 1)) >= values - EPS)


@pytest.mark.parametrize("nll", [1e-300, 1e-16, 1e-3, 0.5, 1.0, 36.9, 37.1, 200.0, 690.0])
@pytest.mark.parametrize("k", [1, 2, 17, 10**6, 10**9])
def test_likelihoods_against_high_precision(nll, k):
    with mpmath.workdps(700):
        wrong = (-mpmath.expm1(-mpmath.mpf(nll))) ** k
        expected = (float(1 - wrong), float(-mpmath.log1p(-wrong)))
    assert t2.pass_at_k_from_nll([nll], k) == pytest.approx(expected[0], rel=1e-11)
    assert t2.neg_log_pass_from_nll([nll], k) == pytest.approx(expected[1], rel=1e-11, abs=5e-324)


def test_likelihoods_beyond_the_range_of_doubles():
    assert t2.neg_log_pass_from_nll([5000.0], 10) == pytest.approx(5000 - math.log(10), rel=1e-14)
    assert t2.pass_at_k_from_nll([0.0], 5) == 1.0
    assert t2.neg_log_pass_from_nll([0.0], 5) == 0.0


def test_likelihood_shapes_and_means():
    nll = np.random.default_rng(0).exponential(2.0, (3, 4, 50))
    k = [1, 4, 9]
    expected = [(1 - (1 - np.exp(-nll)) ** value).mean(axis=-1) for value in k]
    np.testing.assert_allclose(t2.pass_at_k_from_nll(nll, k), np.stack(expected, -1), rtol=1e-12)
    assert t2.pass_at_k_from_nll(nll, 4).shape == (3, 4)
    np.testing.assert_allclose(t2.neg_log_pass_from_nll(nll, 1), nll.mean(-1), rtol=1e-12)


def test_blocks_do_not_change_the_result(monkeypatch):
    nll = np.random.default_rng(1).exponential(2.0, (30, 20))
    whole = t2.neg_log_pass_from_nll(nll, [1, 8])
    monkeypatch.setattr(passk, "_BLOCK", 40)
    np.testing.assert_array_equal(t2.neg_log_pass_from_nll(nll, [1, 8]), whole)


@given(st.floats(0, 50), st.floats(0, 5), st.floats(1, 1e8), st.floats(1, 100))
def test_likelihoods_are_monotone(nll, more, k, factor):
    assert t2.pass_at_k_from_nll([nll], k * factor) >= t2.pass_at_k_from_nll([nll], k) - EPS
    assert t2.pass_at_k_from_nll([nll], k) >= t2.pass_at_k_from_nll([nll + more], k) - EPS


@given(st.lists(st.floats(0.01, 20), min_size=2, max_size=20), st.integers(1, 1000))
def test_mean_of_logs_is_not_below_log_of_mean(nll, k):
    log_of_mean = -np.log(t2.pass_at_k_from_nll(nll, k))
    assert t2.neg_log_pass_from_nll(nll, k) >= log_of_mean - 1e-9


SHAPES = [1e-6, 1e-2, 0.4, 3.0, 50.0, 1e4, 1e6]


@pytest.mark.parametrize("a", SHAPES)
@pytest.mark.parametrize("b", SHAPES)
def test_beta_pass_against_high_precision(a, b):
    for k in (1, 2, 1.5, 64, 1e6, 1e9):
        with mpmath.workdps(60):
            log = mpmath.loggamma
            x, y, z = mpmath.mpf(a), mpmath.mpf(b), mpmath.mpf(k)
            wrong = mpmath.exp(log(y + z) + log(x + y) - log(x + y + z) - log(y))
            expected = float(1 - wrong)
        assert t2.beta_pass_at_k(a, b, k) == pytest.approx(expected, rel=1e-10)


def test_beta_pass_is_the_mean_and_the_estimator_is_unbiased_for_it():
    # E over c ~ Beta-binomial(n) of the unbiased estimator is the Beta's pass@k.
    n, a, b, k = 12, 0.7, 3.0, 5
    c = np.arange(n + 1)
    log_weight = [
        float(mpmath.log(mpmath.binomial(n, i) * mpmath.beta(a + i, b + n - i) / mpmath.beta(a, b)))
        for i in c
    ]
    mean = np.sum(np.exp(log_weight) * t2.pass_at_k(n, c, k))
    assert t2.beta_pass_at_k(a, b, k) == pytest.approx(mean, rel=1e-12)


def neg_log_pass_series(a, b, k):
    """sum_j B(a, b + j k) / (j B(a, b)), the tail by Richardson and Levin as mpmath chooses."""
    with mpmath.workdps(40):
        a, b, k = map(mpmath.mpf, (a, b, k))
        start = mpmath.beta(a, b)
        return float(
            mpmath.nsum(lambda j: mpmath.beta(a, b + j * k) / (j * start), [1, mpmath.inf])
        )


def neg_log_pass_integral(a, b, k):
    """Integral over log p by Gauss-Legendre on short pieces."""
    with mpmath.workdps(22):
        a, b, k = map(mpmath.mpf, (a, b, k))
        log_beta = mpmath.log(mpmath.beta(a, b))

        def integrand(u):  # u = log p
            log_q = mpmath.log1p(-mpmath.exp(u))
            log_weight = a * u + (b - 1) * log_q - log_beta
            return mpmath.exp(log_weight) * -mpmath.log(-mpmath.expm1(k * log_q))

        tail = [-20 - x / a for x in (200, 60, 20, 5, 1)]
        return float(
            mpmath.quad(integrand, [*tail, *np.arange(-20, 0), mpmath.mpf(-1e-20)], maxdegree=5)
        )


@pytest.mark.parametrize("a", [3.0, 30.0, 1e3])
@pytest.mark.parametrize("b", [1e-2, 2.0, 1e4])
def test_beta_neg_log_pass_against_series(a, b):
    for k in (2, 64, 1e6):
        if k < b:  # the series converges too slowly there: the integral below takes over
            continue
        expected = neg_log_pass_series(a, b, k)
        value = float(t2.beta_neg_log_pass(a, b, k))
        assert value == pytest.approx(expected, rel=1e-8, abs=1e-300)


@pytest.mark.parametrize("a", [1e-2, 0.2, 1.0, 30.0])
@pytest.mark.parametrize("b", [1.0, 40.0, 1e4])
def test_beta_neg_log_pass_against_integral(a, b):
    for k in (7, 300):
        expected = neg_log_pass_integral(a, b, k)
        assert t2.beta_neg_log_pass(a, b, k) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("a", [1e-2, 0.3, 1.0, 20.0, 1e3])
@pytest.mark.parametrize("b", [1e-2, 0.3, 1.0, 20.0, 1e4])
def test_beta_neg_log_pass_at_one_sample_is_the_mean_nll(a, b):
    with mpmath.workdps(50):
        expected = float(mpmath.digamma(mpmath.mpf(a) + b) - mpmath.digamma(mpmath.mpf(a)))
    assert t2.beta_neg_log_pass(a, b, 1) == pytest.approx(expected, rel=1e-9)
    assert beta_mean_nll(a, b) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("b", SHAPES)
def test_beta_a_solves_the_mean(b):
    targets = np.array([1e-8, 1e-3, 0.1, 1.0, 5.0, 50.0, 1e4])
    a = passk.beta_a_from_mean_nll(b, targets)
    for value, target in zip(a, targets, strict=True):
        with mpmath.workdps(60):
            mean = mpmath.digamma(mpmath.mpf(value) + b) - mpmath.digamma(mpmath.mpf(value))
        assert float(mean) == pytest.approx(target, rel=1e-12)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: t2.pass_at_k(10, 2, 0), "k is 0"),
        (lambda: t2.pass_at_k([10, 5], 2, 7), r"k\[1\] is 7: is larger than n"),
        (lambda: t2.pass_at_k(10, [1, 11], 2), r"c\[1\] is 11: is larger than n"),
        (lambda: t2.pass_at_k(10, -1, 2), "c is -1"),
        (lambda: t2.pass_at_k(10, 1.5, 2), "c is 1.5: must be a whole number"),
        (lambda: t2.pass_at_k(np.nan, 1, 1), "n is nan"),
        (lambda: t2.pass_at_k_from_nll([1.0, -0.5], 1), r"nll\[1\] is -0.5"),
        (lambda: t2.pass_at_k_from_nll([[1.0, np.nan]], 1), r"nll\[0, 1\] is nan"),
        (lambda: t2.pass_at_k_from_nll([], 1), "no questions"),
        (lambda: t2.neg_log_pass_from_nll([1.0], [1, 0]), r"k\[1\] is 0"),
        (lambda: t2.beta_pass_at_k(0, 1, 1), "a is 0"),
        (lambda: t2.beta_neg_log_pass(1, np.inf, 1), "b is inf"),
        (lambda: t2.beta_pass_at_k(1, 1, 0.5), "k is 0.5"),
        (lambda: passk.beta_a_from_mean_nll(1, 0), "mean_nll is 0"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)
