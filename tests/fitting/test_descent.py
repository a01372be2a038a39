"""Least squares within bounds."""

import numpy as np
import pytest
from scipy import optimize

from t2lib.fitting.descent import descend


@pytest.mark.parametrize("apart", [0.1, 0.001])
def test_bounds_across_a_narrow_valley_take_few_steps(apart):
    """Two columns that are nearly one: what the first may not do, the second has to."""
    rng = np.random.default_rng(0)
    first = rng.normal(size=200)
    columns = np.stack([first, first + apart * rng.normal(size=200), rng.normal(size=200)])
    target = columns.T @ [2.0, -1.0, 0.5] + 0.1 * rng.normal(size=200)
    low, high = np.full(3, -5.0), np.array([0.5, 5.0, 5.0])
    found = descend(lambda v: (columns.T @ v - target, columns), np.zeros(3), low, high)
    best = optimize.lsq_linear(columns.T, target, (low, high), tol=1e-14)
    np.testing.assert_allclose(found.parameters, best.x, atol=1e-6)
    assert found.evaluations < 10  # 52 of the narrower one, were the others not solved for anew
