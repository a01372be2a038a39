"""Variable projection: inner products, derivatives, non-negative solutions, weightings."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize
from test_batches import curves

from t2lib._checks import distinct
from t2lib.fitting import projection
from t2lib.fitting.projection import _Projection, fit_power_sum, fit_power_sums
from t2lib.fitting.small import array_of, non_negative, split


def problem(seed=0, weightings=1):
    table = curves(np.random.default_rng(seed))
    xs = [table[c].to_numpy() for c in ("n_params", "n_tokens", "k")]
    y = table["neg_log_pass"].to_numpy()
    weights = np.random.default_rng(seed).integers(0, 3, (weightings, len(y))).astype(float)
    return xs, y, weights


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 5))
def test_non_negative_least_squares_agree_with_scipy(seed, width):
    """For batches of problems, many of them with columns held at 0."""
    rng = np.random.default_rng(seed)
    design = rng.standard_normal((8, 12, width))
    target = rng.standard_normal((8, 12))
    grams, moments = design.swapaxes(1, 2) @ design, (target[:, None, :] @ design)[:, 0]
    [gram], [moment] = split(grams), split(moments)
    coefficients, gains, _ = non_negative(gram, moment)
    for X, y, gain, c in zip(design, target, gains, array_of(coefficients), strict=True):
        expected, norm = optimize.nnls(X, y)
        np.testing.assert_allclose(c, expected, atol=1e-8)
        assert y @ y - gain == pytest.approx(norm**2, rel=1e-9)


@pytest.mark.parametrize("exactly", [False, True])
def test_derivatives_are_those_of_the_projected_sum_of_squares(exactly):
    """Gradient and Hessian against differences; they are of half the sum."""
    xs, y, weights = problem(weightings=2)
    made = _Projection(xs, y, weights)

    def evaluate(which, at):
        known = (made.evaluate_exactly if exactly else made.evaluate)(which, at)
        return [np.array(of) for of in zip(*known, strict=True)]

    which, at, h = np.array([0, 1]), np.array([[0.3, 0.4, 0.3], [0.5, 0.2, 0.6]]), 1e-4
    _, gradient, hessian, _ = evaluate(which, at)
    for t in range(3):
        step = h * np.eye(3)[t]
        above, below = evaluate(which, at + step), evaluate(which, at - step)
        slope = (above[0] - below[0]) / (4 * h)
        np.testing.assert_allclose(gradient[:, t], slope, rtol=1e-5)
        np.testing.assert_allclose(
            hessian[:, t], (above[1] - below[1]) / (2 * h), rtol=1e-4, atol=1e-4
        )


def test_tables_of_levels_and_rows_give_the_same_inner_products():
    """The tables are a short cut for data that repeat few sizes."""
    grid = np.meshgrid(np.geomspace(1e7, 1e9, 8), np.geomspace(1e9, 1e11, 8), [1.0, 8.0, 64.0])
    xs = [x.ravel() for x in grid]
    rng = np.random.default_rng(0)
    y, weights = rng.random(len(xs[0])), rng.random((3, len(xs[0])))
    made = _Projection(xs, y, weights)
    which, at = np.arange(3), np.array([[0.3, 0.4, 0.3]] * 3)
    assert made.tabled
    short = made._from_tables(which, at, made.square, made.moments)
    long = made._from_rows(which, made._rows(which, at))
    np.testing.assert_allclose(short[:, : long.shape[1]], long, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("constant", "is_sure"), [(1.7, True), (0.0, False)])
def test_the_best_cells_of_a_grid(constant, is_sure, monkeypatch):
    """Plain least squares are enough where no cell with a negative coefficient seems better."""
    rng = np.random.default_rng(3)
    N, D = np.exp(rng.uniform(17, 23, 120)), np.exp(rng.uniform(20, 26, 120))
    y = (constant + 400 * N**-0.35 + 2000 * D**-0.37) * np.exp(rng.normal(0, 0.01, 120))
    made, axes = _Projection([N, D], y, np.ones((1, 120))), [projection._COARSE[2]] * 2
    gram, moment = made._grid(np.array([0]), axes)
    expected = [projection._apart(gain, 2) for gain in non_negative(gram, moment)[1]]
    asked = []
    monkeypatch.setattr(
        projection, "non_negative", lambda *of: (asked.append(1), non_negative(*of))[1]
    )
    assert projection._best_cells(gram, moment, 2) == expected
    assert not asked if is_sure else asked


@pytest.mark.parametrize("rows", [5, 999, 1000, 5000])
def test_distinct_values(rows):
    """Hashed or sorted, as numpy.unique finds them."""
    rng = np.random.default_rng(rows)
    for values in (rng.integers(0, 40, rows), np.exp(rng.integers(-9, 9, rows))):
        for found, expected in zip(
            distinct(values), np.unique(values, return_inverse=True), strict=True
        ):
            np.testing.assert_array_equal(found, expected)


def test_weights_of_zero_leave_rows_out():
    """Weightings equal fits to the rows that they keep."""
    table = curves(np.random.default_rng(2))
    xs = [table[c].to_numpy() for c in ("n_params", "n_tokens", "k")]
    y = table["neg_log_pass"].to_numpy()
    weights = np.random.default_rng(0).integers(0, 3, (4, len(y))).astype(float)
    for found, w in zip(fit_power_sums(xs, y, weights), weights, strict=True):
        kept = w > 0
        alone = fit_power_sum([x[kept] for x in xs], y[kept], w[kept])
        assert found.objective == pytest.approx(alone.objective, rel=1e-12)
        np.testing.assert_allclose(found.exponents, alone.exponents, rtol=1e-6)


def test_parts_do_not_change_the_result(monkeypatch):
    """How many problems are held at a time is a matter of memory only."""
    xs, y, weights = problem(weightings=6)
    whole = fit_power_sums(xs, y, weights)
    monkeypatch.setattr(projection, "_AT_ONCE", 2000)
    for one, other in zip(whole, fit_power_sums(xs, y, weights), strict=True):
        assert one.objective == pytest.approx(other.objective, rel=1e-12)
