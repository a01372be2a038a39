"""Regions of recommendations: against closed forms and simulated bootstraps; what fails is said."""

import joblib
import numpy as np
import pandas as pd
import pytest

import t2lib as t2
from t2lib.planning.forward import allocate
from t2lib.planning.inverse import cheapest
from t2lib.planning.regions import allocation_region

HOFFMANN = t2.Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)
TASK = t2.Chinchilla(E=0.1, A=70.0, B=2e6, alpha=0.14, beta=0.63)
ADDITIVE = t2.AdditiveLaw(E=0.1, A=40.0, B=400.0, alpha=0.25, beta=0.3, G=1.2, gamma=0.3)
CONSISTENT = t2.BetaConsistentLaw(TASK, c0=-0.1, c1=0.5)
REGRESSION = t2.BetaRegressionLaw(TASK, theta=(2.0, 1.5, 0.8, 1.0, -0.2))
INTERACTION = t2.InteractionLaw(log_A=4.0, alpha=-0.05, beta=-0.01, delta=-0.001)


def parameters(law):
    """As Fit.params names them."""
    found = {}
    for name, value in vars(law).items():
        if name == "chinchilla":
            found |= vars(value)
        elif name == "theta":
            found |= {f"theta{i}": v for i, v in enumerate(value)}
        else:
            found[name] = value
    return found


def draws_of(law, n=20, spread=0.02, seed=0):
    values = parameters(law)
    noise = np.random.default_rng(seed).normal(1, spread, (n, len(values)))
    return pd.DataFrame(noise * np.array(list(values.values())), columns=list(values))


def test_draws_must_name_every_parameter_and_may_hold_more():
    draws, given = draws_of(ADDITIVE, n=2), {"train_flops": 1e21, "inference_flops": 2e10}
    alike = allocation_region(ADDITIVE, draws.assign(another=1.0), **given)
    pd.testing.assert_frame_equal(alike.draws, allocation_region(ADDITIVE, draws, **given).draws)
    with pytest.raises(ValueError, match="the draws have no column 'gamma'"):
        allocation_region(ADDITIVE, draws.drop(columns="gamma"), **given)


def test_each_row_is_its_own_allocation():
    draws = draws_of(ADDITIVE)
    draws.index = draws.index * 3 + 1  # a bootstrap leaves gaps where a fit failed
    given = {"total_flops": 1e22, "queries": 1e7, "cost": t2.CostModel(100, 50), "verifier": 0.9}
    region = allocation_region(ADDITIVE, draws, **given)
    assert (region.draws.index == draws.index).all() and region.failed["number"] == 0
    for i in draws.index[:5]:
        law = t2.AdditiveLaw(**draws.loc[i])
        plan, row = allocate(law, **given), region.draws.loc[i]
        for name in ("N", "D", "k", "tokens_per_parameter", "metric"):
            assert row[name] == getattr(plan, name)
        point = region.point
        there = law.neg_log_pass(point.N, point.D, point.k) - np.log(0.9)
        assert row["point_metric"] == pytest.approx(there, rel=1e-14)
        assert row["regret"] == pytest.approx(there - plan.metric, rel=1e-6)
    same = allocation_region(
        ADDITIVE, [t2.AdditiveLaw(**row) for row in draws.to_dict("records")], **given
    )
    pd.testing.assert_frame_equal(
        same.draws.reset_index(drop=True), region.draws.reset_index(drop=True)
    )


@pytest.mark.parametrize("law", [ADDITIVE, REGRESSION])
@pytest.mark.parametrize(
    "budget",
    [
        {"train_flops": 1e21, "inference_flops": 2e9},
        {"total_flops": 1e22, "queries": 1e7, "unique_tokens": 1e10, "max_k": 1000},
    ],
)
def test_regret_is_never_negative(law, budget):
    region = allocation_region(law, draws_of(law, spread=0.05), **budget)
    assert (region.solved["regret"] >= -1e-12).all()
    assert (region.solved["regret"] > 0).any()


def test_intervals_are_those_of_the_closed_form():
    draws = draws_of(HOFFMANN, n=200, spread=0.01)
    region = allocation_region(HOFFMANN, draws, train_flops=1e21, level=0.9)
    N = [t2.Chinchilla(**row).optimum(1e21)[0] for row in draws.to_dict("records")]
    table = region.intervals
    expected = np.quantile(N, [0.05, 0.5, 0.95], method="weibull")
    np.testing.assert_allclose(
        table.loc["N", ["low", "median", "high"]].astype(float), expected, rtol=1e-6
    )
    assert table.loc["N", "point"] == region.point.N
    # With D = C / (6 N) the two move against each other, exactly.
    assert region.correlation.loc["N", "D"] == pytest.approx(-1)
    assert np.isnan(region.correlation.loc["N", "k"])
    assert region.covariance.loc["N", "N"] == pytest.approx(np.log(N).var(ddof=1), rel=1e-6)
    assert (table.loc["regret", ["low", "high"]] >= 0).all()


