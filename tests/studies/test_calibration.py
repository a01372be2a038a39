"""Coverage: right on a case where it is known, and wrong where the method's assumption is."""

import numpy as np
import pandas as pd
import pytest

import t2lib as t2
from t2lib.studies.calibration import Study, coverage, intervals
from t2lib.studies.simulation import Noise, simulate

LAW = t2.Chinchilla(E=1.8, A=480.0, B=2000.0, alpha=0.35, beta=0.37)


fit = t2.ChinchillaRefit(N="N", D="D")


def exponent(law):
    return law.compute_exponent


INDEPENDENT = Noise(checkpoint=0.004)


def study(models=8, noise=INDEPENDENT):
    N, D = np.meshgrid(np.geomspace(5e7, 5e9, models), np.geomspace(3e9, 3e11, 6), indexing="ij")
    table = pd.DataFrame({"N": N.ravel(), "D": D.ravel(), "model": np.repeat(range(models), 6)})
    return Study(LAW, table, noise, fit, {"a": exponent, "beta": lambda law: law.beta})


def test_independent_rows_are_covered():
    """40 runs: 38 are expected inside; 33 is more than three deviations away."""
    found = coverage(study(), ["curvature", "profile"], seeds=40)
    assert (found["inside"] >= 33 / 40).all()
    assert (found["failed"] == 0).all()
    assert found["truth"].tolist() == pytest.approx([exponent(LAW), LAW.beta] * 2)
    total = found[["inside", "too_low", "too_high"]].sum(axis=1)
    np.testing.assert_allclose(total, 1)


def test_shared_errors_fool_whoever_takes_rows_for_independent():
    """Models with an error of their own: rows promise too much for a, models know."""
    shared = study(models=12, noise=Noise(model=0.01, checkpoint=0.002))
    found = coverage(shared, ["profile", "profile, models"], seeds=24)
    inside = found.set_index(["method", "quantity"])["inside"]
    assert inside["profile", "a"] < 0.8
    assert inside["profile, models", "a"] >= 0.8


@pytest.mark.parametrize("method", ["percentile, rows", "percentile, models", "BCa, models"])
def test_bootstraps_give_intervals(method):
    one = study()
    table = simulate(LAW, one.table, np.random.default_rng(3), one.noise)
    found = intervals(one, table, method, seed=0, n_bootstrap=30)
    assert list(found) == ["a", "beta"]
    assert all(low < high for low, high in found.values())
    assert found == intervals(one, table, method, seed=0, n_bootstrap=30)


def test_posterior_gives_intervals():
    one = study()
    table = simulate(LAW, one.table, np.random.default_rng(3), one.noise)
    found = intervals(one, table, "posterior", seed=0, steps=700)
    alike = intervals(one, table, "profile", seed=0)
    for name, (low, high) in found.items():
        assert low < high
        assert high - low == pytest.approx(alike[name][1] - alike[name][0], rel=0.5)


def test_the_result_does_not_depend_on_processes():
    one, two = (coverage(study(), ["profile"], seeds=2, n_jobs=n) for n in (1, 2))
    pd.testing.assert_frame_equal(one, two)


def test_a_method_that_cannot_answer_is_counted():
    """Four models cannot tell five parameters and a shared error."""
    few = study(models=4, noise=Noise(model=0.004))
    found = coverage(few, ["profile, models", "profile"], seeds=2).set_index("method")
    assert (found.loc["profile, models", "failed"] == 2).all()
    assert found.loc["profile, models", "inside"].isna().all()
    assert (found.loc["profile", "failed"] == 0).all()


def test_bad_input():
    with pytest.raises(ValueError, match="'guess' is unknown"):
        coverage(study(), ["guess"], seeds=2)
    with pytest.raises(ValueError, match="seeds is 0"):
        coverage(study(), ["profile"], seeds=0)
    with pytest.raises(ValueError, match="must be one of curvature"):
        intervals(study(), pd.DataFrame(), "guess", seed=0)
