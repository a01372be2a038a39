"""What the laws advise, on laws and curves that are known."""

import numpy as np
import pandas as pd
import pytest

import t2lib as t2
from t2lib.studies import frontiers as study

CHINCHILLA = t2.Chinchilla(E=1.5, A=30.0, B=60.0, alpha=0.2, beta=0.25)
CONSISTENT = t2.BetaConsistentLaw(CHINCHILLA, 1.0, 0.5)
ADDITIVE = t2.AdditiveLaw(E=0.1, A=30.0, B=60.0, alpha=0.2, beta=0.25, G=1.0, gamma=0.3)
TRAIN = np.geomspace(1e19, 1e22, 4)


@pytest.fixture(scope="module")
def curves() -> pd.DataFrame:
    """Curves of 20 checkpoints, exactly as the Beta-consistent law has them."""
    N, D, k = (
        x.ravel()
        for x in np.meshgrid(
            np.geomspace(5e7, 2e9, 5), np.geomspace(1e10, 3e11, 4), [1.0, 16.0, 256.0]
        )
    )
    return pd.DataFrame(
        {
            "suite": "made",
            "task": "exact",
            "model": [f"{x:.0f}" for x in N],
            "n_params": N,
            "n_tokens": D,
            "k": k.astype(int),
            "pass_at_k": CONSISTENT.pass_at_k(N, D, k),
            "neg_log_pass": CONSISTENT.neg_log_pass(N, D, k),
            "mean_nll": CHINCHILLA.loss(N, D),
        }
    )


@pytest.fixture(scope="module")
def plans() -> pd.DataFrame:
    laws = {"Chinchilla": CHINCHILLA, "BetaConsistentLaw": CONSISTENT, "AdditiveLaw": ADDITIVE}
    return study.plans(laws, TRAIN, budgets=(2e9, 2e10))


def test_plans_spend_both_budgets(plans):
    assert len(plans) == 2 * 2 * len(TRAIN)
    np.testing.assert_allclose(6 * plans["N"] * plans["D"], plans["train_flops"])
    np.testing.assert_allclose(2 * plans["N"] * plans["k"], plans["inference_flops"])
    advised = study.advised(CHINCHILLA, plans["train_flops"])["tokens_per_parameter"]
    ratio = plans["tokens_per_parameter"] / plans["over_chinchilla"]
    np.testing.assert_allclose(ratio, advised)
    assert plans["success"].between(0, 1).all()


def test_success_of_either_metric():
    loss = ADDITIVE.neg_log_pass(1e9, 1e11, 4)
    assert study.success(ADDITIVE, 1e9, 1e11, 4) == pytest.approx(np.exp(-loss))
    assert study.success(CONSISTENT, 1e9, 1e11, 4) == CONSISTENT.pass_at_k(1e9, 1e11, 4)


def test_rule_of_thumb_spends_the_budget():
    plan = study.rule_of_thumb(TRAIN)
    np.testing.assert_allclose(6 * plan["N"] * plan["D"], TRAIN)
    np.testing.assert_allclose(plan["tokens_per_parameter"], 20)


def test_outside_names_what_leaves_the_data(curves):
    plans = pd.DataFrame({"N": [5e7, 1e7], "D": [1e12, 1e11], "k": [300.0, 4.0]})
    found = study.outside(plans, curves)
    assert found.loc[0].tolist() == [False, True, True]
    assert found.loc[1].tolist() == [True, False, False]


def test_size_factor_does_not_care_which_law_is_larger(plans):
    pair = ("AdditiveLaw", "BetaConsistentLaw")
    factor = study.size_factors(plans, pair)
    assert (factor >= 1).all()
    np.testing.assert_allclose(factor, study.size_factors(plans, pair[::-1]))


def test_advice_and_size_factor_agree_with_the_plans():
    laws = {"Chinchilla": CHINCHILLA, "AdditiveLaw": ADDITIVE, "BetaRegressionLaw": CONSISTENT}
    advice = study.advice(laws, 1e21, budgets=(2e10,))
    N = study.plans(laws, 1e21, budgets=(2e10,)).set_index("law")["N"]
    factor = N["AdditiveLaw"] / N["BetaRegressionLaw"]
    assert study.size_factor_of(advice, 2e10) == pytest.approx(max(factor, 1 / factor))
    assert advice["Chinchilla", 0.0] == pytest.approx(
        np.log10(float(CHINCHILLA.tokens_per_parameter(1e21)))
    )


def test_fits_share_their_law_of_the_loss_and_resamples_keep_their_columns(curves):
    fits = study.fit_laws(curves)
    assert fits["BetaConsistentLaw"].law.chinchilla == fits["Chinchilla"].law
    draws = study.resampled_advice(curves, 1e21, start=fits, n=2, seed=0)
    advice = study.advice({name: fit.law for name, fit in fits.items()}, 1e21)
    assert set(draws.columns) == set(advice.index) and len(draws) == 2
    assert study.above_chinchilla(draws).between(0, 1).all()


def test_walks_know_the_theorem(plans):
    table = plans[plans["law"] == "BetaConsistentLaw"].assign(task="exact")
    laws = {"exact": {"Chinchilla": CHINCHILLA, "BetaConsistentLaw": CONSISTENT}}
    found = study.walks(table, laws)
    assert found["rises"].all()
    assert set(found["baseline"]) == {"Chinchilla of the task", "20 tokens"}
    paid = study.along(CONSISTENT, study.rule_of_thumb(TRAIN), 2e9)
    assert (paid["k"] >= 1).all() and len(paid) < len(TRAIN)


def test_macro_average_weighs_tasks_alike(curves):
    twice = pd.concat([curves, curves.assign(task="other", pass_at_k=0.0)])
    mean = study.macro_average(twice, ["exact", "other"])
    assert len(mean) == len(curves) and (mean["task"] == "macro-average").all()
    assert mean["pass_at_k"].sum() == pytest.approx(curves["pass_at_k"].sum() / 2)


def test_all_plans_at_the_smallest_size_of_a_narrow_range(curves):
    laws = {"exact": {name: CONSISTENT for name in study.LAWS}}
    assert study.at_smallest_size(laws, [1e21], (9e8, 1e9)) == 1


def test_recorded_law_of_the_validation_loss(monkeypatch, tmp_path):
    """As a machine without released files sees it."""
    monkeypatch.delenv("T2LIB_MIRROR", raising=False)
    monkeypatch.setenv("T2LIB_CACHE", str(tmp_path))
    law = t2.Chinchilla(**study.validation_law().values)
    assert 2 < float(law.loss(1e9, 1e11)) < 4
