"""One budget for training and serving, own costs and constraints: against brute force."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

import t2lib as t2
from t2lib.planning.architecture import ArchitectureFamily
from t2lib.planning.budgets import largest_size
from t2lib.planning.forward import allocate, frontier, isoflop_profile

HOFFMANN = t2.Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)
TASK = t2.Chinchilla(E=0.0, A=70.0, B=2e6, alpha=0.14, beta=0.63)
ADDITIVE = t2.AdditiveLaw(E=0.1, A=40.0, B=400.0, alpha=0.25, beta=0.3, G=1.2, gamma=0.3)
CONSISTENT = t2.BetaConsistentLaw(TASK, c0=-0.1, c1=0.5)
REGRESSION = t2.BetaRegressionLaw(TASK, theta=(2.0, 1.5, 0.8, 1.0, -0.2))
LAWS = [HOFFMANN, ADDITIVE, CONSISTENT, REGRESSION]
SIGN = {"pass_at_k": -1, "neg_log_pass": 1, "loss": 1}

PAPER = t2.CostModel()
CACHE = t2.CostModel(prompt_tokens=1000, answer_tokens=500)
NO_CACHE = t2.CostModel(prompt_tokens=1000, answer_tokens=500, shared_cache=False)
ATTENTION = t2.CostModel(1000, 500, architecture=ArchitectureFamily())

additives = st.builds(
    t2.AdditiveLaw,
    st.floats(0, 3),
    st.floats(1.0, 1e4),
    st.floats(1.0, 1e4),
    st.floats(0.1, 1.2),
    st.floats(0.1, 1.2),
    st.floats(0.01, 10),
    st.floats(0.05, 1.2),
)
costs = st.builds(t2.CostModel, st.floats(0, 1e5), st.floats(1, 1e4), st.booleans())


class Plain:
    """The least that a cost model must have: 6 N D, and 2 N (P + k T)."""

    def __init__(self, P, T):
        self.P, self.T = P, T

    def train_flops(self, N, D):
        return 6 * N * D

    def tokens(self, N, train_flops):
        return train_flops / 6 / N

    def query_flops(self, N, k):
        return 2 * N * (self.P + k * self.T)


class Bent(Plain):
    """The more samples, the cheaper each."""

    def __init__(self):
        super().__init__(0, 1)

    def query_flops(self, N, k):
        return 2 * N * np.sqrt(k)


def metric_of(law):
    return next(name for name in SIGN if hasattr(law, name))


def values(law, N, D, k):
    name = metric_of(law)
    arguments = (N, D) if name == "loss" else (N, D, k)
    return SIGN[name] * getattr(law, name)(*arguments)


def brute_force(law, total, queries, cost, n=300, n_range=(1.0, np.inf), max_k=np.inf):
    """Least value on a grid of sizes and shares, every plan on it paid for."""
    N = np.geomspace(n_range[0], min(n_range[1], total / 6), n)
    share = 1 / (1 + np.exp(-np.linspace(-45, 45, n)))
    N, share = np.meshgrid(N, share, indexing="ij")
    one, two = cost.query_flops(N, 1.0), cost.query_flops(N, 2.0)
    D = cost.tokens(N, share * total)
    k = 1 + ((1 - share) * total / queries - one) / (two - one)
    paid = (D >= 1) & (k >= 1)
    many = values(law, N[paid], D[paid], np.minimum(k, max_k)[paid]).min()
    left = total - queries * one
    paid = left >= cost.train_flops(N, 1.0)
    return min(many, values(law, N[paid], cost.tokens(N[paid], left[paid]), 1.0).min())


# ------------------------------------------------------------------------------- end to end


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("cost", [PAPER, CACHE, NO_CACHE])
def test_no_plan_on_a_grid_is_better(law, cost):
    for total, queries in ((1e18, 1e4), (1e18, 1e9), (1e22, 1.0), (1e22, 1e9), (1e26, 1e6)):
        plan = allocate(law, total_flops=total, queries=queries, cost=cost)
        found = SIGN[plan.metric_name] * plan.metric
        grid = brute_force(law, total, queries, cost, n=150)
        assert found <= grid + 1e-13 * abs(grid)
        # The grid's steps are 0.3 to 0.6: no plan between them is much better.
        assert found == pytest.approx(grid, rel=0.1)
        assert plan.cost["total_flops"] == pytest.approx(total, rel=1e-9)
        assert plan.at_bounds == ()


def test_two_first_order_conditions():
    """Where k and N are free, both derivatives along the budget are 0."""
    law, total, queries, P, T = ADDITIVE, 1e22, 1e7, 1000, 500
    plan = allocate(law, total_flops=total, queries=queries, cost=CACHE)

    def value(x, y):
        N, k = np.exp(x), np.exp(y)
        D = (total - queries * 2 * N * (P + k * T)) / 6 / N
        return law.neg_log_pass(N, D, k) if D > 0 and k >= 1 else np.inf

    x, y, h = np.log(plan.N), np.log(plan.k), 1e-4
    assert abs(value(x + h, y) - value(x - h, y)) / (2 * h) < 1e-7
    assert abs(value(x, y + h) - value(x, y - h)) / (2 * h) < 1e-7
    free = optimize.minimize(
        lambda v: value(*v),
        [x + 0.5, y - 0.5],
        method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-16, "maxiter": 4000},
    )
    assert np.allclose(free.x, [x, y], atol=1e-5)
    assert free.fun == pytest.approx(plan.metric, rel=1e-13)


@settings(max_examples=30)
@given(additives, st.floats(1e17, 1e26), st.floats(0, 12), costs)
def test_any_additive_law_against_the_grid(law, total, log_queries, cost):
    queries = 10**log_queries
    try:
        plan = allocate(law, total_flops=total, queries=queries, cost=cost)
    except ValueError as error:
        assert "does not pay for one token and the queries" in str(error)
        assert queries * cost.query_flops(1.0, 1.0) + 6 > total
        return
    grid = brute_force(law, total, queries, cost, n=100)
    assert plan.metric <= grid * (1 + 1e-12)
    assert plan.cost["total_flops"] <= total * (1 + 1e-9)
    assert plan.N >= 1 and plan.D >= 1 and plan.k >= 1


@settings(max_examples=20)
@given(
    st.sampled_from(LAWS),
    st.floats(1e18, 1e25),
    st.floats(2, 9),
    st.floats(1, 1e4),
    st.booleans(),
    st.sampled_from(["total", "queries", "max_k", "n_range", "stock", "verifier"]),
)
def test_monotone_in_everything(law, total, log_queries, factor, whole_k, what):
    """More budget, fewer queries, weaker constraints: never worse."""
    given = {"total_flops": total, "queries": 10**log_queries, "cost": CACHE, "whole_k": whole_k}
    given |= {"max_k": 5.0, "n_range": (1e5, 1e8), "unique_tokens": 1e10, "verifier": 0.5}
    if 10**log_queries * CACHE.query_flops(1e5, 1.0) > total / 2:
        return
    if what == "total":
        more = given | {"total_flops": total * factor}
    elif what == "queries":
        more = given | {"queries": 10**log_queries / factor}
    elif what == "max_k":
        more = given | {"max_k": 5.0 * factor}
    elif what == "n_range":
        more = given | {"n_range": (1e5 / factor, 1e8 * factor)}
    elif what == "stock":
        # A larger stock suits a larger model too.
        more = given | {"unique_tokens": 1e10 * factor}
    else:
        more = given | {"verifier": min(0.5 * factor, 1.0)}
    plans = allocate(law, **given), allocate(law, **more)
    first, second = (SIGN[plan.metric_name] * plan.metric for plan in plans)
    assert second <= first + 1e-10 * abs(first)


@pytest.mark.parametrize("law", [ADDITIVE, CONSISTENT, REGRESSION])
@pytest.mark.parametrize("cost", [CACHE, NO_CACHE])
def test_whole_samples(law, cost):
    for total, queries in ((1e20, 1e9), (1e22, 1e9), (1e22, 1e8)):
        given = {"total_flops": total, "queries": queries, "cost": cost}
        free, whole = (allocate(law, **given, whole_k=w) for w in (False, True))
        assert whole.k == round(whole.k) and abs(whole.k - free.k) < 1
        near = np.arange(max(1, free.k // 1 - 3), free.k + 4)
        k = np.unique(np.concatenate([near, np.geomspace(1, 4 * free.k, 20).round()]))[:, None]
        N = np.geomspace(free.N / 30, free.N * 30, 2001)
        N, k = np.broadcast_arrays(N, k)
        D = (total - queries * cost.query_flops(N, k)) / 6 / N
        grid = values(law, N[D >= 1], D[D >= 1], k[D >= 1]).min()
        found = SIGN[whole.metric_name] * whole.metric
        assert found == pytest.approx(grid, rel=1e-3)
        assert found <= grid + 1e-12 * abs(found)


def test_a_cache_buys_samples():
    """Without a shared cache each sample pays for the prompt again."""
    for law in (ADDITIVE, CONSISTENT):
        given = {"total_flops": 1e22, "queries": 1e8}
        cached, plain = (allocate(law, **given, cost=cost) for cost in (CACHE, NO_CACHE))
        assert cached.k > plain.k
        assert SIGN[cached.metric_name] * (cached.metric - plain.metric) < 0


def test_many_queries_make_models_smaller():
    table = frontier(ADDITIVE, total_flops=1e22, queries=np.geomspace(1, 1e10, 11), cost=CACHE)
    assert (np.diff(table["N"]) < 0).all() and (np.diff(table["k"]) < 0).all()
    assert (np.diff(table["tokens_per_parameter"]) > 0).all()
    assert (np.diff(table["neg_log_pass"]) > 0).all()
    spent = table["train_flops"] / (1 - table["serving_share"])
    np.testing.assert_allclose(spent, 1e22, rtol=1e-9)


def test_no_query_is_training_alone():
    plan = allocate(HOFFMANN, total_flops=1e21, queries=0)
    assert pytest.approx(HOFFMANN.optimum(1e21)[0], rel=1e-9) == plan.N
    assert plan.cost["serving_share"] == 0
    with pytest.raises(ValueError, match="samples cost nothing here"):
        allocate(ADDITIVE, total_flops=1e21, queries=0)
    capped = allocate(ADDITIVE, total_flops=1e21, queries=0, max_k=64)
    assert pytest.approx(ADDITIVE.at_one_sample().optimum(1e21)[0], rel=1e-9) == capped.N
    assert capped.k == 64 and capped.at_bounds == ("k at its upper bound 64",)
    few = allocate(ADDITIVE, total_flops=1e21, queries=1e-3, max_k=64)
    assert pytest.approx(capped.N, rel=1e-6) == few.N


def test_a_frontier_is_allocate_row_by_row():
    given = {"cost": CACHE, "n_range": (1e6, 1e9), "max_k": 100, "verifier": 0.9}
    totals, queries = np.array([1e20, 1e22, 1e24]), np.array([[1e5], [1e8]])
    for whole_k in (False, True):
        table = frontier(CONSISTENT, total_flops=totals, queries=queries, whole_k=whole_k, **given)
        assert len(table) == 6
        for row in table.itertuples():
            budget = {"total_flops": row.total_flops, "queries": row.queries}
            plan = allocate(CONSISTENT, **budget, **given, whole_k=whole_k)
            assert row.pass_at_k == pytest.approx(plan.metric, rel=1e-12)
            assert pytest.approx(plan.N, rel=1e-5) == row.N
            assert row.at_bounds == "; ".join(plan.at_bounds)


def test_a_profile_has_the_best_k_for_each_size():
    N = np.geomspace(1e6, 1e9, 7)
    table = isoflop_profile(ADDITIVE, total_flops=1e21, queries=1e7, cost=CACHE, N=N)
    for row in table.itertuples():
        k = np.geomspace(1, 1e6, 4001)
        D = (1e21 - 1e7 * CACHE.query_flops(row.N, k)) / 6 / row.N
        grid = ADDITIVE.neg_log_pass(row.N, D[D > 1], k[D > 1])
        assert row.neg_log_pass <= grid.min() + 1e-13
        assert row.neg_log_pass == pytest.approx(grid.min(), rel=1e-4)
    best = allocate(ADDITIVE, total_flops=1e21, queries=1e7, cost=CACHE)
    assert best.metric <= table["neg_log_pass"].min()


# ------------------------------------------------------------------------------- Sardana et al.


def sardana(law, loss, inference_tokens):
    """Least 6 N D + 2 N D_inf at a given loss, by the root of the derivative in log N.

    With D(N) from the loss, d/dN: 6 D + 2 D_inf = 6 D (alpha A N^-alpha) / (beta B D^-beta).
    """

    def tokens(N):
        return (law.B / (loss - law.E - law.A * N**-law.alpha)) ** (1 / law.beta)

    def slope(log_N):
        N = np.exp(log_N)
        D = tokens(N)
        ratio = law.alpha * law.A * N**-law.alpha / (law.beta * law.B * D**-law.beta)
        return np.log(6 * D + 2 * inference_tokens) - np.log(6 * D * ratio)

    smallest = np.log((law.A / (loss - law.E)) / 1) / law.alpha
    log_N = optimize.brentq(slope, smallest + 1e-6, smallest + 40, xtol=1e-13)
    return np.exp(log_N), tokens(np.exp(log_N))


@pytest.mark.parametrize("loss", [2.0, 2.3, 3.0])
@pytest.mark.parametrize("queries", [1e3, 1e8, 1e11])
def test_one_sample_without_a_cache_is_sardana(loss, queries):
    N, D = sardana(HOFFMANN, loss, queries * 1500)
    total = 6 * N * D + 2 * N * queries * 1500
    plan = allocate(HOFFMANN, total_flops=total, queries=queries, cost=NO_CACHE)
    assert plan.k == 1 and plan.metric == pytest.approx(loss, rel=1e-11)
    assert pytest.approx(N, rel=1e-6) == plan.N and pytest.approx(D, rel=1e-6) == plan.D
    # A law with samples, held at one, is the same thing.
    flat = t2.AdditiveLaw(1.69, 406.4, 410.7, 0.34, 0.28, 0.5, 0.3)
    held = allocate(flat, total_flops=total, queries=queries, cost=NO_CACHE, max_k=1)
    assert pytest.approx(plan.N, rel=1e-8) == held.N and held.k == 1


# ------------------------------------------------------------------------------- costs


def test_any_object_with_the_methods_is_a_cost_model():
    for arguments in (
        {"total_flops": 1e22, "queries": 1e8},
        {"train_flops": 1e22, "inference_flops": 1e13},
    ):
        own, ours = (allocate(ADDITIVE, **arguments, cost=c) for c in (Plain(1000, 500), CACHE))
        assert pytest.approx(ours.N, rel=1e-6) == own.N
        assert own.metric == pytest.approx(ours.metric, rel=1e-13)
        assert "prefill_flops" in ours.cost and "prefill_flops" not in own.cost
    free = Plain(1000, 0)
    with pytest.raises(ValueError, match="samples cost nothing here"):
        allocate(ADDITIVE, total_flops=1e22, queries=1e8, cost=free)
    with pytest.raises(ValueError, match="samples cost nothing here"):
        allocate(ADDITIVE, train_flops=1e22, inference_flops=1e13, cost=free)
    assert allocate(ADDITIVE, total_flops=1e22, queries=1e8, cost=free, max_k=9).k == 9
    assert allocate(ADDITIVE, train_flops=1e22, inference_flops=1e13, cost=free, max_k=9).k == 9


@pytest.mark.parametrize("law", [ADDITIVE, CONSISTENT])
@pytest.mark.parametrize("whole_k", [False, True])
def test_apart_budgets_with_costs(law, whole_k):
    budgets = {"train_flops": 1e21, "inference_flops": 3e13}
    for cost in (CACHE, NO_CACHE, ATTENTION):
        n_range = (1e6, 1e12)
        plan = allocate(law, **budgets, cost=cost, whole_k=whole_k, n_range=n_range)
        assert cost.query_flops(plan.N, plan.k) <= 3e13 * (1 + 1e-9)
        assert cost.train_flops(plan.N, plan.D) == pytest.approx(1e21, rel=1e-12)
        N = np.geomspace(1e6, 1e11, 4001)
        N = N[cost.query_flops(N, 1.0) <= 3e13]
        k = cost.samples(N, 3e13)
        k = np.floor(k) if whole_k else k
        grid = values(law, N, cost.tokens(N, 1e21), k).min()
        found = SIGN[plan.metric_name] * plan.metric
        assert found <= grid + 1e-12 * abs(grid)
        assert found == pytest.approx(grid, rel=1e-3)


def test_attention_end_to_end():
    given = {"total_flops": 1e22, "queries": 1e8, "n_range": (1e6, 1e12)}
    plan = allocate(ADDITIVE, **given, cost=ATTENTION)
    assert plan.cost["total_flops"] == pytest.approx(1e22, rel=1e-9)
    best = np.inf
    for N in np.geomspace(1e7, 1e10, 200):
        k = np.geomspace(1, 1e4, 400)
        left = 1e22 - 1e8 * ATTENTION.query_flops(N, k)
        D = ATTENTION.tokens(N, left[left > 0])
        best = min(best, ADDITIVE.neg_log_pass(N, D, k[left > 0]).min())
    assert plan.metric <= best and plan.metric == pytest.approx(best, rel=1e-4)


def test_a_cost_that_is_not_linear_in_n_is_inverted():
    budget, low = np.array([1e3, 1e10, 1e25]), np.ones(3)
    no_end = np.full(3, np.inf)
    N = largest_size(lambda N: 5 * N + N**1.5, budget, low, no_end)
    np.testing.assert_allclose(5 * N + N**1.5, budget, rtol=1e-12)
    np.testing.assert_allclose(largest_size(lambda N: 3 * N, budget, low, no_end), budget / 3)
    ends = np.array([10.0, 1e12, np.inf])
    assert largest_size(lambda N: 3 * N, budget, low, ends)[:2].tolist() == [10.0, 1e10 / 3]
    assert (largest_size(lambda N: 3 * N, budget, np.full(3, 1e30), no_end) < 1e30).all()


def test_one_architecture_costs_its_own_model():
    model = ArchitectureFamily()(1e9)
    N = float(model.parameters("all"))
    one = t2.CostModel(1000, 500, architecture=model)
    for budget in (
        {"total_flops": 1e22, "queries": 1e6},
        {"train_flops": 1e22, "inference_flops": 1e14},
    ):
        plan = allocate(ADDITIVE, **budget, cost=one, n_range=(N, N))
        same = allocate(ADDITIVE, **budget, cost=ATTENTION, n_range=(N, N))
        assert N == plan.N and plan.metric == pytest.approx(same.metric, rel=1e-4)
        profile = isoflop_profile(ADDITIVE, **budget, cost=one, N=[N])
        assert profile["neg_log_pass"][0] == pytest.approx(plan.metric, rel=1e-9)
        with pytest.raises(ValueError, match="the architecture has"):
            allocate(ADDITIVE, **budget, cost=one)


# ------------------------------------------------------------------------------- constraints


@pytest.mark.parametrize("budget", ["apart", "total"])
def test_constraints_bind_when_they_should(budget):
    given = {"cost": CACHE, "total_flops": 1e22, "queries": 1e8}
    if budget == "apart":
        given = {"cost": CACHE, "train_flops": 1e22, "inference_flops": 1e14}
    for law, whole_k in product((ADDITIVE, CONSISTENT), (False, True)):
        free = allocate(law, **given, whole_k=whole_k)
        assert free.at_bounds == ()
        loose = {"n_range": (free.N / 3, free.N * 3), "max_k": 3 * free.k, "unique_tokens": 1e16}
        same = allocate(law, **given, **loose, whole_k=whole_k)
        assert (
            pytest.approx(free.N, rel=1e-5) == same.N and pytest.approx(free.k, rel=1e-5) == same.k
        )
        tight = {
            f"N at its lower bound {2 * free.N:.6g}": {"n_range": (2 * free.N, None)},
            f"N at its upper bound {free.N / 2:.6g}": {"n_range": (None, free.N / 2)},
            f"k at its upper bound {free.k // 2:.6g}": {"max_k": free.k // 2},
        }
        for bound, constraint in tight.items():
            plan = allocate(law, **given, **constraint, whole_k=whole_k)
            sign = SIGN[plan.metric_name]
            assert sign * plan.metric > sign * free.metric
            if not (whole_k and "N at" in bound):  # whole k may keep off the bound a little
                assert bound in plan.at_bounds, plan


@pytest.mark.parametrize("law", [ADDITIVE, REGRESSION])
def test_edges_by_brute_force(law):
    for n_range, max_k in (((1e9, 1e12), 4.0), ((1.0, 2e7), np.inf), ((1.0, 2e7), 3.5)):
        for queries in (1e5, 1e8):
            given = {"total_flops": 1e22, "queries": queries, "cost": CACHE, "n_range": n_range}
            plan = allocate(law, **given, max_k=max_k)
            grid = brute_force(law, 1e22, queries, CACHE, n=300, n_range=n_range, max_k=max_k)
            found = SIGN[plan.metric_name] * plan.metric
            assert found <= grid + 1e-12 * abs(grid)
            assert found == pytest.approx(grid, rel=0.01)


@pytest.mark.parametrize("budget", ["apart", "total"])
@pytest.mark.parametrize("whole_k", [False, True])
def test_a_bad_verifier_is_not_asked(budget, whole_k):
    given = {"cost": CACHE, "total_flops": 1e22, "queries": 1e8, "whole_k": whole_k}
    if budget == "apart":
        given = {"train_flops": 1e22, "inference_flops": 1e11, "whole_k": whole_k}
    for law in (ADDITIVE, CONSISTENT):
        sure = allocate(law, **given)
        good, poor = (allocate(law, **given, verifier=v) for v in (0.95, 1e-6))
        one = allocate(law, **given, max_k=1)
        assert poor.k == 1 and poor.metric == pytest.approx(one.metric, rel=1e-12)
        assert (
            pytest.approx(sure.k, rel=1e-4) == good.k and pytest.approx(sure.N, rel=1e-4) == good.N
        )
        if good.metric_name == "pass_at_k":
            assert good.metric == pytest.approx(0.95 * sure.metric, rel=1e-12)
        else:
            assert good.metric == pytest.approx(sure.metric - np.log(0.95), rel=1e-12)
    # A loss knows nothing of samples or verifiers.
    assert allocate(HOFFMANN, **given, verifier=0.1).metric == allocate(HOFFMANN, **given).metric


def test_the_data_wall_makes_models_larger_and_samples_more():
    given = {"total_flops": 1e22, "queries": 1e6, "cost": CACHE}
    free = allocate(ADDITIVE, **given)
    walled = allocate(ADDITIVE, **given, unique_tokens=free.D / 100)
    assert walled.metric > free.metric and walled.D < free.D
    assert walled.epochs == pytest.approx(100 * walled.D / free.D)
    assert free.epochs is None and walled.unique_tokens == free.D / 100
    # A large stock is no stock at all.
    same = allocate(ADDITIVE, **given, unique_tokens=1e30)
    assert same.metric == pytest.approx(free.metric, rel=1e-13)
    grid = brute_force(Walled(ADDITIVE, free.D / 100), 1e22, 1e6, CACHE)
    assert walled.metric <= grid and walled.metric == pytest.approx(grid, rel=0.01)


class Walled:
    """The additive law read at effective sizes, by the formulas written out."""

    def __init__(self, law, stock):
        self.law, self.stock = law, stock

    def neg_log_pass(self, N, D, k):
        law, U = self.law, self.stock
        suited = (law.alpha * law.A * U**law.beta / (law.beta * law.B)) ** (1 / law.alpha)
        seen, base = np.minimum(D, U), np.minimum(N, suited)
        tokens = seen + seen * 15.4 * (1 - np.exp(-(D / seen - 1) / 15.4))
        params = base + base * 5.3 * (1 - np.exp(-(N / base - 1) / 5.3))
        return law.neg_log_pass(params, tokens, k)


# ------------------------------------------------------------------------------- the answer


def test_what_a_plan_costs():
    plan = allocate(ADDITIVE, total_flops=1e22, queries=1e8, cost=CACHE)
    cost = plan.cost
    assert cost["prefill_flops"] + cost["decode_flops"] == pytest.approx(cost["query_flops"])
    assert cost["query_flops"] == pytest.approx(2 * plan.N * (1000 + 500 * plan.k))
    assert cost["serving_flops"] == pytest.approx(1e8 * cost["query_flops"])
    assert cost["train_flops"] == pytest.approx(6 * plan.N * plan.D) == plan.train_flops
    assert cost["serving_share"] == pytest.approx(cost["serving_flops"] / 1e22)
    assert (plan.total_flops, plan.queries, plan.inference_flops) == (1e22, 1e8, None)
    apart = allocate(ADDITIVE, train_flops=1e22, inference_flops=1e14, cost=CACHE)
    assert apart.cost["query_flops"] == pytest.approx(1e14)
    assert "serving_flops" not in apart.cost and "sample_flops_per_token" not in apart.cost


def test_a_plan_in_words():
    given = {"total_flops": 1e21, "queries": 1e8, "cost": CACHE, "unique_tokens": 1e10}
    seen = {"n_params": [1e6, 1e7, 1e7], "n_tokens": [1e9, 1e9, 1e11], "k": [4, 4, 4]}
    plan = allocate(ADDITIVE, **given, max_k=9, fitted=pd.DataFrame(seen))
    words = plan.summary()
    for part in (
        f"N = {plan.N:.4g} parameters",
        "k = 9 samples per query",
        f"neg_log_pass = {plan.metric:.4g}",
        "1e+08 queries take",
        "epochs of 1e+10 unique tokens",
        "bound: k at its upper bound 9",
        f"N is {plan.N / 1e7:.3g} times and D is {plan.D / 1e11:.3g} times the nearest place",
        "k is 2.25 times the largest measured near by (4)",
    ):
        assert part in words
    wide = pd.DataFrame({"n_params": [1e6, 1e11, 1e9], "n_tokens": [1e10, 1e10, 1e13]})
    inside = allocate(HOFFMANN, train_flops=1e21, fitted=wide)
    assert "inside what was fitted" in inside.summary() and inside.extrapolation == {}
    assert allocate(HOFFMANN, train_flops=1e21).extrapolation is None


# ------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "give either train_flops or total_flops"),
        ({"train_flops": 1e20, "total_flops": 1e20}, "give either train_flops or total_flops"),
        ({"total_flops": 1e20}, "total_flops needs queries"),
        ({"total_flops": 1e20, "queries": 1, "inference_flops": 1e9}, "takes no inference_flops"),
        ({"train_flops": 1e20, "queries": 1}, "queries belong to total_flops"),
        ({"total_flops": 0, "queries": 1}, "total_flops is 0: must be positive and finite"),
        ({"total_flops": 1e20, "queries": -1}, "queries is -1: must be finite and not negative"),
        ({"total_flops": 1e20, "queries": np.nan}, "queries is nan: must be finite"),
        ({"total_flops": 1e20, "queries": 1e9, "n_range": (1e12, None)}, r"for one token and the "),
        ({"total_flops": 1e20, "queries": 1, "max_k": 0.5}, "max_k is 0.5: must be at least 1"),
        ({"total_flops": 1e20, "queries": 1, "max_k": np.nan}, "max_k is nan: must be at least 1"),
        ({"total_flops": 1e20, "queries": 1, "verifier": 0}, "verifier is 0: must be above 0"),
        ({"total_flops": 1e20, "queries": 1, "verifier": 1.2}, "verifier is 1.2"),
        ({"total_flops": 1e20, "queries": 1, "unique_tokens": -1}, "unique_tokens is -1"),
        ({"total_flops": [1e20, 1e21], "queries": 1}, "allocate takes one budget"),
        ({"train_flops": 1e20, "fitted": {"M": (1, 2)}}, "fitted has M: must be the table"),
        (
            {"train_flops": 1e20, "cost": "paper"},
            "cost is a str without train_flops, tokens, query",
        ),
        ({"train_flops": 1e20, "n_range": 5}, r"n_range is 5: must be \(smallest, largest\)"),
        ({"total_flops": 1e20, "queries": 1, "cost": Bent()}, "query_flops is not linear in k"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message) as error:
        allocate(ADDITIVE, **arguments)
    assert "\n" not in str(error.value)


def test_profiles_and_frontiers_name_what_is_not_paid():
    with pytest.raises(
        ValueError, match=r"N\[1\] is 1e\+12: total_flops does not pay for one token"
    ):
        isoflop_profile(ADDITIVE, total_flops=1e20, queries=1e9, N=[1e8, 1e12], cost=PAPER)
    with pytest.raises(ValueError, match=r"total_flops\[1\] is 1e\+06: it does not pay for one"):
        frontier(ADDITIVE, total_flops=[1e20, 1e6], queries=1e9)
    with pytest.raises(ValueError, match="total_flops is empty"):
        frontier(ADDITIVE, total_flops=[], queries=1e9)
    with pytest.raises(ValueError, match=r"N\[0\] is 1e\+12: train_flops buys no token"):
        isoflop_profile(ADDITIVE, train_flops=1e12, N=[1e12])
