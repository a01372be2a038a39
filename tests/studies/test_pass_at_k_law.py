"""What chapter 05 computes, on suites made from a known law."""

import numpy as np
import pandas as pd
import pytest

import t2lib as t2
from t2lib.studies import pass_at_k_law as study

CHINCHILLA = t2.Chinchilla(E=1.5, A=30.0, B=60.0, alpha=0.2, beta=0.25)
LAW = t2.BetaRegressionLaw(CHINCHILLA, (2.0, 1.2, 0.8, 0.5, 0.4))
K = np.array([1, 2, 4, 16, 64, 256])


@pytest.fixture(scope="module")
def curves() -> pd.DataFrame:
    """Pass@k of 30 checkpoints, exactly as the law has it."""
    N, D, k = np.meshgrid(
        np.geomspace(1e7, 1e9, 5), np.geomspace(1e9, 1e11, 6), K.astype(float), indexing="ij"
    )
    table = pd.DataFrame({"n_params": N.ravel(), "n_tokens": D.ravel(), "k": k.ravel().astype(int)})
    return table.assign(
        suite="made",
        task="exact",
        model=table["n_params"].map("{:.0f}".format),
        pass_at_k=LAW.pass_at_k(*(table[x] for x in ("n_params", "n_tokens", "k"))),
        mean_nll=CHINCHILLA.loss(table["n_params"], table["n_tokens"]),
    )


@pytest.fixture(scope="module")
def fits(curves: pd.DataFrame) -> dict[str, t2.Fit]:
    return {"exact": t2.fit("BetaRegressionLaw", curves)}


def test_one_row_a_checkpoint(curves):
    rows = study.one_row_a_checkpoint(curves)
    assert len(rows) == 30 and set(K) <= set(rows.columns)


def test_tasks_that_follow_training(curves):
    rising = curves.assign(task="rising", mean_nll=5 - curves["mean_nll"])
    assert study.tasks_that_follow_training(pd.concat([curves, rising])) == ["exact"]


def test_a_true_law_has_no_error_at_either_stage(curves, fits):
    errors = study.errors_by_stage(curves, fits)
    assert len(errors) == 30
    assert errors[["error", "error_given_loss"]].to_numpy().max() < 1e-4


def test_the_error_left_is_a_share(curves, fits):
    """With losses that are off by noise, the loss as seen leaves the smaller part."""
    rng = np.random.default_rng(0)
    N, D = curves["n_params"], curves["n_tokens"]
    noise = pd.Series(rng.normal(0, 0.1, 30), curves.groupby(["n_params", "n_tokens"]).size().index)
    loss = CHINCHILLA.loss(N, D) + noise.loc[list(zip(N, D, strict=True))].to_numpy()
    a, b = LAW.shape_at_loss(loss)
    noisy = curves.assign(mean_nll=loss, pass_at_k=t2.beta_pass_at_k(a, b, curves["k"]))
    found = study.errors_by_stage(noisy, {"exact": t2.fit("BetaRegressionLaw", noisy)})
    assert study.share_left(found, ["exact"]) < 0.5


def test_both_concentrations_are_the_betas_own(curves, fits):
    found = study.concentrations(curves, fits, k=256)
    np.testing.assert_allclose(found["from_2"], found["fitted"], rtol=1e-3)
    np.testing.assert_allclose(found["from_k"], found["fitted"], rtol=1e-3)


def test_naive_excess_is_above_one(curves, fits):
    assert (study.naive_excess(curves, fits, k=64)["ratio"] > 1).all()
    assert study.naive_excess(curves, fits, k=1)["ratio"].to_numpy() == pytest.approx(1, rel=1e-4)


def test_a_held_ceiling_costs_least_at_the_truth(curves, fits):
    rows = study.one_row_a_checkpoint(curves)
    profile = study.ceiling_profile(rows, fits["exact"].law, [1.0, 0.8, 0.5])
    assert profile["rms_percent"].idxmin() == 0.8
    assert (profile["theta2"] == profile.index).all()
    again = study.CeilingRefit(fits["exact"].law)(rows)
    assert again["pass@1"] == pytest.approx(float(LAW.pass_at_k(1e9, 1e11, 1)), rel=1e-3)


def test_refits_side_by_side_are_those_one_by_one(curves, fits):
    rows = study.one_row_a_checkpoint(curves)
    rows["mean_nll"] *= np.exp(0.01 * np.random.default_rng(0).standard_normal(len(rows)))
    refit = study.CeilingRefit(fits["exact"].law)
    together = t2.bootstrap(refit, rows, n=5, seed=0, by="row")
    alone = t2.bootstrap(lambda table: refit(table), rows, n=5, seed=0, by="row")
    pd.testing.assert_frame_equal(together, alone, rtol=1e-6)


def test_decades_off(curves):
    some = curves.assign(pass_at_k=np.where(curves["k"] == 1, 0.0, curves["pass_at_k"] / 10))
    found = study.decades_off(some, {"exact": LAW}, k=[1, 4])
    assert found.loc[found["k"] == 1, "decades"].isna().all()
    np.testing.assert_allclose(found.loc[found["k"] == 4, "decades"], 1)


@pytest.mark.parametrize("task", ["gsm8k", "math"])
def test_recorded_counts(task, monkeypatch, tmp_path):
    """As a machine without released files sees them."""
    monkeypatch.delenv("T2LIB_MIRROR", raising=False)
    monkeypatch.setenv("T2LIB_CACHE", str(tmp_path))
    found = study.pythia_counts(task)
    assert found.source == "recorded"
    law = t2.law_of("BetaRegressionLaw", found.values["fits"]["own loss"]["params"])
    assert 0 < float(law.pass_at_k(1e9, 1e11, 10)) < 1
