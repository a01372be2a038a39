"""Compute exponents at each k, of made and of Pythia's curves."""

import numpy as np
import pandas as pd
import pytest

import t2lib as t2
from t2lib.studies import published_exponents as study


def test_exponent_and_floor_of_a_known_law():
    C = np.geomspace(1e18, 1e22, 12)
    rows = pd.concat(
        pd.DataFrame({"n_params": 1e8, "n_tokens": C / 6e8, "k": k, "floor": floor, "slope": slope})
        for k, floor, slope in ((1, 0.5, 0.1), (16, 0.1, 0.2))
    )
    scale = np.tile((C / 1e20), 2)
    rows["pass_at_k"] = np.exp(-(rows["floor"] + 2 * scale ** -rows["slope"]))
    found = study.compute_law(rows)
    np.testing.assert_allclose(found["exponent"], [0.1, 0.2], rtol=1e-3)
    np.testing.assert_allclose(found["floor"], [0.5, 0.1], rtol=1e-2)
    assert study.exponents(rows)["exponent 16"] == pytest.approx(0.2, rel=1e-3)


def test_a_beta_law_implies_exponents_that_grow_with_k():
    law = t2.BetaConsistentLaw(t2.Chinchilla(1.0, 40.0, 80.0, 0.22, 0.25), c0=0.3, c1=0.5)
    N, D = np.meshgrid(np.geomspace(1e8, 1e10, 5), np.geomspace(1e9, 1e12, 5))
    rows = pd.DataFrame({"n_params": N.ravel(), "n_tokens": D.ravel(), "k": 1}).assign(model="m")
    exponents = study.implied(law, rows, [1, 16, 256, 4096])["exponent"]
    assert (np.diff(exponents) > 0).all()


def test_choices_of_checkpoints_are_what_they_say():
    choices = study.choices_of_checkpoints()
    assert set(choices["all checkpoints"]["k"]) == {1, 4, 16, 32, 64, 128}
    assert choices["at least 6 B tokens"]["n_tokens"].min() > 6e9
    assert choices["k up to 10,000"]["k"].max() == 10_000


def test_record_from_counts_makes_a_law(monkeypatch, tmp_path):
    """As a machine without released files sees it."""
    monkeypatch.delenv("T2LIB_MIRROR", raising=False)
    monkeypatch.setenv("T2LIB_CACHE", str(tmp_path))
    values = study.from_counts().values
    law = t2.law_of("BetaConsistentLaw", values["params"])
    assert 0 < float(law.pass_at_k(1e9, 1e11, 10)) < 1
    assert len(values["betas"]["a"]) == len(values["betas"]["told"])
