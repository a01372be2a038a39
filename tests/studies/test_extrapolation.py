"""Errors above a cut-off, of laws that are right and curves that are not."""

import numpy as np
import pandas as pd
import pytest
from test_frontiers import CHINCHILLA, CONSISTENT

from t2lib.studies import extrapolation as study


@pytest.fixture(scope="module")
def errors() -> pd.DataFrame:
    """Two tasks of a suite that follows the Beta-consistent law."""
    N, D, k = (
        x.ravel()
        for x in np.meshgrid(
            np.geomspace(5e7, 2e9, 5), np.geomspace(1e10, 3e11, 6), [1.0, 16.0, 256.0]
        )
    )
    table = pd.DataFrame(
        {
            "model": [f"{x:.0f}" for x in N],
            "n_params": N,
            "n_tokens": D,
            "k": k.astype(int),
            "pass_at_k": CONSISTENT.pass_at_k(N, D, k),
            "neg_log_pass": CONSISTENT.neg_log_pass(N, D, k),
            "mean_nll": CHINCHILLA.loss(N, D),
        }
    )
    both = [table.assign(task="a"), table.assign(task="b")]
    return study.errors_above(pd.concat(both, ignore_index=True), cut=400)


def test_only_rows_above_the_cut_are_judged(errors):
    assert set(errors["task"]) == {"a", "b"}
    assert 0 < errors.query("task == 'a'")["rows"].sum() < 5 * 6 * 3


def test_a_true_law_extrapolates_and_the_additive_law_does_not(errors):
    found = study.by_task(errors)
    assert found["Beta-consistent, pass@k"].max() < 0.01
    assert found["approach 1, -log pass@k"].min() > 0.02


def test_medians_have_intervals(errors):
    medians = study.medians(errors, n=20, seed=0)
    assert list(medians.index) == list(study.MEASURES)
    assert (medians["low"] <= medians["high"]).all()
    bars = study.intervals_by_task(errors, n=20, seed=0)
    assert list(bars["approach 2, pass@k"].index) == ["a", "b"]
