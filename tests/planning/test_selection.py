"""Ways to make one answer of k samples: against simulated samples, sums and limits."""

import numpy as np
import pytest
from scipy import stats

import t2lib as t2
from t2lib import passk
from t2lib.planning.forward import allocate, frontier
from t2lib.planning.selection import FalsePositives, StopEarly, Vote

CHINCHILLA = t2.Chinchilla(E=0.15, A=1.3e5, B=440.0, alpha=0.58, beta=0.173)
LAW = t2.BetaConsistentLaw(CHINCHILLA, 2.2, 0.3)
LIFE = {"total_flops": 3e20, "queries": 1e6, "cost": t2.CostModel(150, 250)}
APART = {"train_flops": 1e20, "inference_flops": 2e11}
QUESTIONS = 200_000


def share(way, a, b, k):
    return way.of_shape(*np.broadcast_arrays(float(a), float(b), np.asarray(k, dtype=float)))


@pytest.fixture(scope="module")
def p():
    """Chances of questions whose difficulty follows Beta(0.4, 3)."""
    return np.random.default_rng(0).beta(0.4, 3.0, QUESTIONS)


def near(values, expected):
    """Whether a simulated mean lies within five standard errors."""
    return abs(np.mean(values) - expected) < 5 * np.std(values) / np.sqrt(len(values))


# ------------------------------------------------------------------------- the actual process


@pytest.mark.parametrize("rate", [0.001, 0.1])
def test_the_first_accepted_sample_is_the_answer(p, rate):
    rng = np.random.default_rng(1)
    right, open_ = np.zeros(QUESTIONS, dtype=bool), np.ones(QUESTIONS, dtype=bool)
    for _ in range(12):
        good = rng.random(QUESTIONS) < p
        accepted = open_ & (good | (rng.random(QUESTIONS) < rate))
        right |= accepted & good
        open_ &= ~accepted
    assert near(right, share(FalsePositives(LAW, rate), 0.4, 3.0, 12))


def test_the_most_frequent_answer_wins(p):
    rng = np.random.default_rng(2)
    for k in (3, 9):
        votes = rng.binomial(k, p)
        assert near(votes > k / 2, share(Vote(LAW, "agree"), 0.4, 3.0, k))
        one_of_k = (votes == 1) & (rng.random(QUESTIONS) < 1 / k)
        assert near((votes > 1) | one_of_k, share(Vote(LAW, "differ"), 0.4, 3.0, k))


def test_other_wrong_answers_lie_between(p):
    """Three equally likely wrong answers, ties broken by chance."""
    rng = np.random.default_rng(3)
    few, k = p[:50_000], 7
    answers = np.where(
        rng.random((few.size, k)) < few[:, None], 0, rng.integers(1, 4, (few.size, k))
    )
    counts = (answers[:, :, None] == np.arange(4)).sum(axis=1) + 0.5 * rng.random((few.size, 4))
    won = (counts.argmax(axis=1) == 0).mean()
    worst, best = (share(Vote(LAW, wrong), 0.4, 3.0, k) for wrong in ("agree", "differ"))
    assert worst < won < best


def test_a_query_ends_with_its_first_success(p):
    rng = np.random.default_rng(4)
    first = rng.geometric(np.maximum(p, 1e-12))
    taken = np.minimum(first, 20)
    mean = passk.beta_mean_samples(0.4, 3.0, 20)
    assert near(taken, mean)
    assert near(first <= 20, share(StopEarly(LAW), 0.4, 3.0, mean))


# ------------------------------------------------------------------------- sums and limits


@pytest.mark.parametrize("a", [0.01, 0.4, 1.0, 1.000003, 6.0])
@pytest.mark.parametrize("b", [0.05, 3.0, 500.0])
def test_sums_over_samples_are_the_same(a, b):
    k = 60
    fails = [1.0, *(1 - passk.beta_pass_at_k(a, b, np.arange(1.0, k + 1)))]
    assert passk.beta_mean_samples(a, b, k) == pytest.approx(sum(fails[:k]), rel=1e-6)
    found = -np.diff(fails)  # chance that the first right sample is the jth
    for rate in (1e-4, 0.2):
        first = (1 - rate) ** np.arange(k)  # and that no wrong one was accepted before
        value = share(FalsePositives(LAW, rate), a, b, k)
        assert value == pytest.approx(float(first @ found), rel=1e-7, abs=1e-12)
    exact = stats.betabinom.sf(30, 61, a, b)
    assert share(Vote(LAW, "agree"), a, b, 61) == pytest.approx(exact, rel=1e-6, abs=1e-9)


