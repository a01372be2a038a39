"""The laws: closed forms, limits, the identities that tie them together, and what they refuse."""

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, optimize
from scipy import stats as distributions

import t2lib as t2
from t2lib.fitting.table import parameter_names

HOFFMANN = t2.Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)
TASK = t2.Chinchilla(E=0.3, A=60.0, B=4000.0, alpha=0.17, beta=0.4)
ADDITIVE = t2.AdditiveLaw(E=0.1, A=40.0, B=400.0, alpha=0.25, beta=0.3, G=1.2, gamma=0.4)
CONSISTENT = t2.BetaConsistentLaw(TASK, c0=-0.2, c1=0.6)
REGRESSION = t2.BetaRegressionLaw(TASK, theta=(3.0, 1.2, 0.9, 1.0, -0.2))

exponents = st.floats(0.05, 1.5)
sizes = st.floats(1e6, 1e12)
laws = st.builds(
    t2.Chinchilla,
    E=st.floats(0.0, 3.0),
    A=st.floats(0.1, 1e4),
    B=st.floats(0.1, 1e4),
    alpha=exponents,
    beta=exponents,
)


# ------------------------------------------------------------------------------- Chinchilla


def test_loss_against_high_precision():
    for N, D in ((1e6, 1e7), (7e10, 1.4e12), (1e13, 1e9)):
        with mpmath.workdps(40):
            expected = float(
                mpmath.mpf(1.69)
                + mpmath.mpf(406.4) * mpmath.mpf(N) ** -mpmath.mpf(0.34)
                + mpmath.mpf(410.7) * mpmath.mpf(D) ** -mpmath.mpf(0.28)
            )
        assert HOFFMANN.loss(N, D) == pytest.approx(expected, rel=1e-14)
    grid = HOFFMANN.loss(np.array([[1e8], [1e9]]), np.array([1e9, 1e10, 1e11]))
    assert grid.shape == (2, 3)
    assert grid[1, 2] == HOFFMANN.loss(1e9, 1e11)


@given(laws, st.floats(1e15, 1e27))
def test_optimum_beats_a_grid_and_scipy(law, C):
    N, D = law.optimum(C)
    assert pytest.approx(C, rel=1e-12) == 6 * N * D
    least = law.loss(N, D)
    around = N * np.geomspace(1e-3, 1e3, 2001)
    assert least <= law.loss(around, C / 6 / around).min() * (1 + 1e-14)
    found = optimize.minimize_scalar(
        lambda x: float(law.loss(np.exp(x), C / 6 / np.exp(x))),
        bracket=(float(np.log(N)) - 1, float(np.log(N)) + 0.7),
    )
    assert found.fun == pytest.approx(least, rel=1e-12)


def test_optimum_against_the_root_of_the_derivative():
    for C in (1e18, 5.76e23):
        slope = lambda x, C=C: (  # noqa: E731
            HOFFMANN.beta * HOFFMANN.B * (C / 6 / np.exp(x)) ** -HOFFMANN.beta
            - HOFFMANN.alpha * HOFFMANN.A * np.exp(x) ** -HOFFMANN.alpha
        )
        root = optimize.brentq(slope, 5, 40, xtol=1e-14)
        assert HOFFMANN.optimum(C)[0] == pytest.approx(np.exp(root), rel=1e-11)


def test_optimum_grows_with_the_compute_exponent():
    C = np.geomspace(1e18, 1e26, 9)
    N, D = HOFFMANN.optimum(C)
    assert HOFFMANN.compute_exponent == pytest.approx(0.28 / 0.62)
    assert np.diff(np.log(N)) / np.diff(np.log(C)) == pytest.approx(HOFFMANN.compute_exponent)
    assert HOFFMANN.tokens_per_parameter(C) == pytest.approx(D / N)


# ------------------------------------------------------------------------------- the additive law


def test_additive_at_one_sample_is_chinchilla():
    N, D = np.geomspace(1e6, 1e11, 7), np.geomspace(1e8, 1e12, 7)
    single = ADDITIVE.at_one_sample()
    assert single == t2.Chinchilla(0.1 + 1.2, 40.0, 400.0, 0.25, 0.3)
    np.testing.assert_allclose(ADDITIVE.neg_log_pass(N, D, 1), single.loss(N, D), rtol=1e-14)


