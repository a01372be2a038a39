"""Fits of the Beta laws: recovery, derivatives, optimality, listings, counts, refusals."""

import mpmath
import numpy as np
import pytest
from bad_columns import BAD_VALUES, broken
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

import t2lib as t2
from t2lib.fitting.beta import (
    _Checkpoints,
    _ConsistentShape,
    _Counts,
    _pass_residuals,
    _regression_shape,
)

CHINCHILLA = t2.Chinchilla(E=0.8, A=300.0, B=4000.0, alpha=0.28, beta=0.36)
CONSISTENT = t2.BetaConsistentLaw(CHINCHILLA, c0=0.8, c1=0.6)
REGRESSION = t2.BetaRegressionLaw(CHINCHILLA, (0.5, 0.9, 0.8, 1.0, 0.5))


def grid(*axes):
    """Every combination of the axes' values, one column an axis."""
    return [column.ravel() for column in np.meshgrid(*axes, indexing="ij")]


SIZES = np.geomspace(3e7, 3e9, 6), np.geomspace(1e9, 3e11, 6)
N, D, K = grid(*SIZES, 2.0 ** np.arange(9))
LOSS = CHINCHILLA.loss(N, D)


def noisy(law, scatter=0.05, seed=0):
    """Curves whose checkpoints scatter in the loss, all k of one together: pass@k and loss."""
    rng = np.random.default_rng(seed)
    loss = LOSS.reshape(-1, 9)[:, 0] * np.exp(scatter * rng.standard_normal(len(LOSS) // 9))
    a, b = law.shape_at_loss(np.repeat(loss, 9))
    return t2.beta_pass_at_k(a, b, K), np.repeat(loss, 9)


# ------------------------------------------------------------------------------- derivatives


def slopes_by_differences(function, x, step=1e-6):
    """Central differences of an array-valued function by each element of x, on a last axis."""
    columns = []
    for i in range(len(x)):
        h = np.zeros(len(x))
        h[i] = step * max(1.0, abs(x[i]))
        columns.append((function(x + h) - function(x - h)) / (2 * h[i]))
    return np.stack(columns, axis=-1)


@pytest.mark.parametrize(
    ("shape", "parameters"),
    [
        (_ConsistentShape(), [0.8, 0.6]),
        (_ConsistentShape(), [3.0, -0.5]),
        (_regression_shape, [0.5, 0.9, 0.8, 1.0, 0.5]),
        (_regression_shape, [4.0, 2.5, 0.1, -1.0, -0.3]),
    ],
)
def test_jacobians_are_those_of_finite_differences(shape, parameters):
    parameters, losses = np.array(parameters), np.linspace(0.4, 7.0, 12)
    a, b, wrt, wrt_loss = shape(parameters, losses)
    by_differences = slopes_by_differences(lambda v: np.stack(shape(v, losses)[:2]), parameters)
    np.testing.assert_allclose(np.moveaxis(wrt, 1, 2), by_differences, rtol=1e-5, atol=1e-8)
    h = 1e-6
    up, down = shape(parameters, losses + h), shape(parameters, losses - h)
    for i in range(2):
        np.testing.assert_allclose(wrt_loss[i], (up[i] - down[i]) / (2 * h), rtol=1e-5, atol=1e-8)

    rows, k = np.repeat(np.arange(12), 4), np.tile([1.0, 3.0, 64.0, 1e4], 12)
    value, jacobian, by_loss = _pass_residuals(shape, parameters, losses, rows, k, np.zeros(48))
    np.testing.assert_allclose(
        value, t2.beta_pass_at_k(a[rows], b[rows], k), rtol=1e-12, atol=1e-15
    )

    def residuals(v, at=losses):
        return _pass_residuals(shape, v, at, rows, k, np.zeros(48))[0]

    by_differences = slopes_by_differences(residuals, parameters)
    np.testing.assert_allclose(jacobian.T, by_differences, rtol=1e-4, atol=1e-8)
    moved = (residuals(parameters, losses + h) - residuals(parameters, losses - h)) / (2 * h)
    np.testing.assert_allclose(by_loss, moved, rtol=1e-4, atol=1e-8)


@given(st.floats(-12, 12), st.floats(-8, 24), st.integers(1, 20000), st.floats(0, 1), st.booleans())
@settings(max_examples=80)
def test_beta_binomial_agrees_with_mpmath(log_a, log_b, n, share, few):
    a, b = np.exp(log_a), np.exp(log_b)
    c = int(share * min(n, 3)) if few else int(share * n)
    counts = _Counts(np.array([0]), np.array([float(n)]), np.array([float(c)]))
    found = counts.beta_binomial(np.array([a]), np.array([b]))
    with mpmath.workdps(50):
        A, B = mpmath.mpf(a), mpmath.mpf(b)
        value = mpmath.log(mpmath.binomial(n, c)) + mpmath.log(mpmath.beta(A + c, B + n - c))
        value -= mpmath.log(mpmath.beta(A, B))
        both = mpmath.digamma(A + B) - mpmath.digamma(A + B + n)
        slope_a = mpmath.digamma(A + c) - mpmath.digamma(A) + both
        slope_b = mpmath.digamma(B + n - c) - mpmath.digamma(B) + both
    assert found[0][0] == pytest.approx(float(value), rel=1e-9, abs=1e-9)
    assert found[1][0] == pytest.approx(float(slope_a), rel=1e-8, abs=1e-10 * min(1, n / a))
    assert found[2][0] == pytest.approx(float(slope_b), rel=1e-8, abs=1e-10 * min(1, n / b))


def test_score_is_finite_where_a_parameter_is_tiny():
    n, c = np.array([10.0, 10.0, 10.0]), np.array([0.0, 3.0, 10.0])
    counts = _Counts(np.zeros(3, dtype=int), n, c)
    for a, b in [(1e-290, 1.0), (1.0, 1e-290)]:
        for part in counts.beta_binomial(np.array([a]), np.array([b])):
            assert np.isfinite(part).all()


# ------------------------------------------------------------------------------- one checkpoint


@pytest.mark.parametrize("shape", [(0.3, 40.0), (2.0, 1.5), (0.05, 0.9)])
def test_beta_of_likelihoods_agrees_with_scipy(shape):
    p = np.random.default_rng(1).beta(*shape, size=400)
    p = np.clip(p, 1e-12, 1 - 1e-12)
    a, b = t2.fit_beta(nll=-np.log(p))
    expected = stats.beta.fit(p, floc=0, fscale=1)[:2]
    assert (a, b) == pytest.approx(expected, rel=1e-4)
    best = stats.beta.logpdf(p, a, b).sum()
    assert best >= stats.beta.logpdf(p, *expected).sum() - 1e-9


@pytest.mark.parametrize("shape", [(0.3, 40.0), (2.0, 1.5)])
def test_beta_of_counts_agrees_with_scipy(shape):
    rng = np.random.default_rng(2)
    n = rng.choice([50, 100, 1000], size=500)
    c = rng.binomial(n, rng.beta(*shape, size=500))
    a, b = t2.fit_beta(n=n, c=c)

    def negative(v):
        return -stats.betabinom.logpmf(c, n, *np.exp(v)).sum()

    expected = optimize.minimize(
        negative, np.log(shape), method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-10}
    )
    assert (a, b) == pytest.approx(np.exp(expected.x), rel=1e-4)
    assert negative(np.log([a, b])) <= expected.fun + 1e-6
    if shape[0] < 1:  # without the questions never answered right, the task looks easier
        dropped = t2.fit_beta(n=n[c > 0], c=c[c > 0])
        assert dropped[0] / sum(dropped) > 1.1 * a / (a + b)
    order = rng.permutation(500)
    assert t2.fit_beta(n=n[order], c=c[order]) == pytest.approx((a, b), rel=1e-9)


def test_counts_without_spread_are_told():
    with pytest.warns(RuntimeWarning, match="only a / \\(a \\+ b\\) is told"):
        a, b = t2.fit_beta(n=[10000] * 128, c=[1, 1, 1] + [0] * 125)
    assert a / (a + b) == pytest.approx(3 / 1.28e6) and a + b > 1e10
    for c in (4, 1):
        with pytest.raises(ValueError, match="c / n is the same for every question"):
            t2.fit_beta(n=[10, 20], c=[c, 2 * c])
    with pytest.raises(ValueError, match="n is 1 in every row"):
        t2.fit_beta(n=[1] * 10, c=[1] * 4 + [0] * 6)


def test_refused_questions():
    cases = {
        r"nll\[1\] is nan: must be not negative": {"nll": [1.0, np.nan]},
        r"nll\[0\] is -1: must be": {"nll": [-1.0, 0.5]},
        "nll is the same for every question": {"nll": [2.0, 2.0, 2.0]},
        "1 row cannot fix 2 parameters": {"nll": [1.0]},
        r"c\[1\] is 4: is larger than n": {"n": [3, 3], "c": [1, 4]},
        r"c\[0\] is -1: must be not negative": {"n": [3, 3], "c": [-1, 2]},
        r"c\[0\] is 0.5: must be a whole": {"n": [3, 3], "c": [0.5, 2]},
        r"n\[1\] is 2.5: must be a whole": {"n": [3, 2.5], "c": [1, 2]},
        r"n\[0\] is 0: must be positive": {"n": [0, 3], "c": [0, 2]},
        "c is 0 in every row": {"n": [3, 3], "c": [0, 0]},
        "c is n in every row": {"n": [3, 5], "c": [3, 5]},
        "differ in length: n 2, c 1": {"n": [3, 3], "c": [1]},
        "give either nll, or both n and c": {"n": [3, 3]},
        "give either": {},
        r"c\[1\] is 'two': must be a number": {"n": [3, 3], "c": [1, "two"]},
    }
    for message, question in cases.items():
        with pytest.raises(ValueError, match=message):
            t2.fit_beta(**question)
    with pytest.raises(ValueError, match="give either"):
        t2.fit_beta(nll=[1.0, 2.0], n=[3, 3], c=[1, 2])


# ------------------------------------------------------------------------------- from curves


@given(st.floats(-1.5, 4.0), st.floats(-0.5, 1.0), st.floats(0.15, 0.6), st.floats(0.15, 0.6))
@settings(max_examples=6)
def test_consistent_law_is_recovered_from_clean_curves(c0, c1, alpha, beta):
    chinchilla = t2.Chinchilla(0.5, 1.5 * 3e8**alpha, 1.2 * 1.7e10**beta, alpha, beta)
    law = t2.BetaConsistentLaw(chinchilla, c0, c1)
    for method in ("two_stage", "joint"):
        loss = chinchilla.loss(N, D)
        fit = t2.fit_beta_consistent(N, D, K, law.pass_at_k(N, D, K), loss=loss, method=method)
        assert fit.law.c0 == pytest.approx(c0, rel=1e-6, abs=1e-6)
        assert fit.law.c1 == pytest.approx(c1, rel=1e-6, abs=1e-6)
        for name in ("E", "A", "B", "alpha", "beta"):
            expected = getattr(chinchilla, name)
            assert fit.params[name] == pytest.approx(expected, rel=1e-5), name
        assert fit.at_bounds == () and np.abs(fit.residuals).max() < 1e-7


@pytest.mark.parametrize(
    "theta",
    [
        (0.5, 0.9, 0.8, 1.0, 0.5),
        (4.0, 2.0, 0.4, 2.0, 0.0),
        (1.5, 1.2, 0.95, 3.0, -0.4),
        (4.5, 3.0, 0.6, 0.0, 0.3),
    ],
)
def test_theta_is_recovered_from_clean_curves(theta):
    law = t2.BetaRegressionLaw(CHINCHILLA, theta)
    fit = t2.fit_beta_regression(N, D, K, law.pass_at_k(N, D, K), loss=LOSS)
    assert fit.law.theta == pytest.approx(theta, rel=1e-5, abs=1e-5)
    assert list(fit.params.values())[5:] == list(fit.law.theta)
    assert fit.objective < 1e-12 and fit.at_bounds == ()


def fits(Q, loss, rows=slice(None), **columns):
    """All three fits to the same rows."""
    n, d, k = (columns.get(name, column)[rows] for name, column in (("N", N), ("D", D), ("k", K)))
    return {
        "regression": t2.fit_beta_regression(n, d, k, Q[rows], loss=loss[rows]),
        "two_stage": t2.fit_beta_consistent(n, d, k, Q[rows], loss=loss[rows]),
        "joint": t2.fit_beta_consistent(n, d, k, Q[rows], loss=loss[rows], method="joint"),
    }


def test_order_and_units_change_nothing():
    Q, loss = noisy(CONSISTENT)
    first = fits(Q, loss)
    shuffled = fits(Q, loss, np.random.default_rng(3).permutation(len(N)))
    units = fits(Q, loss, N=N / 1e6, D=D / 1e9)
    for method, fit in first.items():
        assert shuffled[method].params == pytest.approx(fit.params, rel=1e-5, abs=1e-7)
        assert shuffled[method].objective == pytest.approx(fit.objective, rel=1e-8)
        for name, value in fit.params.items():
            scale = {"A": 1e-6 ** fit.params["alpha"], "B": 1e-9 ** fit.params["beta"]}
            expected = value * scale.get(name, 1.0)
            assert units[method].params[name] == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_a_checkpoint_listed_twice_counts_twice():
    """Against both stages written out with weights."""
    Q, loss = noisy(CONSISTENT)
    plain = fits(Q, loss)
    twice = np.isin(N, np.unique(N)[:2]) & (np.unique(D)[2] == D)
    rows = np.concatenate([np.arange(len(N)), np.flatnonzero(twice)])
    one = K == 1
    first = t2.fit_chinchilla(N[one], D[one], loss[one], weights=1.0 + twice[one])
    weight = 1.0 + twice
    for method, fit in fits(Q, loss, rows).items():
        assert fit.n_rows == len(N) + twice.sum() and len(fit.residuals) == fit.n_rows
        if method != "joint":
            got = {name: fit.params[name] for name in first.params}
            assert got == pytest.approx(first.params, rel=1e-6)
            residuals = Q - fit.law.pass_at_k(N, D, K)
            assert fit.objective == pytest.approx(np.sum(weight * residuals**2), rel=1e-9)
    assert got != pytest.approx({name: plain["two_stage"].params[name] for name in got}, rel=1e-4)
    # Everything twice is the same fit.
    for method, fit in fits(Q, loss, np.tile(np.arange(len(N)), 2)).items():
        assert fit.params == pytest.approx(plain[method].params, rel=1e-5), method
    # A checkpoint with fewer k is one checkpoint all the same.
    part = np.flatnonzero(~(twice & (K > 4)))
    alone = t2.fit_chinchilla(N[one], D[one], loss[one]).params
    got = t2.fit_beta_consistent(N[part], D[part], K[part], Q[part], loss=loss[part]).params
    assert {name: got[name] for name in alone} == pytest.approx(alone, rel=1e-6)


def test_checkpoints_of_equal_size_stay_apart():
    """Two models of one size have losses of their own; the first stage sees both."""
    Q, loss = noisy(CONSISTENT, seed=1)
    other_Q, other_loss = noisy(CONSISTENT, seed=2)
    n, d, k = (np.tile(column, 2) for column in (N, D, K))
    Q, loss = np.concatenate([Q, other_Q]), np.concatenate([loss, other_loss])
    fit = t2.fit_beta_consistent(n, d, k, Q, loss=loss)
    alone = t2.fit_chinchilla(n[k == 1], d[k == 1], loss[k == 1])
    for name, value in alone.params.items():
        assert fit.params[name] == pytest.approx(value, rel=1e-7)


def test_second_stage_is_optimal():
    """An independent search over c0 and c1, and over theta, finds nothing lower."""
    Q, loss = noisy(REGRESSION, 0.1)
    found = fits(Q, loss)
    chinchilla = found["two_stage"].law.chinchilla

    def by_link(v):
        return np.sum((t2.BetaConsistentLaw(chinchilla, *v).pass_at_k(N, D, K) - Q) ** 2)

    def by_theta(v):
        theta = (*v[:2], float(np.clip(v[2], 1e-9, 1)), *v[3:])
        return np.sum((t2.BetaRegressionLaw(chinchilla, theta).pass_at_k(N, D, K) - Q) ** 2)

    starts = {"two_stage": [0.0, 0.0], "regression": [1.0, 1.0, 0.9, 0.0, 0.0]}
    for method, objective in (("two_stage", by_link), ("regression", by_theta)):
        fit = found[method]
        best = list(fit.params.values())[5:]
        assert fit.objective == pytest.approx(objective(best), rel=1e-9)
        for start in (starts[method], 1.02 * np.array(best)):
            options = {"maxfev": 600, "fatol": 1e-13}
            search = optimize.minimize(objective, start, method="Nelder-Mead", options=options)
            assert search.fun >= fit.objective * (1 - 1e-9)


@pytest.mark.parametrize("task", [None, "piqa"])
def test_joint_is_not_worse_than_two_stages_in_its_own_objective(task):
    if task is None:
        n, d, k = N, D, K
        Q, loss = noisy(CONSISTENT, 0.1)
    else:
        table = t2.load_curves("gemstones")
        table = table[(table["task"] == task) & (table["k"] <= 256)]
        table = table[table["n_tokens"] < 100 * table["n_params"]]
        names = ["n_params", "n_tokens", "k", "pass_at_k", "mean_nll"]
        n, d, k, Q, loss = (table[name].to_numpy(dtype=float) for name in names)
    two = t2.fit_beta_consistent(n, d, k, Q, loss=loss)
    joint = t2.fit_beta_consistent(n, d, k, Q, loss=loss, method="joint")
    checkpoints = _Checkpoints({"N": n, "D": d, "k": k, "loss": loss})
    assert (checkpoints.weights == 1).all()

    def blocks(fit):
        loss_error = fit.law.chinchilla.loss(checkpoints.N, checkpoints.D) - checkpoints.loss
        return np.mean(fit.residuals**2), np.mean(loss_error**2)

    # Each block's mean square is measured in that of the two-stage fit: its objective there is
    # the number of rows and checkpoints.
    (pass_two, loss_two), (pass_joint, loss_joint) = blocks(two), blocks(joint)
    whole = len(n) + len(checkpoints.N)
    objective = len(n) * pass_joint / pass_two + len(checkpoints.N) * loss_joint / loss_two
    assert joint.objective == pytest.approx(objective, rel=1e-6)
    assert joint.objective <= whole * (1 + 1e-9)
    assert loss_joint >= loss_two * (1 - 1e-9)  # the first stage had the best losses
    assert joint.evaluations > two.evaluations


def test_joint_names_its_own_bounds():
    """Losses alone put E at 0, the curves lift it: the joint fit's bounds are not the first's."""
    law = t2.Chinchilla(0.0, 60.0, 4000.0, 0.2, 0.36)
    loss = law.loss(N, D) - 0.05
    Q = t2.BetaConsistentLaw(law, 0.8, 0.6).pass_at_k(N, D, K)
    two = t2.fit_beta_consistent(N, D, K, Q, loss=loss)
    assert "E at 0" in two.at_bounds and "! E at 0" in two.summary()
    joint = t2.fit_beta_consistent(N, D, K, Q, loss=loss, method="joint")
    assert ("E at 0" in joint.at_bounds) == (joint.params["E"] == 0)


def test_a_given_first_stage_is_kept():
    Q, loss = noisy(CONSISTENT)
    for fit in (
        t2.fit_beta_regression(N, D, K, Q, loss=loss, chinchilla=CHINCHILLA),
        t2.fit_beta_consistent(N, D, K, Q, loss=loss, chinchilla=CHINCHILLA),
    ):
        assert fit.law.chinchilla is CHINCHILLA
    few = [0, 4, 300]  # two parameters are left to fit
    fit = t2.fit_beta_consistent(
        N[few], D[few], K[few], Q[few], loss=loss[few], chinchilla=CHINCHILLA
    )
    assert fit.n_rows == 3


def test_a_ceiling_of_one_and_flat_directions_are_named():
    law = t2.BetaRegressionLaw(CHINCHILLA, (0.5, 0.9, 1.0, 1.0, 0.5))
    fit = t2.fit_beta_regression(N, D, K, law.pass_at_k(N, D, K), loss=LOSS)
    assert fit.at_bounds == ("theta2 at its upper bound 1",)
    assert "theta2   1   ! theta2 at its upper bound 1" in fit.summary()
    # Where every checkpoint has nearly the same loss, an intercept and a slope are one number.
    narrow = t2.Chinchilla(3.0, 1e-6, 1e-6, 0.1, 0.1)
    link = t2.BetaConsistentLaw(narrow, 1.0, 0.3)
    fit = t2.fit_beta_consistent(
        N, D, K, link.pass_at_k(N, D, K), loss=narrow.loss(N, D), chinchilla=narrow
    )
    assert {"c0 in a flat direction", "c1 in a flat direction"} <= set(fit.at_bounds)
    assert "c1 in a flat direction" in fit.summary()


def test_two_stages_have_no_curvature():
    fit = t2.fit_beta_consistent(N, D, K, CONSISTENT.pass_at_k(N, D, K), loss=LOSS)
    with pytest.raises(ValueError, match="use a bootstrap"):
        fit.standard_errors()


# ------------------------------------------------------------------------------- from counts

COUNT_N, COUNT_D = grid(*SIZES)


def draw(law, questions, samples, seed):
    """Counts of a task: questions' p from each checkpoint's Beta, samples from each p."""
    rng = np.random.default_rng(seed)
    n, d = np.repeat(COUNT_N, questions), np.repeat(COUNT_D, questions)
    a, b = law.shape(n, d)
    drawn = rng.choice(samples, size=len(n))
    return n, d, drawn, rng.binomial(drawn, rng.beta(a, b))


def negative_log_likelihood(law, n, d, drawn, right):
    return -stats.betabinom.logpmf(right, drawn, *law.shape(n, d)).sum()


HARD = t2.BetaConsistentLaw(t2.Chinchilla(1.0, 400.0, 5000.0, 0.28, 0.36), c0=1.5, c1=0.7)


@pytest.fixture(scope="module")
def counts():
    return draw(HARD, questions=100, samples=[200, 500], seed=4)


@pytest.fixture(scope="module")
def count_fit(counts):
    return t2.fit_beta_consistent_counts(*counts)


def test_counts_recover_the_law_within_sampling_error(counts, count_fit):
    n, d, _, _ = counts
    assert count_fit.objective == pytest.approx(negative_log_likelihood(count_fit.law, *counts))
    gained = negative_log_likelihood(HARD, *counts) - count_fit.objective
    assert 0 <= gained < stats.chi2.ppf(0.999, 7) / 2  # Wilks: twice the gain is chi-squared
    loss, truth = count_fit.law.chinchilla.loss(n, d), HARD.chinchilla.loss(n, d)
    assert np.abs(loss - truth).max() < 0.5
    assert count_fit.at_bounds == () and count_fit.n_rows == len(n)
    share = counts[3] / counts[2]
    np.testing.assert_allclose(count_fit.residuals, share - count_fit.law.pass_at_k(n, d, 1))


@pytest.mark.parametrize("seed", [33, 36])
def test_no_law_of_counts_is_less_likely_than_the_truth(seed):
    """Where a rough loss of each checkpoint puts an exponent at its bound, other starts help."""
    rng = np.random.default_rng(seed)
    sizes = np.geomspace(1e7, 10 ** rng.uniform(8.5, 10.5), rng.integers(3, 9))
    tokens = np.geomspace(1e9, 10 ** rng.uniform(10.5, 12.5), rng.integers(2, 7))
    E, A, B = rng.uniform(0, 2), 10 ** rng.uniform(1.5, 3.5), 10 ** rng.uniform(2, 4.2)
    first = t2.Chinchilla(E, A, B, *rng.uniform(0.2, 0.6, 2))
    law = t2.BetaConsistentLaw(first, rng.uniform(-2, 4), rng.uniform(-0.5, 1.5))
    questions = int(rng.integers(30, 300))
    n, d = (x.ravel().repeat(questions) for x in np.meshgrid(sizes, tokens))
    drawn = rng.choice(rng.choice([8, 16, 100, 500], 2), len(n))
    counts = n, d, drawn, rng.binomial(drawn, rng.beta(*law.shape(n, d)))
    fit = t2.fit_beta_consistent_counts(*counts)
    assert fit.objective < negative_log_likelihood(law, *counts)


def test_counts_are_at_a_maximum(counts, count_fit):
    """No step along a parameter, and no random one, is more likely."""
    best = np.array(list(count_fit.params.values()))
    rng = np.random.default_rng(0)
    steps = [sign * 1e-3 * row for row in np.eye(7) for sign in (-1, 1)]
    for step in [*steps, *(1e-3 * rng.standard_normal((15, 7)))]:
        *first, c0, c1 = best * (1 + step)
        law = t2.BetaConsistentLaw(t2.Chinchilla(*first), c0, c1)
        assert negative_log_likelihood(law, *counts) >= count_fit.objective - 1e-6


def test_order_of_counts_changes_nothing(counts, count_fit):
    order = np.random.default_rng(1).permutation(len(counts[0]))
    shuffled = t2.fit_beta_consistent_counts(*[column[order] for column in counts])
    assert shuffled.objective == pytest.approx(count_fit.objective, rel=1e-9)
    assert shuffled.params == pytest.approx(count_fit.params, rel=0.02)


def test_questions_never_answered_right_matter(counts, count_fit):
    kept = counts[3] > 0
    assert 0.1 < np.mean(~kept) < 0.9
    dropped = t2.fit_beta_consistent_counts(*[column[kept] for column in counts])
    largest = COUNT_N.min(), COUNT_D.min()
    truth, fit, biased = (
        law.chinchilla.loss(*largest) for law in (HARD, count_fit.law, dropped.law)
    )
    assert abs(fit - truth) < 0.5 < truth - biased


def test_gradient_of_the_likelihood(counts):
    n, d, drawn, right = (np.asarray(column, dtype=float) for column in counts)
    sizes, rows = np.unique(np.stack([n, d], axis=1), axis=0, return_inverse=True)
    table = _Counts(rows.ravel(), drawn, right)
    assert table.repeats.sum() == len(n)
    a, b = HARD.shape(*sizes.T)
    total, by_a, by_b = table.log_likelihood(a, b)
    assert total == pytest.approx(stats.betabinom.logpmf(right, drawn, *HARD.shape(n, d)).sum())
    for i in (0, 7, 20):
        h = np.zeros(len(a))
        h[i] = 1e-5
        moved = [table.log_likelihood(a + s * h, b)[0] for s in (1, -1)]
        assert by_a[i] == pytest.approx((moved[0] - moved[1]) / 2e-5, rel=1e-4, abs=1e-3)
        moved = [table.log_likelihood(a, b + s * h)[0] for s in (1, -1)]
        assert by_b[i] == pytest.approx((moved[0] - moved[1]) / 2e-5, rel=1e-4, abs=1e-3)


def test_regression_of_counts():
    law = t2.BetaRegressionLaw(HARD.chinchilla, (1.5, 0.9, 0.6, 1.0, 0.3))
    counts = draw(law, questions=50, samples=[200, 500], seed=5)
    fit = t2.fit_beta_regression_counts(*counts, chinchilla=HARD.chinchilla)
    assert fit.objective == pytest.approx(negative_log_likelihood(fit.law, *counts))
    gained = negative_log_likelihood(law, *counts) - fit.objective
    assert 0 <= gained < stats.chi2.ppf(0.999, 5) / 2
    best, rng = np.array(fit.law.theta), np.random.default_rng(0)
    for step in 1e-3 * rng.standard_normal((15, 5)):
        theta = best * (1 + step)
        theta[2] = min(theta[2], 1.0)
        other = t2.BetaRegressionLaw(HARD.chinchilla, tuple(theta))
        assert negative_log_likelihood(other, *counts) >= fit.objective - 1e-6
    # Without a given loss law, that of the Beta-consistent fit serves.
    few = [column[::5] for column in counts]
    own = t2.fit_beta_regression_counts(*few)
    assert own.law.chinchilla == t2.fit_beta_consistent_counts(*few).law.chinchilla


def test_counts_are_refitted_from_a_start(counts):
    """Without one model, from the fit of all: the same optimum in fewer evaluations."""
    whole = t2.fit_beta_consistent_counts(*counts)
    second = t2.fit_beta_regression_counts(*counts, chinchilla=whole.law.chinchilla)
    part = [column[counts[0] > counts[0].min()] for column in counts]
    for of, start in (
        (t2.fit_beta_consistent_counts, whole.law),
        (t2.fit_beta_regression_counts, second.law),
    ):
        searched, started = of(*part), of(*part, start=start)
        assert started.objective == pytest.approx(searched.objective, abs=1e-3)
        assert started.evaluations < searched.evaluations


def test_what_counts_cannot_tell_is_named():
    n, d, drawn, right = draw(HARD, questions=30, samples=[100], seed=6)
    large = np.isin(n, np.unique(n)[-2:])
    fit = t2.fit_beta_consistent_counts(n[large], d[large], drawn[large], right[large])
    assert any(bound.startswith("alpha") for bound in fit.at_bounds), fit.at_bounds
    assert "!" in fit.summary()


# ------------------------------------------------------------------------------- bad input

Q, NOISY_LOSS = noisy(CONSISTENT)
CURVES = {"N": N, "D": D, "k": K, "pass_at_k": Q, "loss": NOISY_LOSS}
COUNTS = dict(zip(("N", "D", "n", "c"), draw(HARD, questions=5, samples=[50], seed=7), strict=True))
FITS = {
    "regression": (t2.fit_beta_regression, CURVES),
    "consistent": (t2.fit_beta_consistent, CURVES),
    "consistent counts": (t2.fit_beta_consistent_counts, COUNTS),
    "regression counts": (t2.fit_beta_regression_counts, COUNTS),
}


@pytest.mark.parametrize("value", BAD_VALUES)
@pytest.mark.parametrize(
    ("which", "name"), [(which, name) for which, (_, columns) in FITS.items() for name in columns]
)
def test_a_bad_value_is_named_with_its_row(which, name, value):
    fit, columns = FITS[which]
    with pytest.raises(ValueError, match=rf"^{name}\[3\] is .*: must be "):
        fit(**broken(columns, name, value))


@pytest.mark.parametrize("which", FITS)
def test_zero_sizes_uneven_columns_and_too_few_rows(which):
    fit, columns = FITS[which]
    for name in {"N", "D", "k", "loss", "n"} & set(columns):
        with pytest.raises(ValueError, match=rf"^{name}\[3\] is 0: must be positive"):
            fit(**broken(columns, name, 0))
    for name in columns:
        with pytest.raises(
            ValueError, match=rf"differ in length: .*{name} {len(columns['N']) - 1}"
        ):
            fit(**columns | {name: columns[name][1:]})
    with pytest.raises(ValueError, match=r"6 rows cannot fix (7|10) parameters"):
        fit(**{name: column[:6] for name, column in columns.items()})
    for name in ("N", "D"):
        with pytest.raises(ValueError, match=rf"{name} is .* in every row"):
            fit(**columns | {name: np.full(len(columns["N"]), 1e9)})
    # Rows enough, checkpoints too few.
    keys = columns["N"] * 1e3 + columns["D"]
    few = np.isin(keys, np.unique(keys)[::10][:4])
    with pytest.raises(ValueError, match="N and D are those of 4 checkpoints"):
        fit(**{name: column[few] for name, column in columns.items()})


@pytest.mark.parametrize("which", ["regression", "consistent"])
def test_refused_curves(which):
    fit, columns = FITS[which]
    with pytest.raises(ValueError, match=r"^pass_at_k\[3\] is 1.01: is above 1"):
        fit(**broken(columns, "pass_at_k", 1.01))
    with pytest.raises(ValueError, match=r"^k\[3\] is 0.5: must be at least 1"):
        fit(**broken(columns, "k", 0.5))
    with pytest.raises(ValueError, match="k is 4 in every row"):
        fit(**columns | {"k": np.full(len(N), 4)})
    for value in (0, 1):
        with pytest.raises(ValueError, match=f"pass_at_k is {value} in every row"):
            fit(**columns | {"pass_at_k": np.full(len(N), value)})
    # A single 0 or 1 is data like any other, where the other rows and the loss allow it.
    assert np.isfinite(fit(**broken(columns, "pass_at_k", 1.0, row=8)).objective)
    hard = columns | {"loss": np.where(np.arange(len(N)) < 9, 9.0, columns["loss"])}
    assert np.isfinite(fit(**broken(hard, "pass_at_k", 0.0, row=0)).objective)


@pytest.mark.parametrize("which", ["consistent counts", "regression counts"])
def test_refused_counts(which):
    fit, columns = FITS[which]
    with pytest.raises(ValueError, match=r"^c\[3\] is 51: is larger than n"):
        fit(**broken(columns, "c", 51))
    with pytest.raises(ValueError, match=r"^c\[3\] is 0.5: must be a whole number"):
        fit(**broken(columns, "c", 0.5))
    with pytest.raises(ValueError, match="c is 0 in every row"):
        fit(**columns | {"c": np.zeros(len(columns["c"]))})
    with pytest.raises(ValueError, match="c is n in every row"):
        fit(**columns | {"c": columns["n"]})
    with pytest.raises(ValueError, match="n is 1 in every row"):
        fit(**columns | {"n": np.ones(len(columns["c"])), "c": columns["c"] > 0})


def test_unknown_method():
    with pytest.raises(ValueError, match="method is 'one': must be 'two_stage' or 'joint'"):
        t2.fit_beta_consistent(N, D, K, Q, loss=NOISY_LOSS, method="one")


@pytest.mark.parametrize("fit", [t2.fit_beta_consistent, t2.fit_beta_regression])
def test_start_from_the_whole_table_finds_a_resample_s_optimum(fit):
    """A search from the whole table's law alone ends where the full search does."""
    table = t2.load_curves("gemstones").query("task == 'arce' and k in [1, 16, 256]")

    def of(rows, **settings):
        return fit(
            rows["n_params"],
            rows["n_tokens"],
            rows["k"],
            rows["pass_at_k"],
            loss=rows["mean_nll"],
            **settings,
        )

    whole = of(table)
    part = table[table["model"].isin(table["model"].unique()[::2])]
    searched, started = of(part), of(part, start=whole.law)
    assert started.objective == pytest.approx(searched.objective, rel=1e-9)
    assert started.at_bounds == searched.at_bounds
    assert started.evaluations < searched.evaluations
