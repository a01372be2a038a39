"""Beta distributions of difficulty: fits to bins and counts, their tests and what was recorded."""

import numpy as np
import pandas as pd
import pytest

import t2lib as t2
from t2lib.data.curves import common_questions
from t2lib.studies import difficulty as study
from t2lib.studies.repeated_sampling import last_checkpoints


@pytest.fixture(scope="module")
def histograms():
    return last_checkpoints(t2.load_histograms("gemstones"))


@pytest.fixture(scope="module")
def winogrande(histograms):
    return study.fit_shapes(histograms[histograms["task"] == "winogrande"]).loc["winogrande"]


def test_bins_are_fine_enough_for_the_curve(histograms):
    """The histogram gives back the embedded curve, which knows every question."""
    task, model = "hellaswag_zeroshot", "Gemstone-3072x12"
    rows = histograms[(histograms["task"] == task) & (histograms["model"] == model)]
    curves = last_checkpoints(t2.load_curves("gemstones"))
    seen = curves[(curves["task"] == task) & (curves["model"] == model)]
    rebuilt = t2.pass_at_k_from_nll(study.binned_nll(rows), seen["k"].to_numpy())
    assert rebuilt == pytest.approx(seen["pass_at_k"].to_numpy(), rel=1e-3)


def test_binning_hardly_moves_the_shape(winogrande):
    """Against fits to every question, on the task with questions in the last bin."""
    exact = pd.DataFrame(study.winogrande_shapes().values)
    off = (winogrande[["a", "b"]] / exact - 1).abs().max()
    assert off["a"] == pytest.approx(0.010, abs=0.001)
    assert off["b"] == pytest.approx(0.045, abs=0.001)


def test_a_known_beta_is_found_in_its_own_bins():
    log_p = np.log(np.random.default_rng(0).beta(0.5, 20, size=200_000))
    low, counts = np.unique(np.floor(log_p / 0.125) * 0.125, return_counts=True)
    histogram = pd.DataFrame({"log_p_low": low, "log_p_high": low + 0.125, "n_questions": counts})
    shape = study.fit_shapes(histogram.assign(task="t", model="m")).loc[("t", "m")]
    assert shape["a"] == pytest.approx(0.5, rel=0.02)
    assert shape["b"] == pytest.approx(20, rel=0.03)
    assert shape["distance"] < 0.01


def test_density_of_log_p_integrates_to_one():
    log_p = np.linspace(-60, -1e-6, 400_001)
    density = study.density_of_log_p(0.5, 20.0, log_p)
    assert np.trapezoid(density, log_p) == pytest.approx(1, abs=1e-4)


def test_newtons_fit_is_that_of_fit_beta():
    p = np.random.default_rng(1).beta(0.4, 3, size=(4, 1000))
    means = np.log(p).mean(axis=1), np.log1p(-p).mean(axis=1)
    fitted = study.most_likely(*means, 0.4, 3.0)
    expected = [t2.fit_beta(nll=-np.log(row)) for row in p]
    assert pytest.approx(np.array(expected), rel=1e-4) == fitted.T


def test_a_true_beta_is_rejected_as_often_as_it_should():
    rng = np.random.default_rng(0)
    reference = study.simulated_distances(0.5, 20.0, 500, n=400, rng=rng)
    others = study.simulated_distances(0.5, 20.0, 500, n=400, rng=rng)
    assert np.mean(others > np.quantile(reference, 0.95)) == pytest.approx(0.05, abs=0.03)


def test_goodness_names_each_task(histograms):
    some = histograms[histograms["task"].isin(["arce", "piqa"])]
    curves = t2.load_curves("gemstones")
    table = study.goodness(study.fit_shapes(some), curves, "Gemstone-3072x12", n=40, seed=0)
    assert table.loc["piqa", "distance"] > 2 * table.loc["piqa", "by_chance"]
    assert table.loc["arce", "distance"] < table.loc["arce", "by_chance"]


def test_pass_errors_are_zero_for_a_curve_of_the_beta_itself():
    k = np.array([1, 10, 100])
    curves = pd.DataFrame({"suite": "s", "model": "m", "task": "t", "k": k})
    curves["pass_at_k"] = t2.beta_pass_at_k(0.5, 20.0, k)
    index = pd.MultiIndex.from_tuples([("t", "m")], names=["task", "model"])
    shapes = pd.DataFrame({"a": [0.5], "b": [20.0]}, index=index)
    assert study.pass_errors(curves, shapes)["error"].max() < 1e-9
    doubled = curves.assign(pass_at_k=curves["pass_at_k"] / 1.1)
    assert study.pass_errors(doubled, shapes)["error"].tolist() == pytest.approx([10] * 3)


def test_counts_of_a_known_beta_are_described():
    rng = np.random.default_rng(0)
    n = np.full(2000, 300)
    c = rng.binomial(n, rng.beta(0.5, 20, size=2000))
    found = study.describe_counts(n, c)
    assert found["a"] == pytest.approx(0.5, rel=0.1)
    assert found["largest_k"] == 256
    assert found["plug_in_over_unbiased"] < 1
    never = (c == 0).sum()
    assert abs(never - found["never_answered_fit"]) < 4 * found["never_answered_sd"]


def test_pythias_fits_expect_the_questions_that_were_never_answered():
    usable = study.usable_shapes(study.pythia_shapes())
    assert len(usable) == 89
    assert usable["z"].abs().max() < 1.2
    errors = study.sampled_pass_errors(t2.load_curves("pythia"), usable)
    assert errors.median() == pytest.approx(1.2, abs=0.1)
    change = study.change_in_training(usable)
    assert (change["a"], change["b"]) == pytest.approx((1.85, 10.97), abs=0.01)


def test_recorded_shapes_are_those_of_the_released_counts(released, monkeypatch):
    """One checkpoint fitted again from its samples, against what was recorded."""
    monkeypatch.setenv("T2LIB_MIRROR", str(released))
    questions = common_questions(t2.load_questions("pythia", "gsm8k"))
    rows = questions[(questions["model"] == "Pythia-1.4B") & (questions["n_tokens"] > 2.5e11)]
    monkeypatch.setenv("T2LIB_MIRROR", "")
    monkeypatch.setenv("T2LIB_CACHE", str(released / "no-such-cache"))
    shapes = study.pythia_shapes()
    of_gsm8k = shapes[(shapes["model"] == "Pythia-1.4B") & (shapes["task"] == "gsm8k")]
    (row,) = of_gsm8k[of_gsm8k["n_tokens"] > 2.5e11].itertuples()
    a, b = t2.fit_beta(n=rows["n_samples"], c=rows["n_correct"])
    assert (a, b) == pytest.approx((row.a, row.b), rel=1e-4)
    assert row.answered == (rows["n_correct"] > 0).sum()
