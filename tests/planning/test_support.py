"""How far a plan lies beyond what was fitted."""

import numpy as np
import pandas as pd
import pytest

import t2lib as t2
from t2lib.planning.support import beyond, fitted_ranges, in_words


def test_ranges_of_a_curve_table():
    table = t2.load_curves("gemstones")
    ranges = fitted_ranges(table)
    assert list(ranges) == ["N", "D", "D/N", "k"]
    ratio = table["n_tokens"] / table["n_params"]
    assert ranges["D/N"] == (ratio.min(), ratio.max())
    assert ranges["k"] == (1, 65536)
    assert list(fitted_ranges(table.drop(columns="k"))) == ["N", "D", "D/N"]


def test_what_lies_outside_and_how_far():
    ranges = {"N": (1e8, 1e9), "D": (1e9, 1e11), "D/N": (1.0, 100.0), "k": (1, 256)}
    assert beyond(ranges, 5e8, 1e10, 16) == {}
    assert beyond(ranges, 1e9, 1e11, 256) == {} == beyond(ranges, 1e8, 1e9, 1)
    found = beyond(ranges, 5e7, 3.2e11, 512)
    assert found == pytest.approx({"N": 0.5, "D": 3.2, "D/N": 64.0, "k": 2.0})
    assert in_words(found, fitted_ranges(ranges)) == [
        "N is 0.5 times the smallest fitted (1e+08)",
        "D is 3.2 times the largest fitted (1e+11)",
        "D/N is 64 times the largest fitted (100)",
        "k is 2 times the largest fitted (256)",
    ]


def test_a_plan_tells_it():
    law = t2.Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)
    table = pd.DataFrame({"n_params": [1e7, 1e8], "n_tokens": [1e9, 1e10]})
    plan = t2.allocate(law, train_flops=1e21, fitted=table)
    assert plan.extrapolation["N"] == pytest.approx(plan.N / 1e8)
    assert plan.extrapolation["D"] == pytest.approx(plan.D / 1e10)
    assert "k" not in plan.extrapolation
    again = t2.cheapest(law, target=plan.metric, fitted=plan.fitted)
    assert again.extrapolation == pytest.approx(plan.extrapolation, rel=1e-6)


@pytest.mark.parametrize(
    ("fitted", "message"),
    [
        ({}, "fitted has nothing to compare with"),
        ({"M": (1, 2)}, "fitted has M: must be a table with n_params, n_tokens, k, or ranges"),
        ({"N": (2, 1)}, r"fitted range of N is \(2, 1\): must be two positive numbers"),
        ({"N": (np.nan, 1)}, "fitted range of N is"),
        (pd.DataFrame({"loss": [1.0]}), "fitted has nothing to compare with"),
        (pd.DataFrame({"n_params": [np.nan]}), "fitted range of N is"),
        (pd.DataFrame({"n_params": []}), "fitted range of N is"),
    ],
)
def test_what_is_no_range_is_refused(fitted, message):
    with pytest.raises(ValueError, match=message):
        fitted_ranges(fitted)
