"""Profile intervals and regions: against lmfit, against exact projection, against a bootstrap."""

import lmfit
import numpy as np
import pandas as pd
import pytest
from planning.first_order import first_order_optimum
from scipy import optimize, stats

import t2lib as t2
from t2lib.uncertainty.profiles import region

TRUTH = t2.Chinchilla(E=1.8, A=480.0, B=2000.0, alpha=0.35, beta=0.37)
SIZES, TOKENS = np.geomspace(5e7, 5e9, 9), np.geomspace(1e9, 3e11, 9)


def exponent(law):
    return law.compute_exponent


def log_ratio(law):
    return float(np.log10(law.tokens_per_parameter(1e21)))


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    N, D = (x.ravel() for x in np.meshgrid(SIZES, TOKENS))
    loss = TRUTH.loss(N, D) + 0.01 * rng.standard_normal(len(N))
    return pd.DataFrame({"N": N, "D": D, "loss": loss, "model": np.tile(np.arange(9), 9)})


def refit(table):
    return t2.fit_chinchilla(table["N"], table["D"], table["loss"])


@pytest.fixture(scope="module")
def fit(table):
    return refit(table)


def test_intervals_are_lmfit_s(fit):
    """Five parameters: both ends within a thousandth of the interval's width."""
    theirs = lmfit.conf_interval(*fit.lmfit(), sigmas=[0.95], maxiter=500)
    ours = fit.conf_interval()
    assert list(ours) == list(fit.params)
    for name, rows in theirs.items():
        found, low, high = t2.profile(fit, name), rows[0][1], rows[-1][1]
        room = 1e-3 * (high - low)
        assert ours[name] == (found.low, found.high)
        assert found.low == pytest.approx(low, abs=room)
        assert found.high == pytest.approx(high, abs=room)
        assert found.estimate == pytest.approx(fit.params[name], rel=1e-6)


def residual_sum(table, alpha, beta):
    """Least sum of squares at given exponents: the rest is linear."""
    design = np.stack([np.ones(len(table)), (table["N"] / 5e8) ** -alpha,
                       (table["D"] / 3e10) ** -beta], axis=1)  # fmt: skip
    return optimize.nnls(design, table["loss"].to_numpy())[1] ** 2


def least(function):
    """Least value of a function of an exponent."""
    return optimize.minimize_scalar(
        function, bounds=(0.1, 0.8), method="bounded", options={"xatol": 1e-9}
    ).fun


def test_curve_is_the_least_possible(fit, table):
    """At given exponents, projection solves for the rest exactly: beta is searched on a grid."""
    curve = t2.profile(fit, "alpha").curve
    assert curve["value"].is_monotonic_increasing
    for alpha, objective in curve[["value", "objective"]].to_numpy()[::3]:
        best = least(lambda beta, x=alpha: residual_sum(table, x, beta))
        assert objective == pytest.approx(best, rel=1e-6)


def test_derived_exponent_is_constrained_exactly(fit, table):
    """a = beta / (alpha + beta) held: beta follows alpha, and one search over alpha is left."""
    for a, objective in t2.profile(fit, exponent).curve[["value", "objective"]].to_numpy()[::3]:
        best = least(lambda x, r=a / (1 - a): residual_sum(table, x, x * r))
        assert objective == pytest.approx(best, rel=1e-6)


def test_intervals_agree_with_a_bootstrap_of_independent_rows(fit, table):
    def numbers(rows):
        law = refit(rows).law
        return {"a": law.compute_exponent, "ratio": log_ratio(law)}

    draws = t2.bootstrap(numbers, table, n=300, seed=0, by="row")
    for name, quantity in (("a", exponent), ("ratio", log_ratio)):
        found = t2.profile(fit, quantity)
        low, high = np.quantile(draws[name], [0.025, 0.975])
        assert (found.high - found.low) == pytest.approx(high - low, rel=0.3)
        assert found.low < np.median(draws[name]) < found.high


def test_interval_follows_a_monotone_function(fit):
    plain = t2.profile(fit, lambda law: float(law.tokens_per_parameter(1e21)))
    logs = t2.profile(fit, log_ratio)
    assert 10**logs.low == pytest.approx(plain.low, rel=1e-3)
    assert 10**logs.high == pytest.approx(plain.high, rel=1e-3)


