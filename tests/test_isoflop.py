"""Envelope and parabolas: against laws whose optimum is known."""

import numpy as np
import pandas as pd
import pytest

import t2lib as t2
from t2lib.isoflop import envelope, power_law

LAW = t2.Chinchilla(E=1.8, A=480.0, B=2100.0, alpha=0.35, beta=0.37)


def runs_of_equal_compute(budgets, n_sizes=25, spread=4.0):
    tables = []
    for C in budgets:
        best, _ = LAW.optimum(C)
        N = best * np.geomspace(1 / spread, spread, n_sizes)
        D = C / (6 * N)
        tables.append(
            pd.DataFrame({"train_flops": C, "n_params": N, "n_tokens": D, "loss": LAW.loss(N, D)})
        )
    return pd.concat(tables, ignore_index=True)


def test_both_approaches_find_the_laws_optimum():
    budgets = np.geomspace(1e18, 1e21, 7)
    points = runs_of_equal_compute(budgets)
    best, _ = LAW.optimum(budgets)
    for table in (envelope(points), t2.isoflop_parabolas(points)):
        assert table["inside"].all()
        np.testing.assert_allclose(table["N"], best, rtol=0.07)
        np.testing.assert_allclose(6 * table["N"] * table["D"], budgets, rtol=1e-12)
        _, exponent = power_law(table["train_flops"], table["N"])
        assert exponent == pytest.approx(LAW.compute_exponent, abs=0.01)


def test_an_optimum_at_the_edge_is_said():
    points = runs_of_equal_compute([1e20])
    small = points[points["n_params"] <= points["n_params"].median() * 0.8]
    assert not envelope(small)["inside"].any()
    assert not t2.isoflop_parabolas(small)["inside"].any()


def test_a_parabola_that_opens_downwards_has_no_minimum():
    points = pd.DataFrame({"train_flops": 1e20, "n_params": [1e8, 2e8, 4e8, 8e8]})
    points["loss"] = [2.0, 2.2, 2.2, 2.0]
    row = t2.isoflop_parabolas(points).iloc[0]
    assert np.isnan(row["N"]) and not row["inside"]


def test_interpolation_stays_inside_each_training_curve():
    tokens = np.geomspace(1e9, 1e11, 9)
    runs = pd.concat(
        pd.DataFrame({"model": name, "n_params": N, "n_tokens": tokens, "loss": 3 - np.log(tokens)})
        for name, N in (("a", 1e8), ("b", 1e9))
    )
    points = t2.at_equal_compute(runs, [6e17, 6e18, 6e19, 6e21])
    assert points.groupby("train_flops")["model"].apply(list).to_dict() == {
        6e17: ["a"],
        6e18: ["a", "b"],
        6e19: ["a", "b"],
    }
    np.testing.assert_allclose(points["loss"], 3 - np.log(points["n_tokens"]), rtol=1e-12)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="has 2 runs"):
        t2.isoflop_parabolas(runs_of_equal_compute([1e20], n_sizes=2))
    with pytest.raises(ValueError, match=r"y\[1\] is 0"):
        power_law([1, 2], [1, 0])
    with pytest.raises(ValueError, match="fewer than two values"):
        power_law([2, 2], [1, 3])
    with pytest.raises(ValueError, match="train_flops is -1"):
        t2.at_equal_compute(pd.DataFrame(), -1)