def test_additive_terms_do_not_interact():
    k = np.array([1, 4, 64, 1e9])
    gains = [
        ADDITIVE.neg_log_pass(N, 1e10, 1) - ADDITIVE.neg_log_pass(N, 1e10, k) for N in (1e7, 1e10)
    ]
    np.testing.assert_allclose(gains[0], 1.2 * (1 - k**-0.4), rtol=1e-12)
    np.testing.assert_allclose(gains[0], gains[1], rtol=1e-10)
    floor = 0.1 + 40.0 * 1e7**-0.25 + 400.0 * 1e10**-0.3
    assert ADDITIVE.neg_log_pass(1e7, 1e10, 1e30) == pytest.approx(floor, rel=1e-10)


# ------------------------------------------------------------------------------- the Beta laws


@given(st.floats(1e7, 1e11), st.floats(1e9, 1e13))
def test_consistent_law_is_chinchilla_at_one_sample(N, D):
    assert CONSISTENT.neg_log_pass(N, D, 1) == pytest.approx(TASK.loss(N, D), rel=1e-8)


def test_consistent_law_at_far_losses_is_still_chinchilla():
    for c0, c1 in ((-2.0, 0.1), (0.0, 0.0), (2.0, 0.9), (-1.0, -0.5)):
        for E in (0.02, 0.5, 3.0, 9.0):
            chinchilla = t2.Chinchilla(E, 20.0, 30.0, 0.3, 0.2)
            law = t2.BetaConsistentLaw(chinchilla, c0, c1)
            expected = chinchilla.loss(1e8, 1e10)
            assert law.neg_log_pass(1e8, 1e10, 1) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("law", [CONSISTENT, REGRESSION])
def test_beta_laws_against_integrals_of_their_density(law):
    N, D = 3e8, 2e10
    a, b = (float(value) for value in law.shape(N, D))
    beta = distributions.beta(a, b)
    for k in (1, 8, 100):
        # In u = p^a the density at p = 0 is finite.
        def mean(function, a=a, beta=beta):
            def integrand(u):
                p = u ** (1 / a)
                return function(p) * beta.pdf(p) * p / (a * u)

            return integrate.quad(integrand, 0, 1, epsabs=0, epsrel=1e-9, limit=400)[0]

        passed = mean(lambda p, k=k: -np.expm1(k * np.log1p(-p)))
        assert law.pass_at_k(N, D, k) == pytest.approx(passed, rel=1e-6)
        if a > 0.02:
            lost = mean(lambda p, k=k: -np.log(-np.expm1(k * np.log1p(-p))))
            assert law.neg_log_pass(N, D, k) == pytest.approx(lost, rel=1e-6)


@pytest.mark.parametrize("law", [CONSISTENT, REGRESSION])
def test_beta_laws_between_their_limits(law):
    N, D = np.geomspace(1e7, 1e10, 5)[:, None], 1e11
    k = np.geomspace(1, 1e9, 40)
    passed, lost = law.pass_at_k(N, D, k), law.neg_log_pass(N, D, k)
    assert passed.shape == lost.shape == (5, 40)
    assert np.all(np.diff(passed, axis=1) > 0) and np.all((passed > 0) & (passed < 1))
    assert np.all(np.diff(lost, axis=1) < 0) and np.all(lost > 0)
    # By Jensen the mean of the logarithms is above the logarithm of the mean.
    assert np.all(lost >= -np.log(passed))
    # Every question is answered in the end; the additive law has a floor instead.
    assert np.all(law.neg_log_pass(N, D, 1e300) < 0.01 * lost[:, :1])


def test_shape_at_loss_is_the_shape():
    for law in (CONSISTENT, REGRESSION):
        np.testing.assert_array_equal(law.shape(1e9, 1e11), law.shape_at_loss(TASK.loss(1e9, 1e11)))


def test_regression_has_the_mean_and_the_concentration_that_it_says():
    N, D = np.geomspace(1e7, 1e11, 6), 3e11
    a, b = REGRESSION.shape(N, D)
    L = TASK.loss(N, D)
    mu = 0.9 / (1 + np.exp(1.2 * (L - 3.0)))
    np.testing.assert_allclose(a / (a + b), mu, rtol=1e-12)
    np.testing.assert_allclose(a + b, np.exp(1.0 - 0.2 * L), rtol=1e-12)
    np.testing.assert_allclose(REGRESSION.mean_pass(N, D), mu, rtol=1e-12)
    np.testing.assert_allclose(REGRESSION.pass_at_k(N, D, 1), mu, rtol=1e-12)