def test_level_is_the_f_test_s(fit):
    """68.3 % lies nearer than 95 %, at the root that the F distribution names."""
    wide, narrow = (t2.profile(fit, exponent, level=p) for p in (0.95, 0.683))
    assert wide.low < narrow.low < narrow.high < wide.high
    at_end = np.interp(wide.high, wide.curve["value"], wide.curve["root"])
    assert at_end == pytest.approx(np.sqrt(stats.f.ppf(0.95, 1, wide.freedom)), rel=2e-3)


def test_an_end_that_is_never_reached_is_infinite_or_zero():
    """Few rows and much noise: E may be 0, and alpha as large as the search ever goes."""
    rng = np.random.default_rng(4)
    N, D = (x.ravel() for x in np.meshgrid(SIZES[:5], TOKENS[-4:]))
    fit = t2.fit_chinchilla(N, D, TRUTH.loss(N, D) + 0.1 * rng.standard_normal(len(N)))
    assert t2.profile(fit, "E").low == 0
    assert np.isfinite(t2.profile(fit, "alpha", level=0.5).high)
    assert t2.profile(fit, "alpha", level=1 - 1e-9).high == np.inf


def test_shared_errors_widen_what_differs_between_models(table):
    """A model's own error hides the effect of its size: the interval must know."""
    rng = np.random.default_rng(5)
    shifted = table.assign(loss=table["loss"] + 0.02 * rng.standard_normal(9)[table["model"]])
    fit = refit(shifted)
    rows, models = (t2.profile(fit, exponent, groups=g) for g in (None, shifted["model"]))
    assert rows.correlation == 0 < models.correlation
    assert models.high - models.low > 1.5 * (rows.high - rows.low)


def test_region_is_lmfit_s(fit):
    """The border of (alpha, beta) lies where lmfit's map has the F distribution's 95 %."""
    border = region(fit, ("alpha", "beta"), rays=12)
    assert border.iloc[0].equals(border.iloc[-1])
    minimizer, result = fit.lmfit()
    for alpha, beta, _ in border.to_numpy()[:-1:3]:
        limits = ((alpha, alpha + 1e-6), (beta, beta + 1e-6))
        root = lmfit.conf_interval2d(minimizer, result, "alpha", "beta", 2, 2, limits)[2][0, 0]
        assert root == pytest.approx(np.sqrt(2 * stats.f.ppf(0.95, 2, 81 - 5)), rel=3e-3)


def test_region_of_derived_quantities_holds_their_intervals(fit):
    """A joint region is wider than each interval alone."""
    border = region(fit, (exponent, log_ratio), rays=24)
    for name, quantity in (("exponent", exponent), ("log_ratio", log_ratio)):
        alone = t2.profile(fit, quantity)
        assert border[name].min() < alone.low
        assert border[name].max() > alone.high


def test_additive_law_s_plan_has_an_interval():
    rng = np.random.default_rng(6)
    law = t2.AdditiveLaw(E=0.5, A=400.0, B=2000.0, alpha=0.35, beta=0.37, G=1.5, gamma=0.35)
    N, D, k = (x.ravel() for x in np.meshgrid(SIZES, TOKENS, [1.0, 16.0, 256.0]))
    fit = t2.fit_additive(N, D, k, law.neg_log_pass(N, D, k) + 0.01 * rng.standard_normal(len(N)))

    def log_size(law):
        return np.log10(first_order_optimum(law, train_flops=1e21, inference_flops=2e10))

    plan = t2.profile(fit, log_size, name="log10 N")
    assert plan.name == "log10 N"
    assert plan.low < log_size(law) < plan.high
    assert plan.high - plan.low < 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: t2.profile(f, "gamma"), "'gamma' is no free parameter: E, A, B, alpha, beta"),
        (lambda f: t2.profile(f, "alpha", level=95), "level is 95: must be between 0 and 1"),
        (lambda f: region(f, ("alpha", "beta"), rays=3), "rays is 3"),
    ],
)
def test_bad_input(fit, call, message):
    with pytest.raises(ValueError, match=message):
        call(fit)
