"""Simulated suites: clean where there is no noise, and noise that can be found again."""

import numpy as np
import pandas as pd
import pytest

import t2lib as t2
from t2lib.studies.simulation import Noise, simulate, t2_grid

CHINCHILLA = t2.Chinchilla(E=0.8, A=300.0, B=2000.0, alpha=0.32, beta=0.36)
ADDITIVE = t2.AdditiveLaw(E=0.5, A=400.0, B=2000.0, alpha=0.35, beta=0.37, G=1.5, gamma=0.35)
CONSISTENT = t2.BetaConsistentLaw(CHINCHILLA, c0=0.8, c1=0.6)
INTERACTION = t2.InteractionLaw(log_A=8.0, alpha=-0.16, beta=0.5, delta=-0.018)


def suite(models=30, checkpoints=12, k=(1.0, 16.0, 256.0)):
    N, D, ks = np.meshgrid(
        np.geomspace(5e7, 5e9, models), np.geomspace(1e10, 3e11, checkpoints), k, indexing="ij"
    )
    model = np.broadcast_to(np.arange(models)[:, None, None], N.shape)
    columns = {"N": N, "D": D, "k": ks, "model": model}
    return pd.DataFrame({name: values.ravel() for name, values in columns.items()})


def rng():
    return np.random.default_rng(0)


def test_without_noise_a_suite_is_its_law():
    table, quiet = suite(), Noise()
    sizes = [table[name] for name in ("N", "D", "k")]
    for law, column, clean in (
        (CHINCHILLA, "loss", CHINCHILLA.loss(*sizes[:2])),
        (ADDITIVE, "neg_log_pass", ADDITIVE.neg_log_pass(*sizes)),
        (CONSISTENT, "pass_at_k", CONSISTENT.pass_at_k(*sizes)),
        (INTERACTION, "pass_at_k", INTERACTION.pass_at_k(*sizes)),
    ):
        np.testing.assert_allclose(simulate(law, table, rng(), quiet)[column], clean, rtol=1e-10)


def test_noise_is_found_again():
    """Each of the three levels, from the residuals of one large suite."""
    truth = Noise(model=0.03, checkpoint=0.02, row=0.01)
    table = simulate(ADDITIVE, suite(models=400), rng(), truth)
    clean = ADDITIVE.neg_log_pass(table["N"], table["D"], table["k"])
    residuals = np.log(table["neg_log_pass"] / clean)
    found = Noise.of(residuals, table["model"], table["D"])
    assert found.model == pytest.approx(truth.model, rel=0.08)
    assert found.checkpoint == pytest.approx(truth.checkpoint, rel=0.05)
    assert found.row == pytest.approx(truth.row, rel=0.05)


def test_checkpoints_are_the_rows_where_none_are_named():
    table = simulate(CHINCHILLA, suite(400, k=(1.0,)), rng(), Noise(0.02, 0.01))
    residuals = np.log(table["loss"] / CHINCHILLA.loss(table["N"], table["D"]))
    found = Noise.of(residuals, table["model"])
    assert found.model == pytest.approx(0.02, rel=0.08)
    assert found.checkpoint == pytest.approx(0.01, rel=0.05)
    assert found.row == 0


def test_all_k_of_a_beta_s_checkpoint_share_its_loss():
    table = simulate(CONSISTENT, suite(), rng(), Noise(model=0.03, checkpoint=0.02))
    assert table.drop_duplicates(["model", "D", "loss"]).shape[0] == 30 * 12
    assert table["loss"].nunique() == 30 * 12


def test_grid_has_t2_s_budgets():
    grid = t2_grid()
    assert len(grid) == grid["model"].nunique() == 108
    assert np.unique((6 * grid["N"] * grid["D"]).round(-12)).size == 12


def test_bad_input():
    with pytest.raises(ValueError, match="what is shared within a model is not told"):
        Noise.of(np.ones(4), np.arange(4))
