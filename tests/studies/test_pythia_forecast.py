"""Forecast errors, their split and the duels, on runs that are known."""

import numpy as np
import pandas as pd
import pytest

import t2lib as t2
from t2lib.studies import duels, frontiers
from t2lib.studies import pythia_forecast as study

CHINCHILLA = t2.Chinchilla(E=0.5, A=1e4, B=400.0, alpha=0.5, beta=0.2)
LAW = t2.BetaConsistentLaw(CHINCHILLA, 1.0, 0.3)
PARAMS = {
    **{x: getattr(CHINCHILLA, x) for x in ("E", "A", "B", "alpha", "beta")},
    "c0": LAW.c0,
    "c1": LAW.c1,
}
VALUES = {
    "low": {"consistent": PARAMS},
    "low, without embeddings": PARAMS,
    "low, without one model": {"Pythia-70M": PARAMS, "Pythia-1B": PARAMS},
}
K = 2 ** np.arange(8)


@pytest.fixture(scope="module")
def curves() -> pd.DataFrame:
    """Two models that follow the law, but the small one's last checkpoint lost nine tenths."""
    rows = [
        {"task": "gsm8k", "model": model, "n_params": N, "n_tokens": D, "k": k}
        | {"pass_at_k": float(LAW.pass_at_k(N, D, k)) * (0.1 if D / N > 1000 else 1)}
        for model, N in (("Pythia-70M", 7e7), ("Pythia-1B", 1e9))
        for D in (2e9, 2e10, 4e11)
        for k in K
    ]
    return pd.DataFrame(rows)


def test_errors_are_decades_and_only_of_the_decline(curves):
    errors = study.forecasts(curves, {"gsm8k": VALUES})
    assert len(errors) == 6
    off = errors.set_index(["model", "n_tokens"])["error"]
    assert off["Pythia-70M", 4e11] == pytest.approx(1)
    assert off.drop(("Pythia-70M", 4e11)).abs().max() < 1e-9
    overtrained = study.above(errors)
    assert ((overtrained["n_tokens"] / overtrained["n_params"]) > 100).all()


def test_checkpoints_without_a_right_answer_have_no_error(curves):
    none = curves.assign(pass_at_k=0.0)
    assert study.decades(LAW, none).empty


def test_the_split_adds_up(curves):
    (row,) = (
        study.split_at_best(curves, {"gsm8k": VALUES})
        .loc["gsm8k"]
        .loc[["Pythia-70M"]]
        .to_dict("records")
    )
    since = row["promised_since"] - row["seen_since"]
    assert row["last"] == pytest.approx(row["at_best"] + since)
    assert row["last"] == pytest.approx(1) and row["at_best"] == pytest.approx(0, abs=1e-9)
    assert row["best_ratio"] == pytest.approx(2e10 / 7e7)


def test_leaving_models_out_has_a_column_for_each(curves):
    found = study.one_model_left_out(curves, {"gsm8k": VALUES})
    assert list(found.columns) == ["Pythia-1B", "Pythia-70M"]
    assert (found["Pythia-1B"] == found["Pythia-70M"]).all()  # both records are the same law


def test_embeddings_are_most_of_the_smallest():
    table = pd.DataFrame({"model": ["Pythia-14M"], "n_params": [14_067_712]})
    assert study.without_embeddings(table).iloc[0] == 14_067_712 - 2 * 50304 * 128


def test_duels_meet_between_checkpoints_and_at_close_ones(curves):
    checkpoints = duels.at_budgets(curves, [0, 2e10])
    found = study.duels(curves, checkpoints)
    assert set(found["big"]) == {"Pythia-1B"} and set(found["small"]) == {"Pythia-70M"}
    assert not found["real"].any()
    assert len(found) == 2  # one sample, and one budget


def test_a_run_met_at_its_own_checkpoint_is_real():
    run = pd.DataFrame({"n_params": 1e8, "pass_at_k": [0.1, 0.2, 0.0]}, index=[1e9, 1e10, 1e11])
    big = {"n_params": 1e9, "n_tokens": 1e9}
    (between, real) = study._meetings(run, big)
    assert between == (pytest.approx(0.2), False) and real == (0.2, True)
    half = {"n_params": 1e9, "n_tokens": 10**8.5}
    assert study._meetings(run, half) == [(pytest.approx(np.sqrt(0.02)), False)]
    assert study._meetings(run, {"n_params": 1e9, "n_tokens": 3e9})[0] == (0, False)


def test_a_live_law_sees_ordinary_ratios_only(curves):
    fit = study.live_law(curves)
    low = curves[curves["n_tokens"] <= 100 * curves["n_params"]]
    again = t2.fit("InteractionLaw", low)
    assert fit.params == again.params


@pytest.mark.parametrize("task", study.TASKS)
def test_recorded_laws_plan(task, monkeypatch, tmp_path):
    """As a machine without released files sees them."""
    monkeypatch.delenv("T2LIB_MIRROR", raising=False)
    monkeypatch.setenv("T2LIB_CACHE", str(tmp_path))
    found = study.fits(task)
    assert found.source == "recorded"
    plans = frontiers.plans(study.planning_laws(found.values), 1e21)
    assert (plans["over_chinchilla"] > 1).all()