@given(st.floats(1e6, 1e11), st.floats(2, 1e9))
def test_naive_overestimates(N, k):
    naive, exact = REGRESSION.naive_pass_at_k(N, 1e11, k), REGRESSION.pass_at_k(N, 1e11, k)
    assert naive > exact or naive == pytest.approx(1.0)
    assert REGRESSION.naive_pass_at_k(N, 1e11, 1) == pytest.approx(
        REGRESSION.pass_at_k(N, 1e11, 1), rel=1e-12
    )


def test_naive_is_the_limit_of_no_spread():
    sharp = t2.BetaRegressionLaw(TASK, theta=(3.0, 1.2, 0.9, 35.0, 0.0))
    k = np.array([1, 10, 1000])
    np.testing.assert_allclose(
        sharp.pass_at_k(1e9, 1e11, k), sharp.naive_pass_at_k(1e9, 1e11, k), rtol=1e-9
    )


def test_regression_stays_a_distribution_at_its_edges():
    easy = t2.BetaRegressionLaw(t2.Chinchilla(1e-3, 0, 0, 0, 0), theta=(50.0, 40.0, 1.0, 0.0, 0.0))
    hard = t2.BetaRegressionLaw(t2.Chinchilla(90.0, 0, 0, 0, 0), theta=(0.0, 40.0, 1.0, 0.0, 0.0))
    assert easy.pass_at_k(1e9, 1e10, 1) == pytest.approx(1.0)
    assert 0 <= hard.pass_at_k(1e9, 1e10, 1e6) < 1e-200


# ------------------------------------------------------------------------------- the rivals


def test_interaction_law_is_its_formula():
    law = t2.InteractionLaw(log_A=4.0, alpha=-0.08, beta=0.3, delta=-0.01)
    N, D, k = 1e9, 2e10, np.array([1, 7, 100])
    log_C = np.log(6 * N * D)
    exponent = 4.0 - 0.08 * log_C + 0.3 * np.log(k) - 0.01 * log_C * np.log(k)
    np.testing.assert_allclose(np.log(-np.log(law.pass_at_k(N, D, k))), exponent, rtol=1e-12)
    # Compute is all that it sees of N and D.
    np.testing.assert_allclose(law.pass_at_k(N, D, k), law.pass_at_k(D, N, k), rtol=1e-12)


def test_laws_at_each_k_use_the_law_of_that_k():
    one, many = t2.Chinchilla(0.5, 30, 40, 0.2, 0.2), t2.Chinchilla(0.0, 20, 30, 0.3, 0.3)
    N, D = np.array([[1e8], [1e9]]), 1e11
    split = t2.LawsAtEachK(k=(1, 100), laws=(one, many), by_compute=False)
    expected = np.exp(-np.hstack([one.loss(N, D), many.loss(N, D)]))
    np.testing.assert_allclose(split.pass_at_k(N, D, [1, 100]), expected, rtol=1e-14)
    joint = t2.LawsAtEachK(k=(1,), laws=(t2.Chinchilla(0.5, 1e4, 0, 0.2, 0),), by_compute=True)
    assert joint.pass_at_k(1e8, D, 1) == pytest.approx(np.exp(-0.5 - 1e4 * 6e19**-0.2))


def test_laws_at_each_k_refuse_an_unknown_k():
    law = t2.LawsAtEachK(k=(1, 100), laws=(TASK, TASK), by_compute=False)
    with pytest.raises(ValueError, match=r"k\[1\] is 10: has no law"):
        law.pass_at_k(1e8, 1e10, [1, 10])
    with pytest.raises(ValueError, match="k has 2 values and laws has 1"):
        t2.LawsAtEachK(k=(1, 100), laws=(TASK,), by_compute=False)


