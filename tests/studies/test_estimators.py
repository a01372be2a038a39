"""Exact mean and spread of the estimates of pass@k against sums over every outcome."""

import itertools

import numpy as np
import pytest

import t2lib as t2
from t2lib.studies import estimators as study


def moments(estimate, n, p, k):
    """Mean and variance over all strings of n samples."""
    mean = square = 0.0
    for outcome in itertools.product([0, 1], repeat=n):
        c = sum(outcome)
        chance = p**c * (1 - p) ** (n - c)
        value = estimate(n, c, k)
        mean, square = mean + chance * value, square + chance * value**2
    return mean, square - mean**2


@pytest.mark.parametrize("k", [1, 2, 5, 8])
@pytest.mark.parametrize("p", [0.02, 0.5])
def test_variance_and_plug_in_mean_are_exact(p, k):
    n = 8
    mean, variance = moments(lambda n, c, k: float(t2.pass_at_k(n, c, k)), n, p, k)
    assert mean == pytest.approx(1 - (1 - p) ** k)
    assert study.estimator_variance(n, p, k) == pytest.approx(variance, rel=1e-9)
    plug_in, _ = moments(lambda n, c, k: 1 - (1 - c / n) ** k, n, p, k)
    assert study.plug_in_mean(n, p, k) == pytest.approx(plug_in)


def test_simulation_agrees_with_the_exact_values():
    table = study.compare(50, 0.05, [1, 10, 50], experiments=4000, seed=0)
    error = table["sd_exact"] / 4000**0.5
    assert ((table["unbiased"] - table["truth"]).abs() < 4 * error).all()
    assert table["sd"].to_numpy() == pytest.approx(table["sd_exact"].to_numpy(), rel=0.05)
    assert (table["plug_in_exact"] <= table["truth"] + 1e-12).all()


def test_error_of_a_task_is_the_mean_of_its_questions_variances():
    rng = np.random.default_rng(0)
    p = rng.beta(0.5, 5, size=200_000)
    k, n = 4, 10
    shared = np.linspace(1e-6, 1, 2001)  # the variance is smooth in p: interpolate
    variance = np.interp(p, shared, [study.estimator_variance(n, q, k) for q in shared])
    expected = np.sqrt(variance.mean() / 128)
    assert study.task_error(n, k, 0.5, 5.0, questions=128) == pytest.approx(expected, rel=0.01)