def test_bounds_and_what_has_no_plan_are_counted():
    draws = draws_of(ADDITIVE, n=12)
    draws.loc[3, "alpha"] = -0.1
    draws.loc[7, "B"] = np.nan
    given = {"train_flops": 1e21, "inference_flops": 2e9, "n_range": (None, 1e6)}
    region = allocation_region(ADDITIVE, draws, **given)
    assert len(region.draws) == 12 and len(region.solved) == 10
    assert region.failed == {
        "number": 2,
        "first": "alpha is -0.1: must be finite and not negative",
    }
    assert region.at_bounds == {"N at its upper bound": 10}
    words = region.summary()
    assert "under the 10 draws: neg_log_pass" in words and "N at its upper bound: 10 draws" in words
    assert "no plan: 2 draws (alpha is -0.1: must be finite and not negative)" in words
    assert f"N: {region.point.N:.3g}" in words and "regret of the plan in neg_log_pass" in words


def test_the_reverse_question_has_a_region_too():
    given = {"target": 0.6, "queries": 1e6}
    region = allocation_region(ADDITIVE, draws_of(ADDITIVE, n=15, spread=0.01), **given)
    row = region.draws.iloc[0]
    plan = cheapest(t2.AdditiveLaw(**draws_of(ADDITIVE, n=15, spread=0.01).iloc[0]), **given)
    assert row["total_flops"] == plan.total_flops
    assert row["metric"] == pytest.approx(0.6) and "total_flops" in region.intervals.index
    # Some draws need more than the point's plan spends: there it misses the target.
    assert (region.draws["regret"] > 0).any() and (region.draws["regret"] < 0).any()
    missed = region.draws["total_flops"] > region.point.total_flops
    assert (region.draws["regret"][missed] > 0).all()
    # A target below some draws' floor cannot be reached there.
    hard = allocation_region(
        HOFFMANN, [t2.Chinchilla(E, 406.4, 410.7, 0.34, 0.28) for E in (1.6, 1.8)], target=1.75
    )
    assert hard.failed["number"] == 1 and "out of reach" in hard.failed["first"]


def test_two_workers_change_nothing():
    draws = draws_of(ADDITIVE, n=6)
    given = {"train_flops": 1e21, "inference_flops": 2e9, "cost": t2.CostModel(10, 5)}
    with joblib.parallel_config("threading"):
        one, two = (allocation_region(ADDITIVE, draws, **given, n_jobs=n) for n in (1, 2))
    pd.testing.assert_frame_equal(one.draws, two.draws)


def test_a_real_bootstrap_goes_straight_in():
    rng = np.random.default_rng(3)
    N, D = np.exp(rng.uniform(15, 20, 60)), np.exp(rng.uniform(20, 25, 60))
    table = pd.DataFrame({"model": [f"m{i // 5}" for i in range(60)], "n_params": N, "n_tokens": D})
    table["loss"] = HOFFMANN.loss(N, D) * np.exp(rng.normal(0, 0.002, 60))

    def fit(rows):
        return t2.fit_chinchilla(rows["n_params"], rows["n_tokens"], rows["loss"])

    draws = t2.bootstrap(fit, table, n=40, seed=0, by="model")
    fitted = fit(table)
    region = allocation_region(fitted.law, draws, total_flops=1e22, queries=1e9, fitted=table)
    low, high = region.intervals.loc["N", ["low", "high"]]
    assert low < region.point.N < high and region.point.extrapolation is not None


@pytest.mark.parametrize(
    ("law", "draws", "message"),
    [
        (HOFFMANN, pd.DataFrame({"E": [1.0]}), "the draws have no column 'A'"),
        (HOFFMANN, [], "no draw has a plan; there is none"),
        (HOFFMANN, pd.DataFrame(columns=list("EAB")), "no draw has a plan; there is none"),
        (ADDITIVE, draws_of(ADDITIVE) * -1, "no draw has a plan; the first: E is -0.1"),
    ],
)
def test_nothing_to_go_by_is_refused(law, draws, message):
    with pytest.raises(ValueError, match=message):
        allocation_region(law, draws, train_flops=1e20)
    with pytest.raises(ValueError, match="train_flops is -1"):
        allocation_region(HOFFMANN, draws_of(HOFFMANN), train_flops=-1)
