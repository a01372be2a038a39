"""Forecasts from few samples, judged: cases, methods, the record and its computation."""

import numpy as np
import pandas as pd
import pytest

import t2lib as t2
from t2lib.studies import few_samples as study


@pytest.fixture(scope="module")
def values():
    """What was recorded."""
    return study.judged()


def questions(p, n):
    rng = np.random.default_rng(0)
    rows = {"model": "m", "n_params": 1e8, "n_tokens": 1e9, "n_samples": n}
    return pd.DataFrame({**rows, "n_correct": rng.binomial(n, p, 128)})


def test_cases_have_enough_samples_and_enough_answers():
    few, hard, good = questions(0.01, 999), questions(1e-6, 5000), questions(0.01, 1000)
    assert [len(study.cases(one)) for one in (few, hard, good)] == [0, 0, 1]


def test_a_power_law_goes_through_two_points_and_on():
    right = np.array([0.0] * 60 + [1.0] * 20 + [2.0] * 20)
    for k in (1, 2):
        assert study.power_law(right, 2, k) == pytest.approx(t2.pass_at_k(2, right, k).mean())
    assert study.power_law(right, 2, 2) < study.power_law(right, 2, 100) < 1


def test_every_method_forecasts_or_says_that_it_cannot():
    right = np.array([0.0] * 60 + [1.0] * 20 + [3.0] * 20)
    found = study.forecasts(right, 100, 1000)
    assert set(study.METHODS) <= set(found)
    assert found["kept"] == pytest.approx(0.4)
    assert found["plug-in"] == pytest.approx(0.4, abs=1e-4)
    assert found["kept"] < found["power law"] < found["Beta"] < 1
    assert found[f"low {study.OURS}"] <= found[study.OURS] <= found[f"high {study.OURS}"]
    assert study.forecasts(np.zeros(5), 100, 1000) == dict.fromkeys(study.METHODS)


def test_a_missing_forecast_counts_as_the_worst_of_its_case():
    rows = {"task": "t", "model": "m", "n_tokens": 1.0}
    table = pd.DataFrame([{**rows, "method": m, "error": 0.1} for m in study.METHODS])
    table.loc[0, "error"], table.loc[1, "error"] = np.nan, -0.7
    sizes = study.sizes(table).iloc[0]
    assert sizes.iloc[0] == sizes.iloc[1] == 0.7 and sizes.iloc[2] == 0.1


def test_ways_to_share_spend_the_same():
    right, n = np.full(64, 100.0), np.full(64, 10_000.0)
    found = study.by_plan(right, n, 1000, np.random.default_rng(0))
    assert set(found) == set(study.PLANS) and all(one["short"] == 0 for one in found.values())


def test_the_record_has_every_case_and_draw(values):
    rows = pd.DataFrame(values["rows"])
    assert (rows.groupby(["task", "model", "n_tokens"]).size() == study.DRAWS).all()
    assert rows["k"].between(1000, study.LARGEST_K).all()
    case, right = study.example(values, "gsm8k", "Pythia-1B")
    assert len(right) == 128 and (right > 0).sum() == case["answered"]
    expected = study.forecasts(right, study.SAMPLES, case["k"])
    for name in study.METHODS:
        assert case[name] == pytest.approx(expected[name], rel=1e-2)


def test_a_case_is_drawn_again_where_the_counts_are_at_hand(released, values, monkeypatch):
    from t2lib.data.suites import load_questions

    monkeypatch.setenv("T2LIB_MIRROR", str(released))
    first = study.cases(load_questions("pythia", "gsm8k"))[0]
    n, right = (first[name].to_numpy(float) for name in ("n_samples", "n_correct"))
    few = study._draw(
        right, n, np.full(n.shape, study.SAMPLES), np.random.default_rng([0, 0, 0, 0])
    )
    was = values["rows"][0]
    assert int((few > 0).sum()) == was["answered"]
    assert t2.pass_at_k(n, right, was["k"]).mean() == pytest.approx(was["truth"], rel=1e-5)
