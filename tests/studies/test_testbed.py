"""What is computed from our own testbed, on tables whose answer is known."""

import numpy as np
import pandas as pd
import pytest

import t2lib as t2
from t2lib._checks import DataError
from t2lib.studies import forecast, repeated_tokens, temperature, testbed, testbed_claims

SIZES = 2000 * 1.5 ** np.arange(10)
LAW = t2.Chinchilla(E=1.2, A=15.0, B=300.0, alpha=0.35, beta=0.5)


def line(best=2e4, seeds=4, noise=0.0, curvature=0.3):
    random = np.random.default_rng(0)
    rows = [
        {
            "family": "recall",
            "budget": 1.0,
            "inference": 1e7,
            "seed": seed,
            "n_params": int(size),
            "pass_at_k": np.exp(-1 - curvature * np.log(size / best) ** 2 + noise * z),
        }
        for seed in range(seeds)
        for size, z in zip(SIZES, random.standard_normal(len(SIZES)), strict=True)
    ]
    return pd.DataFrame(rows)


def test_best_size_of_a_parabola():
    found = testbed.best_sizes(line())
    np.testing.assert_allclose(found, 2e4, rtol=1e-3)
    middle, low, high = testbed.interval(testbed.best_sizes(line(noise=0.02)))
    assert low < 2e4 < high
    assert low < middle < high


def test_a_seed_without_one_of_the_sizes_is_left_out():
    table = line()
    lacks = table.drop(index=[3])  # near the best
    assert len(testbed.best_sizes(lacks)) == 3
    lacks = table.drop(index=[0])  # far from it
    assert len(testbed.best_sizes(lacks)) == 4


def test_a_best_size_at_the_edge_stays_there():
    found = testbed.best_sizes(line(best=50.0))
    np.testing.assert_allclose(found, SIZES[0], rtol=1e-3)


def test_answers_pay_for_their_samples():
    checkpoints = pd.DataFrame({"n_params": [10, 100], "budget": [6e3, 6e3]})
    found = testbed.Answers(checkpoints, np.log([[2.0, 4.0], [2.0, 2.0]]))
    here = found.line(6e3, 200.0)
    assert here["k"].tolist() == [10.0, 1.0]
    expected = [1 - (0.5**10 + 0.75**10) / 2, 0.5]
    np.testing.assert_allclose(here["pass_at_k"], expected)
    assert found.line(6e3, None)["k"].tolist() == [1.0, 1.0]
    with pytest.raises(DataError, match="no checkpoints at a budget of 7000 FLOPs"):
        found.line(7e3, None)


def test_answers_are_counted_as_well():
    """From counts, the unbiased estimate; a k beyond the samples leaves the size out."""
    checkpoints = pd.DataFrame({"n_params": [10, 100], "budget": [6e3, 6e3]})
    counted = testbed.Answers(checkpoints, np.array([[5.0, 0.0], [2.0, 10.0]]), 10)
    expected = [t2.pass_at_k(10, c, 3).mean() for c in ([5, 0], [2, 10])]
    np.testing.assert_allclose(counted.passed(3.7), expected)
    assert counted.line(6e3, 400.0)["n_params"].tolist() == [100]
    one, two = (testbed.answers("causal", sampled=s).line(1.28e12, 1e7) for s in (False, True))
    assert (one["pass_at_k"] / two["pass_at_k"] - 1).abs().median() < 0.01


def test_samples_and_likelihoods_are_of_the_same_answers():
    """Both are read as arrays, so their rows have to be the same checkpoints and questions."""
    keys = ["model", "n_params", "n_tokens", "question"]
    for family in testbed.FAMILIES:
        likely = t2.load_questions("testbed", family)[keys]
        pd.testing.assert_frame_equal(
            likely, t2.load_questions("testbed", f"{family}_sampled")[keys]
        )


def test_samples_agree_with_likelihoods():
    """Chapter 13 says so of the counts' z-scores and of the duels of claim 5."""
    found = testbed.likelihoods_against_samples()
    assert found["z mean"].abs().max() < 0.02
    won = [
        testbed_claims.share_won(testbed_claims.duels(testbed_claims.all_lines(sampled=s)))["won"]
        for s in (False, True)
    ]
    assert abs(won[0] - won[1]) <= 0.02