# ------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: t2.Chinchilla(-0.1, 1, 1, 1, 1), "E is -0.1: must be finite and not negative"),
        (lambda: t2.Chinchilla(1, 1, np.nan, 1, 1), "B is nan: must be finite"),
        (lambda: t2.Chinchilla(1, 1, 1, np.inf, 1), "alpha is inf: must be finite"),
        (lambda: t2.AdditiveLaw(0, 1, 1, 1, 1, -2, 1), "G is -2: must be finite and not"),
        (lambda: t2.InteractionLaw(1, np.inf, 0, 0), "alpha is inf: must be finite"),
        (lambda: t2.BetaConsistentLaw(TASK, np.nan, 0), "c0 is nan, c1 is 0"),
        (lambda: t2.BetaRegressionLaw(TASK, (1, 1, 0.5)), "must be five finite numbers"),
        (lambda: t2.BetaRegressionLaw(TASK, (1, 1, 0.5, np.nan, 0)), "must be five finite"),
        (lambda: t2.BetaRegressionLaw(TASK, (1, 1, 1.5, 0, 0)), r"theta\[2\] is 1.5: the ceiling"),
    ],
)
def test_parameters_that_make_no_law_are_refused(make, message):
    with pytest.raises(ValueError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


def test_interaction_parameters_may_be_negative():
    assert t2.InteractionLaw(-1, -0.1, -0.2, -0.3).delta == -0.3


@pytest.mark.parametrize("law", [ADDITIVE, CONSISTENT, REGRESSION])
def test_bad_arguments_are_named(law):
    with pytest.raises(ValueError, match=r"N\[1\] is 0: must be positive and finite"):
        law.neg_log_pass([1e8, 0.0], 1e10, 1)
    with pytest.raises(ValueError, match="D is -1: must be positive and finite"):
        law.neg_log_pass(1e8, -1, 1)
    with pytest.raises(ValueError, match=r"k\[0\] is 0.5: must be at least 1"):
        law.neg_log_pass(1e8, 1e10, [0.5, 2])
    with pytest.raises(ValueError, match="k is nan: must be at least 1"):
        law.neg_log_pass(1e8, 1e10, np.nan)


@pytest.mark.parametrize("name", ["A", "B", "alpha", "beta"])
def test_no_optimum_without_both_terms(name):
    parameters = {"E": 1.0, "A": 2.0, "B": 3.0, "alpha": 0.3, "beta": 0.3, name: 0.0}
    with pytest.raises(ValueError, match=f"{name} is 0: the loss has no optimum"):
        t2.Chinchilla(**parameters).optimum(1e20)
    with pytest.raises(ValueError, match="train_flops is 0: must be positive"):
        HOFFMANN.optimum(0)


def test_laws_are_frozen_and_comparable():
    with pytest.raises(AttributeError):
        HOFFMANN.E = 2.0
    assert t2.BetaRegressionLaw(TASK, [3.0, 1.2, 0.9, 1.0, -0.2]) == REGRESSION
    assert hash(HOFFMANN) == hash(t2.Chinchilla(1.69, 406.4, 410.7, 0.34, 0.28))


# ------------------------------------------------------------------------- named parameters

LINKED = {"c0": -0.2, "c1": 0.6}
THETAS = {f"theta{i}": value for i, value in enumerate(REGRESSION.theta)}


@pytest.mark.parametrize(
    ("law", "params"),
    [
        (TASK, vars(TASK)),
        (ADDITIVE, vars(ADDITIVE)),
        (CONSISTENT, vars(TASK) | LINKED),
        (REGRESSION, vars(TASK) | THETAS),
    ],
)
def test_a_law_of_named_parameters(law, params):
    """By a law, its class or the class's name, in any order; no name missing or unknown."""
    kind = type(law)
    assert parameter_names(law) == tuple(params)
    for like in (law, kind, kind.__name__):
        assert t2.law_of(like, dict(reversed(params.items()))) == law
    with pytest.raises(ValueError, match=rf"^{kind.__name__}: parameter 'alpha' is missing$"):
        t2.law_of(law, {name: value for name, value in params.items() if name != "alpha"})
    with pytest.raises(ValueError, match=rf"^{kind.__name__}: parameter 'delta' is unknown$"):
        t2.law_of(law, params | {"delta": 1.0})


def test_laws_without_named_parameters_are_refused():
    at_each = t2.LawsAtEachK((1, 2), (TASK, TASK), by_compute=False)
    with pytest.raises(ValueError, match=r"^LawsAtEachK cannot be made from named parameters$"):
        t2.law_of(at_each, {})
    with pytest.raises(ValueError, match=r"^no law named 'os\.system': must be one of Chinchilla"):
        t2.law_of("os.system", {})
