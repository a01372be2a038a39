"""Allocation: against closed forms, root searches and brute force; refusals and bounds."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planning.first_order import first_order_optimum, first_order_residual

import t2lib as t2
from t2lib.planning.forward import allocate, frontier, isoflop_profile

HOFFMANN = t2.Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)
TASK = t2.Chinchilla(E=0.0, A=70.0, B=2e6, alpha=0.14, beta=0.63)
ADDITIVE = t2.AdditiveLaw(E=0.1, A=40.0, B=400.0, alpha=0.25, beta=0.3, G=1.2, gamma=0.3)
CONSISTENT = t2.BetaConsistentLaw(TASK, c0=-0.1, c1=0.5)
REGRESSION = t2.BetaRegressionLaw(TASK, theta=(2.0, 1.5, 0.8, 1.0, -0.2))
INTERACTION = t2.InteractionLaw(log_A=4.0, alpha=-0.05, beta=-0.01, delta=-0.001)

exponents = st.floats(0.1, 1.2)
coefficients = st.floats(1.0, 1e4)
chinchillas = st.builds(
    t2.Chinchilla, st.floats(0, 3), coefficients, coefficients, exponents, exponents
)
additives = st.builds(
    t2.AdditiveLaw,
    st.floats(0, 3),
    coefficients,
    coefficients,
    exponents,
    exponents,
    st.floats(0.1, 10),
    exponents,
)
SIGN = {"pass_at_k": -1, "neg_log_pass": 1}


def value(law, metric, N, D, k):
    """The metric, less being better."""
    return SIGN[metric] * getattr(law, metric)(N, D, k)


# ------------------------------------------------------------------------------- closed forms


@given(chinchillas, st.floats(1e18, 1e26))
def test_chinchilla_closed_form(law, C):
    plan = allocate(law, train_flops=C)
    N, D = law.optimum(C)
    if 1.02 < N < C / 6 / 1.02:  # nearer to an end the derivative's stencil has no room
        # How well values of the loss can place its minimum: a term far below E leaves no trace.
        bend = law.alpha**2 * law.A * N**-law.alpha + law.beta**2 * law.B * D**-law.beta
        tolerance = 1e-8 + 1e-12 * law.loss(N, D) / bend
        assert np.log(plan.N / N) == pytest.approx(0, abs=tolerance)
        assert plan.metric == pytest.approx(law.loss(N, D), rel=1e-13)
        assert plan.metric_name == "loss" and plan.k == 1 and plan.at_bounds == ()


def test_chinchilla_closed_form_over_a_frontier():
    C = np.geomspace(1e16, 1e27, 45)
    table = frontier(HOFFMANN, train_flops=C)
    N, D = HOFFMANN.optimum(C)
    np.testing.assert_allclose(table["N"], N, rtol=1e-9)
    np.testing.assert_allclose(table["D"], D, rtol=1e-9)
    np.testing.assert_allclose(table["tokens_per_parameter"], D / N, rtol=1e-9)
    assert table["inference_flops"].isna().all() and (table["at_bounds"] == "").all()


@given(additives, st.floats(1e18, 1e25), st.floats(1e8, 1e13))
def test_additive_meets_its_first_order_condition(law, C, inference):
    plan = allocate(law, train_flops=C, inference_flops=inference)
    N = first_order_optimum(law, train_flops=C, inference_flops=inference)
    low, high = 1.0, min(C / 6, inference / 2)
    if 1.02 * low < N < high / 1.02:  # nearer to an end the stencil has no room
        terms = law.A * plan.N**-law.alpha + law.B * plan.D**-law.beta + law.G * plan.k**-law.gamma
        # The law's values are rounded at the size of E + G, however small the terms that vary.
        rounding = 1e-15 * (law.E + law.G)
        assert abs(first_order_residual(law, plan)) < 1e-8 * terms + 1e4 * rounding
        at_root = law.neg_log_pass(N, C / 6 / N, inference / 2 / N)
        assert plan.metric == pytest.approx(at_root, rel=1e-13, abs=10 * rounding)
    elif not low <= N <= high:
        assert pytest.approx(np.clip(N, low, high)) == plan.N
        assert len(plan.at_bounds) == 1


def test_first_order_optimum_places_n_exactly():
    for C in (1e19, 1e23):
        for inference in (2e9, 1.4e11):
            plan = allocate(ADDITIVE, train_flops=C, inference_flops=inference)
            N = first_order_optimum(ADDITIVE, train_flops=C, inference_flops=inference)
            assert plan.at_bounds == () and pytest.approx(N, rel=1e-9) == plan.N
    # Without inference the additive law is Chinchilla's.
    C = 1e21
    expected = ADDITIVE.at_one_sample().optimum(C)[0]
    assert first_order_optimum(ADDITIVE, train_flops=C) == pytest.approx(expected, rel=1e-10)
    assert pytest.approx(expected, rel=1e-9) == allocate(ADDITIVE, train_flops=C).N


def test_first_order_is_for_sums_of_powers():
    plan = allocate(CONSISTENT, train_flops=1e20, inference_flops=2e9)
    with pytest.raises(ValueError, match="BetaConsistentLaw is no sum of powers"):
        first_order_residual(CONSISTENT, plan)
    flat = t2.Chinchilla(1.0, 2.0, 0.0, 0.3, 0.3)
    with pytest.raises(ValueError, match="no inner optimum"):
        first_order_optimum(flat, train_flops=1e20)


# ------------------------------------------------------------------------------- brute force


@pytest.mark.parametrize("law", [CONSISTENT, REGRESSION, ADDITIVE, INTERACTION])
@pytest.mark.parametrize("metric", ["pass_at_k", "neg_log_pass"])
def test_no_model_on_a_fine_grid_is_better(law, metric):
    if not hasattr(law, metric):
        with pytest.raises(ValueError, match=rf"{type(law).__name__} has no metric '{metric}'"):
            allocate(law, train_flops=1e20, inference_flops=2e9, metric=metric)
        return
    for C in (1e18, 1e22):
        for inference in (1e8, 2e9, 1.4e11):
            plan = allocate(law, train_flops=C, inference_flops=inference, metric=metric)
            N = np.geomspace(1, min(inference / 2, C / 6), 1501)[:-1]
            grid = value(law, metric, N, C / 6 / N, inference / 2 / N)
            found = value(law, metric, plan.N, plan.D, plan.k)
            assert found <= grid.min() + 1e-12 * abs(grid.min())
            assert plan.metric_name == metric and SIGN[metric] * plan.metric == found


def test_the_deepest_of_several_valleys_is_found():
    class Waves:
        """Loss with five valleys in log N, the deepest in the middle one."""

        def loss(self, N, D):
            x = np.log(N)
            return 0.02 * (x - 17.3) ** 2 - np.cos(2.0 * (x - 17.0)) + 0 * D

    x = np.linspace(0, 40, 4_000_001)
    expected = x[Waves().loss(np.exp(x), 1.0).argmin()]
    assert np.log(allocate(Waves(), train_flops=1e22).N) == pytest.approx(expected, abs=2e-5)


def whole_by_brute_force(law, metric, C, inference, n_range, per_k=400):
    best = np.inf
    low, high = n_range[0], min(n_range[1], inference / 2)
    for k in range(1, int(inference / 2 / low) + 1):
        left, right = max(low, inference / 2 / (k + 1)), min(high, inference / 2 / k)
        if left <= right:
            N = np.linspace(left, right, per_k)
            best = min(best, value(law, metric, N, C / 6 / N, k).min())
    return best


@pytest.mark.parametrize("law", [CONSISTENT, REGRESSION, ADDITIVE])
@pytest.mark.parametrize(("C", "inference"), [(1e17, 6e7), (1e19, 2e9), (1e21, 3.3e9)])
def test_whole_samples_by_brute_force(law, C, inference):
    n_range = (inference / 2 / 60, 1e12)
    for metric in ("pass_at_k", "neg_log_pass"):
        if not hasattr(law, metric):
            continue
        arguments = {"train_flops": C, "inference_flops": inference, "n_range": n_range}
        plan = allocate(law, **arguments, metric=metric, whole_k=True)
        free = allocate(law, **arguments, metric=metric)
        assert plan.k == round(plan.k) and plan.k == np.floor(inference / 2 / plan.N + 1e-9)
        assert 2 * plan.N * plan.k <= inference * (1 + 1e-12)
        found = SIGN[metric] * plan.metric
        brute = whole_by_brute_force(law, metric, C, inference, n_range, per_k=40)
        assert found <= brute + 1e-12 * abs(brute)
        assert SIGN[metric] * free.metric <= found + 1e-12 * abs(found)
        # Brute force on 40 sizes for each k comes this close.
        assert found == pytest.approx(brute, rel=1e-3)


@settings(max_examples=40)
@given(additives, st.floats(1e17, 1e23), st.floats(1e3, 1e5), st.integers(1, 60), st.floats(0, 1))
def test_whole_samples_for_any_additive_law(law, C, smallest, most, part):
    inference = 2 * smallest * (most + part)
    plan = allocate(
        law, train_flops=C, inference_flops=inference, whole_k=True, n_range=(smallest, np.inf)
    )
    brute = whole_by_brute_force(law, "neg_log_pass", C, inference, (smallest, np.inf), per_k=60)
    assert plan.metric <= brute * (1 + 1e-12)
    assert plan.k == round(plan.k) and 1 <= plan.k <= most + 1
    assert smallest * (1 - 1e-12) <= plan.N and 2 * plan.N * plan.k <= inference * (1 + 1e-12)


def test_whole_and_free_samples_agree_where_there_are_many():
    arguments = {"train_flops": 1e18, "inference_flops": 1e14}
    whole, free = (allocate(CONSISTENT, **arguments, whole_k=w) for w in (True, False))
    assert whole.k > 1e6 and whole.k == round(whole.k)
    assert whole.metric == pytest.approx(free.metric, rel=1e-12)


# ------------------------------------------------------------------------------- properties


@pytest.mark.parametrize("law", [CONSISTENT, REGRESSION, ADDITIVE])
@pytest.mark.parametrize("whole_k", [False, True])
def test_more_budget_is_never_worse(law, whole_k):
    C = np.geomspace(1e17, 1e23, 7)
    inference = np.geomspace(1e8, 1.4e11, 6)
    table = frontier(law, train_flops=C[:, None], inference_flops=inference, whole_k=whole_k)
    name = table.columns[-2]
    grid = SIGN[name] * table[name].to_numpy().reshape(7, 6)
    rounding = 1e-12 * np.abs(grid).max()
    assert np.all(np.diff(grid, axis=0) <= rounding)
    assert np.all(np.diff(grid, axis=1) <= rounding)


def test_frontier_is_allocate_row_by_row():
    C, inference = np.array([1e19, 1e21]), np.array([[2e9], [1.4e11]])
    for whole_k in (False, True):
        table = frontier(ADDITIVE, train_flops=C, inference_flops=inference, whole_k=whole_k)
        assert len(table) == 4
        for row in table.itertuples():
            plan = allocate(
                ADDITIVE,
                train_flops=row.train_flops,
                inference_flops=row.inference_flops,
                whole_k=whole_k,
            )
            assert pytest.approx(plan.N, rel=1e-9) == row.N and row.k == pytest.approx(plan.k)
            assert row.neg_log_pass == pytest.approx(plan.metric, rel=1e-13)


def test_a_known_test_budget_moves_the_optimum_to_smaller_models():
    for law in (ADDITIVE, CONSISTENT):
        N = law.at_one_sample().optimum(1e21)[0] if law is ADDITIVE else TASK.optimum(1e21)[0]
        plan = allocate(law, train_flops=1e21, inference_flops=4 * N)
        assert plan.N < N and plan.tokens_per_parameter > 1e21 / 6 / N / N


def test_what_a_plan_spends():
    plan = allocate(ADDITIVE, train_flops=1e21, inference_flops=1.4e11)
    assert plan.cost == pytest.approx(
        {
            "train_flops": 1e21,
            "query_flops": 1.4e11,
            "prefill_flops": 0.0,
            "decode_flops": 1.4e11,
            "sample_flops_per_token": 2 * plan.N,
            "inference_flops_per_token": 1.4e11,
        }
    )
    assert plan.tokens_per_parameter == plan.D / plan.N
    assert plan.metric == ADDITIVE.neg_log_pass(plan.N, plan.D, plan.k)
    assert (plan.train_flops, plan.inference_flops) == (1e21, 1.4e11)


def test_a_law_with_both_metrics_takes_pass_at_k():
    arguments = {"train_flops": 1e21, "inference_flops": 2e9}
    assert allocate(CONSISTENT, **arguments).metric_name == "pass_at_k"
    assert allocate(ADDITIVE, **arguments).metric_name == "neg_log_pass"
    other = allocate(CONSISTENT, **arguments, metric="neg_log_pass")
    assert other.metric == CONSISTENT.neg_log_pass(other.N, other.D, other.k)


def test_chinchilla_under_an_inference_budget_is_capped():
    free = HOFFMANN.optimum(1e21)[0]
    plan = allocate(HOFFMANN, train_flops=1e21, inference_flops=4 * free)
    assert pytest.approx(free, rel=1e-9) == plan.N and plan.k == pytest.approx(2.0)
    capped = allocate(HOFFMANN, train_flops=1e21, inference_flops=free)
    assert pytest.approx(free / 2) == capped.N and capped.k == 1.0
    assert capped.at_bounds == (f"N at its upper bound {free / 2:.6g}",)


def test_bounds_on_n_are_kept_and_named():
    inner = allocate(ADDITIVE, train_flops=1e21, inference_flops=1.4e11).N
    arguments = {"train_flops": 1e21, "inference_flops": 1.4e11}
    for whole_k in (False, True):
        low = allocate(ADDITIVE, **arguments, n_range=(2 * inner, 9 * inner), whole_k=whole_k)
        high = allocate(ADDITIVE, **arguments, n_range=(1e6, inner / 2), whole_k=whole_k)
        assert 2 * inner * (1 - 1e-12) <= low.N and inner / 2 >= high.N
        if not whole_k:
            assert pytest.approx(2 * inner) == low.N and pytest.approx(inner / 2) == high.N
            assert low.at_bounds == (f"N at its lower bound {2 * inner:.6g}",)
            assert high.at_bounds == (f"N at its upper bound {inner / 2:.6g}",)
    one = allocate(ADDITIVE, **arguments, n_range=(1e8, 1e8))
    assert pytest.approx(1e8) == one.N and len(one.at_bounds) == 2
    table = frontier(ADDITIVE, train_flops=[1e21], inference_flops=1.4e11, n_range=(1e6, 1e7))
    assert table["at_bounds"].tolist() == ["N at its upper bound 1e+07"]


# ------------------------------------------------------------------------------- profiles


def test_isoflop_profile_spends_the_budgets():
    N = np.geomspace(1e7, 1e9, 5)
    C = np.array([1e20, 1e21])[:, None]
    table = isoflop_profile(CONSISTENT, train_flops=C, inference_flops=2e9, N=N)
    assert len(table) == 10
    np.testing.assert_allclose(6 * table["N"] * table["D"], table["train_flops"])
    np.testing.assert_allclose(2 * table["N"] * table["k"], 2e9)
    np.testing.assert_allclose(
        table["pass_at_k"], CONSISTENT.pass_at_k(table["N"], table["D"], table["k"])
    )
    best = allocate(CONSISTENT, train_flops=1e20, inference_flops=2e9)
    assert table["pass_at_k"].iloc[:5].max() <= best.metric
    plain = isoflop_profile(HOFFMANN, train_flops=1e20, N=N)
    assert (plain["k"] == 1).all()
    np.testing.assert_allclose(plain["loss"], HOFFMANN.loss(N, 1e20 / 6 / N))


def test_profile_refuses_a_model_too_large_to_sample():
    with pytest.raises(ValueError, match=r"N\[1\] is 2e\+09: 2 N exceeds inference_flops"):
        isoflop_profile(CONSISTENT, train_flops=1e20, inference_flops=2e9, N=[1e9, 2e9])
    with pytest.raises(ValueError, match=r"N\[0\] is 0: must be positive"):
        isoflop_profile(CONSISTENT, train_flops=1e20, inference_flops=2e9, N=[0.0, 1e8])


# ------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train_flops": 0}, "train_flops is 0: must be positive and finite"),
        ({"train_flops": np.nan}, "train_flops is nan: must be positive and finite"),
        ({"train_flops": -1e20}, "train_flops is -1e"),
        ({"train_flops": [1e20, 1e21]}, "allocate takes one budget: frontier takes many"),
        ({"inference_flops": np.inf}, "inference_flops is inf: must be positive and finite"),
        ({"inference_flops": 1.5}, "inference_flops is 1.5: 2 N exceeds it for every N from 1 on"),
        (
            {"n_range": (1e10, 1e11)},
            r"inference_flops is 2e\+09: 2 N exceeds it for every N from 1e\+10 on",
        ),
        (
            {"n_range": (1e8, 1e9), "train_flops": 1e8},
            r"train_flops is 1e\+08: it buys no token for any N from 1e\+08 on",
        ),
        ({"n_range": (1e9, 1e8)}, r"n_range is \(1e\+09, 1e\+08\): must be two positive sizes"),
        ({"n_range": (0, 1e8)}, "n_range is"),
        ({"n_range": (np.nan, 1e8)}, "n_range is"),
        ({"metric": "accuracy"}, "BetaConsistentLaw has no metric 'accuracy': it has pass_at_k"),
        ({"metric": "loss"}, "BetaConsistentLaw has no metric 'loss'"),
    ],
)
def test_what_cannot_be_met_is_refused(settings, message):
    arguments = {"train_flops": 1e20, "inference_flops": 2e9, **settings}
    for whole_k in (False, True):
        with pytest.raises(ValueError, match=message) as error:
            allocate(CONSISTENT, **arguments, whole_k=whole_k)
        assert "\n" not in str(error.value)


def test_a_frontier_names_the_budget_that_cannot_be_met():
    with pytest.raises(ValueError, match=r"inference_flops\[1\] is 1: 2 N exceeds it"):
        frontier(ADDITIVE, train_flops=1e20, inference_flops=[2e9, 1.0])
    with pytest.raises(ValueError, match=r"train_flops\[1\] is -1: must be positive"):
        frontier(ADDITIVE, train_flops=[1e20, -1.0])


def test_things_that_are_no_law_are_refused():
    with pytest.raises(ValueError, match="str is no law: it has none of pass_at_k"):
        allocate("law", train_flops=1e20)

    class Broken:
        def loss(self, N, D):
            return np.where(N > 1e5, np.nan, 1.0)

    with pytest.raises(ValueError, match="the law's loss is not a number at N = "):
        allocate(Broken(), train_flops=1e20)


# ------------------------------------------------------------------------------- speed


@pytest.mark.parametrize("law", [CONSISTENT, REGRESSION])
def test_a_frontier_of_sixty_budgets_is_quick(law):
    start = time.process_time()
    frontier(law, train_flops=np.geomspace(1e17, 1e25, 60), inference_flops=2e9)
    # About 0.1 s; the bound only tells a search that evaluates the law one N at a time.
    assert time.process_time() - start < 2.0