def test_limits():
    a, b, k = 0.3, 40.0, np.array([1.0, 5.0, 1e4])
    passes = passk.beta_pass_at_k(a, b, k)
    np.testing.assert_array_equal(share(FalsePositives(LAW, 0.0), a, b, k), passes)
    np.testing.assert_allclose(share(FalsePositives(LAW, 1e-12), a, b, k), passes, rtol=1e-6)
    for way in (FalsePositives(LAW, 0.3), Vote(LAW, "agree"), Vote(LAW, "differ"), StopEarly(LAW)):
        assert share(way, a, b, 1.0) == pytest.approx(passes[0], rel=1e-9)
    # As k grows: the cap, the questions with p > 1/2, every question.
    cap = share(FalsePositives(LAW, 0.01), a, b, [1e6, 1e9])
    assert cap[0] == pytest.approx(cap[1], rel=1e-9) and cap[1] < 0.5
    half = share(Vote(LAW, "agree"), 2.0, 3.0, 1e9)
    assert half == pytest.approx(stats.beta(2, 3).sf(0.5), rel=1e-4)
    assert share(Vote(LAW, "differ"), 2.0, 3.0, 1e6) == pytest.approx(1, abs=1e-6)
    assert passk.beta_mean_samples(3.0, 2.0, 1e9) == pytest.approx(2.0)
    capped = share(StopEarly(LAW, most=5.0), a, b, 1e9)
    assert capped == pytest.approx(passes[1])


# ------------------------------------------------------------------------- plans


@pytest.mark.parametrize(
    "way", [{"false_positives": 0.01}, {"vote": "differ"}, {"stop_early": True}]
)
def test_no_model_on_a_grid_is_better(way):
    plan = allocate(LAW, **APART, **way)
    N = np.geomspace(1e6, 1e10, 300)
    made = {"false_positives": FalsePositives(LAW, 0.01), "vote": Vote(LAW, "differ")}
    objective = made.get(next(iter(way)), StopEarly(LAW))
    values = objective.answered_right(N, 1e20 / 6 / N, 2e11 / 2 / N)
    assert values.max() - 1e-12 <= plan.metric < values.max() + 1e-3
    assert plan.metric_name == "answered_right" and (plan.most_samples or plan.k) >= plan.k


def test_plans_of_one_budget():
    base = allocate(LAW, **LIFE)
    none, wrong, early = (
        allocate(LAW, **LIFE, **way)
        for way in ({"false_positives": 0.0}, {"false_positives": 0.01}, {"stop_early": True})
    )
    assert none == base
    assert wrong.N > 2 * base.N and wrong.k < base.k / 5 and wrong.metric < base.metric / 2
    assert early.metric > base.metric and early.most_samples > early.k
    spent = early.cost["train_flops"] + early.cost["serving_flops"]
    assert spent == pytest.approx(3e20, rel=1e-9)
    assert "on average, at most" in early.summary()
    # Hardly a question has p above 1/2: a vote against wrong answers that agree is for nothing.
    agree = allocate(LAW, **APART, vote="agree")
    assert agree.k == 1 and agree.metric == pytest.approx(allocate(LAW, **APART, max_k=1).metric)


def test_a_target_is_reached_and_resampled_laws_are_asked_alike():
    way = {"false_positives": 0.001}
    plan = t2.cheapest(LAW, target=0.3, inference_flops=2e11, **way)
    assert plan.metric == pytest.approx(0.3, abs=1e-9) and plan.metric_name == "answered_right"
    again = allocate(LAW, train_flops=plan.train_flops, inference_flops=2e11, **way)
    assert again.metric == pytest.approx(0.3, abs=1e-9)
    region = t2.allocation_region(LAW, [LAW], **APART, **way)
    assert region.solved["regret"].iloc[0] == pytest.approx(0, abs=1e-9)


def test_the_most_samples_of_a_query_are_kept():
    plan = allocate(LAW, **LIFE, stop_early=True, max_k=100)
    assert plan.most_samples == pytest.approx(100) and plan.k < 100
    assert plan.at_bounds == ("samples of a query at their upper bound 100",)
    right = LAW.pass_at_k(plan.N, plan.D, plan.most_samples)
    assert plan.metric == pytest.approx(float(right), rel=1e-9)
    table = frontier(LAW, **{**LIFE, "total_flops": [3e20]}, stop_early=True, max_k=100)
    assert table["most_samples"][0] == plan.most_samples and table["k"][0] == plan.k


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (
            {"vote": "differ", "stop_early": True},
            "give one of false_positives, vote and stop_early",
        ),
        ({"vote": "most"}, "vote is 'most': must be 'agree' or 'differ'"),
        ({"false_positives": 1.0}, "false_positives is 1: must be 0 or more, below 1"),
        ({"vote": "differ", "verifier": 0.5}, "verifier goes with neither vote nor stop_early"),
        ({"stop_early": True, "whole_k": True}, "whole_k goes with neither"),
        ({"vote": "differ", "metric": "loss"}, "Vote has no metric 'loss': it has answered_right"),
    ],
)
def test_what_does_not_fit_is_refused(request_, message):
    with pytest.raises(ValueError, match=message):
        allocate(LAW, **APART, **request_)


def test_a_law_without_a_distribution_is_refused():
    with pytest.raises(ValueError, match="Chinchilla has no distribution of p"):
        allocate(CHINCHILLA, **APART, vote="agree")
