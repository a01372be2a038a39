"""The reverse question: it inverts the forward one, agrees with brute force, and knows limits."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import t2lib as t2
from t2lib.planning.forward import allocate
from t2lib.planning.inverse import cheapest

HOFFMANN = t2.Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)
TASK = t2.Chinchilla(E=0.0, A=70.0, B=2e6, alpha=0.14, beta=0.63)
ADDITIVE = t2.AdditiveLaw(E=0.1, A=40.0, B=400.0, alpha=0.25, beta=0.3, G=1.2, gamma=0.3)
CONSISTENT = t2.BetaConsistentLaw(TASK, c0=-0.1, c1=0.5)
REGRESSION = t2.BetaRegressionLaw(TASK, theta=(2.0, 1.5, 0.8, 1.0, -0.2))
LAWS = [HOFFMANN, ADDITIVE, CONSISTENT, REGRESSION]
CACHE = t2.CostModel(prompt_tokens=1000, answer_tokens=500)
TOKEN = t2.CostModel(prompt_tokens=0, answer_tokens=1, shared_cache=False)


# ------------------------------------------------------------------------------- the inverse


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(
    "constraints",
    [{}, {"whole_k": True}, {"max_k": 6, "verifier": 0.8, "unique_tokens": 1e10}],
)
def test_it_inverts_the_forward_question(law, constraints):
    budgets = {
        "total_flops": {"total_flops": 3e22, "queries": 1e8, "cost": CACHE},
        "train_flops": {"train_flops": 1e22, "inference_flops": 2e10},
        "inference_flops": {"train_flops": 1e22, "inference_flops": 2e10},
    }
    for sought, budget in budgets.items():
        if law is HOFFMANN and sought == "inference_flops":
            continue  # a loss does not depend on it
        there = allocate(law, **budget, **constraints)
        if sought == "inference_flops" and there.k >= constraints.get("max_k", np.inf):
            continue  # a part of that budget is not needed
        rest = {name: value for name, value in budget.items() if name != sought}
        back = cheapest(law, target=there.metric, **rest, **constraints)
        assert getattr(back, sought) == pytest.approx(budget[sought], rel=1e-9)
        assert back.metric == pytest.approx(there.metric, rel=1e-12)
        assert back.metric_name == there.metric_name
        assert pytest.approx(there.N, rel=1e-5) == back.N
        assert pytest.approx(there.k, rel=1e-5) == back.k


@settings(max_examples=10)
@given(
    st.sampled_from([HOFFMANN, ADDITIVE, REGRESSION]),
    st.floats(1e15, 1e30),
    st.floats(0, 10),
    st.floats(0, 2000),
)
def test_it_inverts_any_budget(law, total, log_queries, prompt):
    cost = t2.CostModel(prompt, 300)
    budget = {"queries": 10**log_queries, "cost": cost}
    if 10**log_queries * cost.query_flops(1.0, 1.0) > total / 10:
        return
    there = allocate(law, total_flops=total, **budget)
    if there.metric > 1 - 1e-9 and there.metric_name == "pass_at_k":
        return  # rounding leaves too few digits to tell budgets apart
    back = cheapest(law, target=there.metric, **budget)
    assert back.total_flops == pytest.approx(total, rel=1e-6)


def test_without_serving_it_is_the_closed_form():
    for C in (1e18, 1e22, 1e27):
        N, D = HOFFMANN.optimum(C)
        plan = cheapest(HOFFMANN, target=float(HOFFMANN.loss(N, D)))
        assert plan.train_flops == pytest.approx(C, rel=1e-9)
        assert pytest.approx(N, rel=1e-8) == plan.N and pytest.approx(D, rel=1e-8) == plan.D
        assert plan.k == 1


def test_no_cheaper_plan_on_a_grid():
    """Cost of every (N, k) on a grid, with the D that the target needs, in closed form."""
    target, queries = 0.6, 1e8
    plan = cheapest(ADDITIVE, target=target, queries=queries, cost=CACHE)
    law = ADDITIVE
    N, k = np.meshgrid(np.geomspace(1e7, 1e11, 800), np.geomspace(1, 1e5, 800))
    left = target - law.E - law.A * N**-law.alpha - law.G * k**-law.gamma
    with np.errstate(invalid="ignore"):
        D = (law.B / np.where(left > 0, left, np.nan)) ** (1 / law.beta)
    total = np.nanmin(CACHE.total_flops(N, np.where(np.isnan(D), 1e40, D), k, queries))
    assert plan.total_flops <= total
    assert plan.total_flops == pytest.approx(total, rel=1e-3)


@settings(max_examples=10)
@given(st.floats(0.3, 2.0), st.floats(1.01, 1.5), st.floats(0, 10))
def test_a_harder_target_and_more_queries_cost_more(target, easier, log_queries):
    given = {"queries": 10**log_queries, "cost": CACHE}
    hard, easy = (cheapest(ADDITIVE, target=t, **given) for t in (target, target * easier))
    assert easy.total_flops < hard.total_flops
    more = cheapest(ADDITIVE, target=target, queries=10**log_queries * easier, cost=CACHE)
    assert more.total_flops > hard.total_flops


# ------------------------------------------------------------------------------- Sardana et al.

# The constants that Sardana et al. (2024, arXiv:2401.00448) take from Hoffmann et al. (2022).
SARDANA = t2.Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283)


def chinchilla_quality(N):
    """Training FLOPs at which N is optimal, and the loss there."""
    low, high = 1e10, 1e40
    while high / low > 1 + 1e-14:
        middle = np.sqrt(low * high)
        low, high = (middle, high) if SARDANA.optimum(middle)[0] < N else (low, middle)
    return low, float(SARDANA.loss(*SARDANA.optimum(low)))


def test_sardanas_large_example():
    """30 B quality for 10^13 tokens: 28 % less in all with 13.6 B parameters."""
    train, loss = chinchilla_quality(30e9)
    plan = cheapest(SARDANA, target=loss, queries=1e13, cost=TOKEN)
    assert pytest.approx(13.6e9, rel=0.005) == plan.N
    assert 1 - plan.total_flops / (train + 2 * 30e9 * 1e13) == pytest.approx(0.28, abs=0.005)


def test_sardanas_small_example():
    """13 B quality for 2 10^12 tokens: 1.7 10^22 FLOPs (17 %) less with 7 B parameters."""
    train, loss = chinchilla_quality(13e9)
    everything = train + 2 * 13e9 * 2e12
    seven = cheapest(SARDANA, target=loss, queries=2e12, cost=TOKEN, n_range=(7e9, 7e9))
    assert everything - seven.total_flops == pytest.approx(1.7e22, abs=0.05e22)
    assert 1 - seven.total_flops / everything == pytest.approx(0.17, abs=0.005)
    best = cheapest(SARDANA, target=loss, queries=2e12, cost=TOKEN)
    assert best.total_flops < seven.total_flops


@pytest.mark.parametrize("tokens", [1e9, 1e12, 1e14])
def test_sardanas_first_order_condition(tokens):
    """Their condition, from 6 N D + 2 N D_inf with D(N) from the loss."""
    law, loss = SARDANA, 2.1
    plan = cheapest(law, target=loss, queries=tokens, cost=TOKEN)
    N, D = plan.N, plan.D
    ratio = law.alpha * law.A * N**-law.alpha / (law.beta * law.B * D**-law.beta)
    assert 6 * D + 2 * tokens == pytest.approx(6 * D * ratio, rel=1e-6)
    assert law.loss(N, D) == pytest.approx(loss, rel=1e-12) and plan.k == 1


# ------------------------------------------------------------------------------- limits


@pytest.mark.parametrize(
    ("law", "arguments", "message"),
    [
        (HOFFMANN, {"target": 1.6}, "loss 1.6 is out of reach: .*; the law's floor is E = 1.69"),
        (HOFFMANN, {"target": 1.69}, "the law's floor is E = 1.69"),
        (ADDITIVE, {"target": 0.1, "queries": 1e6}, "the law's floor is E = 0.1"),
        (
            ADDITIVE,
            {"target": 0.5, "queries": 1e6, "max_k": 3},
            r"neg_log_pass 0.5 is out of reach: no total_flops up to 1.2\d*e\+60 gives better than "
            r"0.96\d+, because of max_k 3 \(without it: 0.1\d*\)",
        ),
        (
            REGRESSION,
            {"target": 0.85, "max_k": 1, "queries": 10},
            r"gives better than 0.7\d+, because of max_k 1 \(without it: 1\)",
        ),
        (REGRESSION, {"target": 0.85}, "gives better than 0.76.*; the law itself goes no further"),
        (
            ADDITIVE,
            {"target": 0.3, "inference_flops": 1e7},
            r"because of inference_flops 1e\+07 \(",
        ),
        (
            CONSISTENT,
            {"target": 0.9, "train_flops": 1e12, "max_k": 1e6},
            r"because of max_k 1e\+06 \(.*\) or train_flops 1e\+12 \(",
        ),
        (HOFFMANN, {"target": 1.8, "n_range": (None, 1e8)}, r"because of the largest N 1e\+08 \("),
        (HOFFMANN, {"target": 1.9, "unique_tokens": 1e9}, "because of unique_tokens "),
        (
            CONSISTENT,
            {"target": 0.97, "queries": 1e6, "verifier": 0.9, "n_range": (None, 1e9)},
            r"because of the largest N 1e\+09 \(.*\) or verifier 0.9 \(without it: 1\)",
        ),
        (
            ADDITIVE,
            {"target": 0.3, "queries": 1e6, "max_k": 2, "n_range": (None, 1e6)},
            r"because of the largest N 1e\+06 and max_k 2 together",
        ),
        (ADDITIVE, {"target": 0}, "target is 0: neg_log_pass must be positive and finite"),
        (ADDITIVE, {"target": np.nan}, "target is nan: neg_log_pass must be"),
        (CONSISTENT, {"target": 1}, "target is 1: pass_at_k must be between 0 and 1"),
        (CONSISTENT, {"target": 1.5}, "target is 1.5: pass_at_k must be between 0 and 1"),
        (
            ADDITIVE,
            {"target": 1.0, "queries": 1e6, "train_flops": 1e20},
            "at most one of queries, inference_flops and train_flops",
        ),
        (
            ADDITIVE,
            {"target": 1.0, "queries": -1},
            "queries is -1: must be finite and not negative",
        ),
        (ADDITIVE, {"target": 1.0, "queries": 0}, "samples cost nothing here"),
    ],
)
def test_what_cannot_be_reached_is_refused_with_the_reason(law, arguments, message):
    with pytest.raises(ValueError, match=message) as error:
        cheapest(law, **arguments)
    assert "\n" not in str(error.value)


def test_what_anything_reaches_costs_the_least():
    plan = cheapest(HOFFMANN, target=1e4)
    assert (plan.N, plan.D, plan.train_flops) == (1.0, 1.0, 6.0)
    plan = cheapest(ADDITIVE, target=1e4, queries=10, n_range=(1e6, None))
    assert pytest.approx(1e6) == plan.N and plan.k == 1.0
    assert pytest.approx(1.0) == plan.D
    assert plan.total_flops == pytest.approx(6e6 + 10 * 2e6)
    assert plan.metric < 1e4


def test_on_a_plateau_the_least_budget_is_its_near_end():
    """Where repeated data gain nothing any more, a larger budget buys nothing either."""
    limits = {"unique_tokens": 1e9, "n_range": (1e6, 1e6)}
    there = allocate(HOFFMANN, train_flops=1e26, **limits)
    assert allocate(HOFFMANN, train_flops=1e24, **limits).metric == there.metric
    plan = cheapest(HOFFMANN, target=there.metric, **limits)
    assert plan.metric == pytest.approx(there.metric, rel=1e-14) and plan.train_flops < 1e19
    smaller = allocate(HOFFMANN, train_flops=plan.train_flops / 2, **limits)
    assert smaller.metric > plan.metric
    flat = t2.Chinchilla(1.0, 0.0, 0.0, 0.0, 0.0)
    assert cheapest(flat, target=1.0).train_flops == 6.0


def test_a_law_that_all_reach_or_none():
    for law, target in ((t2.AdditiveLaw(0.1, 0, 0, 0, 0, 1.2, 0.3), 1.0), (ADDITIVE, 3.0)):
        plan = cheapest(law, target=target, queries=1e6)
        assert plan.metric == pytest.approx(target)


def test_constraints_cost():
    free = cheapest(CONSISTENT, target=0.6, queries=1e7, cost=CACHE)
    for constraint in (
        {"n_range": (None, free.N / 2)},
        {"n_range": (free.N * 2, None)},
        {"max_k": free.k / 4, "verifier": 0.9},
        {"unique_tokens": free.D / 10},
    ):
        plan = cheapest(CONSISTENT, target=0.6, queries=1e7, cost=CACHE, **constraint)
        assert plan.total_flops > free.total_flops
        assert plan.metric == pytest.approx(0.6, rel=1e-11)
    seen = pd.DataFrame({"n_params": [1, 2], "n_tokens": [1, 2]})
    assert cheapest(CONSISTENT, target=0.6, queries=1e7, fitted=seen).extrapolation
