"""Huber fits: stationary, never above another search, the same for one weighting and for many."""

import numpy as np
import pytest
from scipy import optimize, special
from test_batches import runs

from t2lib.fitting.huber import fit_huber_logs


def test_huber_ends_at_a_stationary_point_below_its_starts():
    """No start of scipy's own search goes lower."""
    table = runs(np.random.default_rng(3))
    N, D, loss = (table[c].to_numpy() for c in ("n_params", "n_tokens", "loss"))
    (found,), (value,) = fit_huber_logs(N, D, loss, np.ones((1, len(N))), 1e-3)

    def objective(v):
        model = np.exp(v[0]) + np.exp(v[1] - v[3] * np.log(N)) + np.exp(v[2] - v[4] * np.log(D))
        return special.huber(1e-3, np.log(model) - np.log(loss)).sum()

    rng = np.random.default_rng(0)
    for _ in range(10):
        start = [*np.log(found[:3]), *found[3:]] + 0.3 * rng.standard_normal(5)
        other = optimize.minimize(objective, start, method="L-BFGS-B")
        assert value <= other.fun * (1 + 1e-9)
    assert value == pytest.approx(objective([*np.log(found[:3]), *found[3:]]), rel=1e-9)


def test_several_weightings_are_fitted_as_each_alone():
    """Side by side is a matter of speed only."""
    table = runs(np.random.default_rng(3))
    N, D, loss = (table[c].to_numpy() for c in ("n_params", "n_tokens", "loss"))
    weights = np.random.default_rng(0).integers(0, 3, (5, len(N))).astype(float)
    together, values = fit_huber_logs(N, D, loss, weights, 1e-3)
    for v, value, w in zip(together, values, weights, strict=True):
        (alone,), (lowest,) = fit_huber_logs(N, D, loss, w[None, :], 1e-3)
        assert value == pytest.approx(lowest, rel=1e-10)
        np.testing.assert_allclose(v, alone, rtol=1e-6)


def test_a_wide_delta_is_least_squares_of_logarithms():
    """No row is in the linear part: scipy's least squares agrees."""
    table = runs(np.random.default_rng(3))
    N, D, loss = (table[c].to_numpy() for c in ("n_params", "n_tokens", "loss"))
    (found,), (value,) = fit_huber_logs(N, D, loss, np.ones((1, len(N))), 10.0)

    def residuals(v):
        return np.log(v[0] + np.exp(v[1]) * N ** -v[3] + np.exp(v[2]) * D ** -v[4]) - np.log(loss)

    start = [found[0], *np.log(found[1:3]), *found[3:]]
    other = optimize.least_squares(residuals, start, x_scale="jac", xtol=1e-14, ftol=1e-14)
    assert value == pytest.approx(other.cost, rel=1e-9)
