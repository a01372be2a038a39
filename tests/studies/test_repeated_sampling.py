"""Two averages, the naive law and samples for one half, on small tables with known answers."""

import numpy as np
import pandas as pd
import pytest

import t2lib as t2
from t2lib.studies import repeated_sampling as study

P = np.array([0.5, 0.01])  # two questions
K = np.array([1, 2, 64, 4096])


def curve(p=P, model="a", suite="gemstones", task="t"):
    """Return the curve of a checkpoint whose questions have these p."""
    nll = -np.log(p)
    return pd.DataFrame(
        {
            "suite": suite,
            "model": model,
            "task": task,
            "n_params": 1e8,
            "n_tokens": 1e10,
            "k": K,
            "pass_at_k": t2.pass_at_k_from_nll(nll, K),
            "neg_log_pass": t2.neg_log_pass_from_nll(nll, K),
        }
    )


def test_last_checkpoints_are_those_with_most_tokens_of_each_model():
    table = pd.DataFrame({"model": list("aab"), "n_tokens": [1.0, 2.0, 1.0], "row": [0, 1, 2]})
    assert study.last_checkpoints(table)["row"].tolist() == [1, 2]


def test_medians_lie_in_their_intervals_and_keep_the_tasks():
    rng = np.random.default_rng(0)
    rows = [("s", f"m{i}", task, rng.normal()) for i in range(12) for task in "tu"]
    table = pd.DataFrame(rows, columns=["suite", "model", "task", "x"])
    found = study.medians(table, "x", n=50, seed=0)
    assert found.index.tolist() == ["t", "u"]
    assert ((found["low"] <= found["value"]) & (found["value"] <= found["high"])).all()
    again = study.medians(table, "x", n=50, seed=0)
    pd.testing.assert_frame_equal(found, again)


def test_jensens_gap_is_never_negative_and_zero_where_questions_are_alike():
    assert (study.jensen_gap(curve())["gap"] > 0).all()
    assert study.jensen_gap(curve(np.array([0.1, 0.1])))["gap"].abs().max() < 1e-12
    gap = study.jensen_gap(t2.load_curves("gemstones"))["gap"]
    assert (gap >= -1e-12).all()


def test_naive_law_by_hand():
    found = study.naive_ratios(curve()).set_index("k")
    assert 1 not in found.index
    assert found["mu"].unique() == pytest.approx([P.mean()])
    assert found.loc[2, "naive"] == pytest.approx(1 - (1 - P.mean()) ** 2)
    assert (found["ratio"] >= 1).all()


def test_naive_law_leaves_out_what_was_never_answered():
    dead = curve().assign(pass_at_k=0.0, model="b")
    assert study.naive_ratios(pd.concat([curve(), dead]))["model"].unique().tolist() == ["a"]


def test_naive_law_on_the_embedded_curves():
    """100 % of the Gemstones points, a theorem; 82 % of Pythia's, a finding."""
    both = pd.concat([t2.load_curves("gemstones"), t2.load_curves("pythia")])
    ratios = study.naive_ratios(both)
    above = (ratios["ratio"] >= 1 - 1e-9).groupby(ratios["suite"]).mean()
    assert above["gemstones"] == 1
    assert above["pythia"] == pytest.approx(0.824, abs=0.001)
    assert len(ratios) == 98_560 + 2_003


def test_worst_k_is_that_of_the_largest_median_and_within_reach_on_pythia():
    table = pd.DataFrame(
        {
            "suite": ["gemstones"] * 3 + ["pythia"] * 3,
            "task": ["t"] * 3 + ["u"] * 3,
            "k": [2, 64, 4096, 2, 128, 4096],
            "ratio": [1.0, 1.5, 1.2, 1.0, 1.1, 9.0],
        }
    )
    assert study.at_worst_k(table).set_index("task")["k"].to_dict() == {"t": 64, "u": 128}


def test_samples_for_half_are_as_many_where_questions_are_alike():
    k = np.unique(np.geomspace(1, 4096, 400).round())
    alike = pd.DataFrame(
        {"suite": "s", "task": "t", "model": "a", "k": k, "pass_at_k": 1 - 0.99**k}
    )
    (row,) = study.samples_for_half(alike).itertuples()
    assert row.naive == pytest.approx(68.97, abs=0.01)
    assert row.ratio == pytest.approx(1, abs=0.02)
    never = alike.assign(pass_at_k=0.1)
    assert study.samples_for_half(never).empty
