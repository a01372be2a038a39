"""Tests for questions that are never solved: p-values, profiles, and what was recorded."""

import numpy as np
import pandas as pd
import pytest

from t2lib.fitting.inflated import Mixture
from t2lib.studies import zero_inflation as study


@pytest.fixture(scope="module")
def rows():
    """The checkpoints as recorded."""
    return study.table()


def counts(never, seed=0):
    rng = np.random.default_rng(seed)
    n = np.full(128, 500)
    return n, rng.binomial(n, np.where(rng.random(128) < never, 0, rng.beta(1, 20, 128)))


def test_p_of_a_boundary_is_half_of_the_usual_and_one_at_no_gain():
    assert study.boundary_p([0.0, 2.7055434540954]) == pytest.approx([1.0, 0.05])


def test_holm_s_steps():
    p = pd.Series([0.04, 0.01, 0.03], index=list("abc"))
    assert study.holm(p).to_dict() == pytest.approx({"a": 0.06, "b": 0.03, "c": 0.06})


def test_a_share_is_found_with_its_interval_and_none_where_there_is_none():
    found = study.checkpoint_test(*counts(0.4))
    assert 0.2 < found["low"] < found["never"] < found["high"] < 0.5
    assert study.boundary_p(found["ratio"]) < 1e-4
    none = study.checkpoint_test(*counts(0.0, seed=1))
    assert none["low"] == 0 and none["high"] < 0.2 and study.boundary_p(none["ratio"]) > 0.01


def test_simulated_p_is_near_its_asymptote():
    n = np.full(128, 500)
    p = study.simulated_p(n, Mixture(1.0, 20.0), 1.0, draws=20, seed=0)
    assert p == pytest.approx(float(study.boundary_p(1.0)), abs=0.2)


def test_the_record_is_of_checkpoints_with_answers_and_its_shares_lie_in_their_intervals(rows):
    assert rows["answered"].min() >= study.FEWEST_ANSWERED
    assert (rows["low"] <= rows["never"] + 1e-3).all() and (rows["never"] <= rows["high"]).all()
    assert (rows["high"] <= 1 - rows["answered"] / rows["questions"] + 1e-3).all()
    assert rows.loc[rows["p"] < study.LEVEL, "simulated_p"].notna().all()
    assert rows["always_ratio"].max() == 0


def test_recorded_laws_and_the_shares_with_a_model_left_out():
    laws = study.laws(study.fitted(), "gsm8k")
    assert laws["tied"].support is not None and laws["common"].z1 == 0
    left_out = study.shares(study.fitted(), "gsm8k", 1.2e10, 3e11)
    assert len(left_out) == 10
    assert left_out["none"] == pytest.approx(float(laws["tied"].never_solved(1.2e10, 3e11)))


def test_it_is_computed_again_where_the_counts_are_at_hand(released, rows, monkeypatch):
    from t2lib.data.suites import load_questions

    monkeypatch.setenv("T2LIB_MIRROR", str(released))
    was = rows.query("task == 'gsm8k' and model == 'Pythia-6.9B'").iloc[-1]
    table = load_questions("pythia", "gsm8k")
    one = table[(table["model"] == was["model"]) & (table["n_tokens"] == was["n_tokens"])]
    found = study.checkpoint_test(one["n_samples"].to_numpy(), one["n_correct"].to_numpy())
    for name, number in found.items():
        assert number == pytest.approx(was[name], rel=1e-3, abs=1e-3)
