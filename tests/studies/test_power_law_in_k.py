"""Local exponents, steady runs and forecasts, on curves whose form is known."""

import numpy as np
import pandas as pd
import pytest

import t2lib as t2
from t2lib.studies import power_law_in_k as study

K = 2 ** np.arange(9)


def curves(y, k=K, task="t"):
    """Return a curve table whose two averages are y."""
    y = np.asarray(y, dtype=float)
    return pd.DataFrame(
        {
            "suite": "s",
            "model": "m",
            "task": task,
            "n_params": 1e8,
            "n_tokens": 1e10,
            "k": k,
            "pass_at_k": np.exp(-y),
            "neg_log_pass": y,
        }
    )


@pytest.mark.parametrize("average", ["neg_log_pass", "log_of_mean"])
def test_a_power_law_has_one_exponent_and_does_not_bend(average):
    power = curves(2 * K**-0.3)
    assert study.local_exponents(power, average).to_numpy() == pytest.approx(0.3)
    assert study.bends(power, average)["bend"].tolist() == pytest.approx([1])
    assert study.forecasts(power, average)["ratio"].tolist() == pytest.approx([1])


def test_a_constant_beside_the_power_bends_downward():
    assert study.bends(curves(0.5 + K**-0.3))["bend"].item() < 1


def test_a_beta_bends_upward_and_its_forecast_is_too_high():
    beta = curves(t2.beta_neg_log_pass(0.5, 20.0, K))
    assert study.bends(beta)["bend"].item() > 1.5
    assert study.forecasts(beta)["ratio"].item() > 1


def test_an_unknown_average_is_refused():
    with pytest.raises(t2.DataError, match="average"):
        study.local_exponents(curves(1.0 / K), "mean")


def test_a_curve_that_ends_has_gaps_and_what_was_never_answered_is_left_out():
    short = curves(1.0 / K[:4], K[:4], task="u")
    dead = curves(np.full(len(K), np.inf), task="dead")
    table = study.local_exponents(pd.concat([curves(1.0 / K), short, dead]), "log_of_mean")
    assert sorted(table.index.get_level_values("task")) == ["t", "u"]
    assert table.xs("u", level="task").notna().sum(axis=1).item() == 3


def test_the_longest_steady_run_is_found_and_later_ones_win_ties():
    names = ["suite", "model", "task", "n_params", "n_tokens"]
    index = pd.MultiIndex.from_tuples([("s", "m", t, 1e8, 1e10) for t in "tu"], names=names)
    rows = [[0.1, 0.2, 0.4, 0.41, 0.42, 0.9], [0.1, 0.1, 0.5, 0.9, 0.9, 0.2]]
    exponents = pd.DataFrame(rows, index=index, columns=K[:6])
    found = study.plateaus(exponents).droplevel(["suite", "model"])
    assert found.loc["t"].tolist() == [4, 3, 0.41]
    assert found.loc["u"].tolist() == [8, 2, 0.9]


def test_the_tail_of_a_beta_is_its_own_prediction_and_close_to_a():
    k = 2 ** np.arange(21)
    y = -np.log(t2.beta_pass_at_k(0.5, 20.0, k))
    shapes = pd.DataFrame(
        {"model": ["m"], "task": ["t"], "n_params": [1e8], "n_tokens": [1e10], "a": 0.5, "b": 20.0}
    )
    (row,) = study.tail_exponents(curves(y, k), shapes).itertuples()
    assert row.k == 2**19  # the last doubling
    assert row.exponent == pytest.approx(row.by_beta)
    assert row.exponent == pytest.approx(0.5, rel=0.03)


@pytest.mark.parametrize("a", [0.3, 0.6, 1.2])
def test_both_averages_of_a_beta_end_in_the_same_power(a):
    k = 1e9
    mean_of_log = t2.beta_neg_log_pass(a, 50.0, k)
    log_of_mean = -np.log1p(t2.beta_pass_at_k(a, 50.0, k) - 1)
    assert study.beta_tail(a, 50.0, k) == pytest.approx(mean_of_log, rel=1e-3)
    ratio = study.beta_tail(a, 50.0, k) / log_of_mean
    assert ratio == pytest.approx(special_zeta(1 + a), rel=1e-2)


def special_zeta(s):
    """Riemann's zeta: a long sum and the integral of what is left."""
    j = np.arange(1.0, 1e6)
    return (j**-s).sum() + (1e6 - 0.5) ** (1 - s) / (s - 1)
