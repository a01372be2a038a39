"""What a fit costs that does not depend on the load of a machine: evaluations and memory.

How long fits take is for `make bench`; no test fails for time.
"""

import tracemalloc

import numpy as np
import pandas as pd
import pytest

import t2lib as t2
from t2lib.fitting import huber

CHINCHILLA = t2.Chinchilla(E=1.7, A=400.0, B=2000.0, alpha=0.35, beta=0.37)
# A law's name to the most evaluations of its fit, and the most columns of floats that it holds.
CURVES = {
    "AdditiveLaw": (50, 45),
    "BetaConsistentLaw": (20, 40),
    "BetaRegressionLaw": (40, 70),
}


@pytest.fixture(scope="module")
def curves() -> pd.DataFrame:
    """One task of Gemstones, 6,930 rows."""
    return t2.load_curves("gemstones").query("task == 'hellaswag_zeroshot' and k <= 256")


def runs(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """240 runs about a law, a few of them far off."""
    rng = np.random.default_rng(seed)
    N, D = np.exp(rng.uniform(np.log([1e7, 1e9]), np.log([1e10, 1e12]), (240, 2))).T
    return N, D, CHINCHILLA.loss(N, D) * np.exp(0.005 * rng.standard_t(2, 240))


def columns_held(fit, rows: int) -> float:
    """Most memory that a call holds beyond what there was, in columns of this many floats."""
    fit()  # what is made once stays
    tracemalloc.start()
    fit()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / (8 * rows)


@pytest.mark.parametrize("seed", range(5))
def test_squares_take_few_evaluations(seed):
    assert t2.fit_chinchilla(*runs(seed)).evaluations <= 12


@pytest.mark.parametrize("seed", range(5))
def test_huber_takes_few_evaluations(seed, monkeypatch):
    """Each counts both of the searches that go side by side."""
    calls = []
    terms = huber._LogResiduals._terms
    monkeypatch.setattr(
        huber._LogResiduals, "_terms", lambda self, v: calls.append(len(v)) or terms(self, v)
    )
    t2.fit_chinchilla(*runs(seed), objective="huber_log")
    assert len(calls) <= 20


@pytest.mark.parametrize("law", CURVES)
def test_fits_of_curves(law, curves):
    evaluations, columns = CURVES[law]
    assert t2.fit(law, curves).evaluations <= evaluations
    assert columns_held(lambda: t2.fit(law, curves), len(curves)) <= columns


def test_fits_of_counts_by_how_often_they_occur():
    """The same questions eight times over take no more evaluations and hardly more memory."""
    rng = np.random.default_rng(0)
    law = t2.BetaConsistentLaw(CHINCHILLA, 1.0, 0.3)
    N, D = (x.ravel() for x in np.meshgrid(np.geomspace(1e8, 1e10, 5), np.geomspace(1e9, 1e12, 5)))
    rows = pd.DataFrame({"n_params": N, "n_tokens": D, "n_samples": 16})
    rows = rows.loc[rows.index.repeat(200)].reset_index(drop=True)
    a, b = law.shape(rows["n_params"].to_numpy(), rows["n_tokens"].to_numpy())
    rows["n_correct"] = rng.binomial(16, rng.beta(a, b))
    many = pd.concat([rows] * 8)
    once, often = (t2.fit("BetaConsistentLaw", table) for table in (rows, many))
    assert max(once.evaluations, often.evaluations) <= 220
    np.testing.assert_allclose(often.objective, 8 * once.objective, rtol=1e-6)
    assert columns_held(lambda: t2.fit("BetaConsistentLaw", many), len(many)) <= 30