def test_the_smaller_size_is_chosen_by_the_other_seeds(monkeypatch):
    usual = int(SIZES[7])
    monkeypatch.setattr(testbed_claims, "usual_size", lambda budget: usual)
    table = line(best=SIZES[4])
    lucky = (table["seed"] == 0) & (table["n_params"] == int(SIZES[2]))
    table.loc[lucky, "pass_at_k"] = 0.45
    found = testbed_claims.duels(table)
    assert found["n_params"].tolist()[0] == int(SIZES[4])  # not by its own luck
    assert found["won"].all()
    gain = 0.3 * np.log(usual / SIZES[4]) ** 2
    np.testing.assert_allclose(found["log_gain"], gain, rtol=1e-2)
    assert testbed_claims.share_won(found)["won"] == 1.0


def test_recall_is_compared_at_equal_difficulty():
    rows = [
        {
            "family": family,
            "seed": seed,
            "difficulty": hard,
            "log_gain": 0.1 * hard - 0.3 * (family == "recall"),
        }
        for seed in (0, 1)
        for family, offset in (("recall", 5), ("causal", 0))
        for hard in np.arange(3) + offset
    ]
    found = testbed_claims.recall_difference(pd.DataFrame(rows))
    np.testing.assert_allclose(found, -0.3)


def test_the_wall_costs_nothing_in_the_first_epoch_and_its_decay_is_found():
    tokens = np.array([5e5, 1e6, 4e6, 1.6e7])
    rows = pd.DataFrame({"n_params": 2e4, "n_tokens": tokens, "unique": 1_000_000})
    cost = repeated_tokens.predicted(rows, LAW, 8.0)
    np.testing.assert_allclose(cost[:2], 0.0, atol=1e-12)
    assert (np.diff(cost[1:]) > 0).all()
    found = repeated_tokens.fitted_decay(rows.assign(extra=cost), LAW)
    assert found == pytest.approx(8.0, rel=1e-3)
    assert (repeated_tokens.predicted(rows, LAW, 8.0, 5.3) >= cost - 1e-12).all()


def test_a_law_chooses_where_it_is_best():
    law = t2.BetaConsistentLaw(LAW, c0=1.0, c1=0.5)
    fits = {"BetaConsistentLaw": type("Fitted", (), {"law": law})}
    found = forecast.choices(fits, LAW)
    budget, inference = forecast.BUDGETS[0], forecast.INFERENCE[1]
    usual = found[budget, inference, "Chinchilla", "N"]
    assert usual == pytest.approx(float(LAW.optimum(budget)[0]))
    plan = t2.allocate(law, train_flops=budget, inference_flops=inference)
    assert found[budget, inference, "BetaConsistentLaw", "N"] == pytest.approx(plan.N, rel=0.02)
    score = found[budget, inference, "BetaConsistentLaw", "score"]
    assert score == pytest.approx(plan.metric, rel=1e-3)


def test_measured_between_two_sizes():
    table = pd.DataFrame({"n_params": [100, 100, 10_000], "pass_at_k": [0.1, 0.3, 0.6]})
    assert forecast.measured(table, 1000) == pytest.approx(0.4)


def test_best_temperature_of_each_seed():
    rows = [
        {"family": "recall", "k": 1.0, "seed": seed, "temperature": t, "pass_at_k": -((t - 1) ** 2)}
        for seed in (0, 1)
        for t in (0.5, 1.0, 1.5)
    ]
    assert temperature.best_temperatures(pd.DataFrame(rows))["temperature"].tolist() == [1.0, 1.0]


def test_time_is_a_power_of_the_count():
    flops = np.geomspace(1e6, 1e9, 6)
    rows = {"seconds": 1e-9 * flops**0.9, "passes": flops, "attention": flops, "formula": flops**2}
    table = pd.concat(pd.DataFrame(rows).assign(cache=cache) for cache in (True, False))
    found = testbed.time_exponents(table)
    np.testing.assert_allclose(found.loc[True, "exponent"], [0.45, 0.9, 0.9])
    assert found.loc[(True, "passes"), "spread"] < found.loc[(True, "formula"), "spread"]
