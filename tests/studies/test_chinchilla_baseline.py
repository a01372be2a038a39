"""The studies of the Chinchilla law, on runs that follow a known one."""

import json

import numpy as np
import pandas as pd
import pytest

import t2lib as t2
from t2lib.studies import chinchilla_baseline as baseline

LAW = t2.Chinchilla(E=1.8, A=480.0, B=2100.0, alpha=0.35, beta=0.37)
PARAMS = {name: getattr(LAW, name) for name in baseline.PARAMETERS}


def equal_compute(noise: float = 0.0) -> pd.DataFrame:
    """Seven sizes around the law's best one, at each of six budgets."""
    budgets = np.geomspace(1e18, 1e21, 6)
    N = (LAW.optimum(budgets)[0][:, None] * np.geomspace(0.3, 3, 7)).ravel()
    C = np.repeat(budgets, 7)
    D = C / (6 * N)
    loss = LAW.loss(N, D) * np.exp(np.random.default_rng(0).normal(0, noise, len(N)))
    columns = {"train_flops": C, "n_params": N, "n_tokens": D, "loss": loss}
    return pd.DataFrame(columns)


@pytest.fixture(scope="module")
def grid():
    points = equal_compute(1e-4)
    return baseline.three_approaches(points, points, by="row", n_bootstrap=40, seed=0)


def test_every_approach_finds_the_laws_exponent(grid):
    exponents = baseline.size_exponents(grid, n_bootstrap=40, seed=0)
    assert list(exponents.columns) == ["value", "low", "high"]
    # The envelope can only name sizes that were trained.
    np.testing.assert_allclose(exponents["value"], LAW.compute_exponent, atol=0.03)
    assert (exponents["low"] <= exponents["value"]).all()
    assert (exponents["value"] <= exponents["high"]).all()


def test_what_is_recorded_is_plain_and_seen_from_the_minimum(grid):
    again = json.loads(json.dumps(grid, allow_nan=False))
    dots = pd.DataFrame(again["dots"])
    assert len(dots) == again["n_runs"] == 42 and again["n_budgets"] == 6
    assert dots["size_ratio"].between(0.29, 3.5).all()
    assert dots["excess"].between(-0.01, 0.3).all()


def test_tokens_per_parameter_are_those_of_the_law():
    budgets = [1e20, 1e22]
    table = baseline.tokens_per_parameter(PARAMS, None, budgets)
    np.testing.assert_allclose(table["value"], LAW.tokens_per_parameter(budgets))
    assert table[["low", "high"]].isna().all(axis=None)


def test_a_draw_without_an_optimum_is_left_out_of_the_interval():
    draws = {name: [value] * 3 for name, value in PARAMS.items()} | {"A": [480.0, 500.0, 0.0]}
    table = baseline.tokens_per_parameter(PARAMS, draws, 1e21)
    laws = [t2.Chinchilla(**PARAMS | {"A": A}) for A in (480.0, 500.0)]
    both = [float(law.tokens_per_parameter(1e21)) for law in laws]
    assert table.loc[0, ["low", "high"]].tolist() == pytest.approx(sorted(both))


@pytest.fixture(scope="module")
def refits():
    points = equal_compute(2e-3)
    points.loc[[0, 10], "loss"] *= 1.5  # the two largest losses, which belong to no law
    return baseline.refits(points, n_bootstrap=20, seed=0, n_dropped=2)


def test_refits_agree_where_the_noise_is_small(refits):
    json.dumps(refits, allow_nan=False)
    assert refits["n_points"] == 40
    for fitted in (refits["huber_log"]["params"], refits["sse"]["params"], refits["free_scale"]):
        assert fitted["alpha"] == pytest.approx(0.35, abs=0.05)
        assert fitted["beta"] == pytest.approx(0.37, abs=0.05)
    assert refits["free_scale"]["scale"] < 2e-3


def test_the_region_lies_around_the_estimate_and_correlations_are_symmetric(refits):
    border = pd.DataFrame(refits["region"]["0.95"])
    inner = pd.DataFrame(refits["region"]["0.68"])
    best = refits["sse"]["params"]
    for name in ("alpha", "beta"):
        assert border[name].min() < inner[name].min() < best[name]
        assert best[name] < inner[name].max() < border[name].max()
    matrix = pd.DataFrame(refits["curvature"]["correlations"])
    np.testing.assert_allclose(matrix, matrix.T)
    assert matrix.loc["A", "alpha"] > 0.9


def test_residuals_are_ordered_by_what_they_are_drawn_against(refits):
    for table in refits["residuals"].values():
        assert table["x"] == sorted(table["x"])
        assert len(table["residual"]) == 40


def test_free_scale_fits_absolute_residuals():
    """Half the points far off leave the others' law where it is, as least absolute residuals do."""
    points = equal_compute()
    points.loc[::5, "loss"] *= 1.2
    found = baseline.fit_free_scale(points, PARAMS | {"E": 1.9})
    assert found["E"] == pytest.approx(1.8, rel=1e-3)
    assert found["beta"] == pytest.approx(0.37, rel=1e-2)


def test_the_record_is_what_the_released_points_give(released, monkeypatch):
    monkeypatch.setenv("T2LIB_MIRROR", str(released))
    new = baseline.figure_four(20, 0)
    assert new.source == "recomputed"
    assert new.values["huber_log"]["objective"] <= 0.00101827404
    assert new.values["n_points"] == 240


def test_no_program_finds_less_than_the_library():
    table = baseline.other_programs().set_index(["program", "objective"])
    assert (table["excess"] >= 0).all()
    assert table["excess"].xs("t2lib").max() < 1e-9
    assert (table["share"].xs("t2lib") == 1).all()
