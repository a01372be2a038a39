"""Headline numbers and verdicts of chapter 03 and its appendices, as the site shows them."""

import pytest


@pytest.fixture(scope="module")
def said(numbers):
    return numbers("03")


@pytest.fixture(scope="module")
def estimators(numbers):
    return numbers("A1")


@pytest.fixture(scope="module")
def powers(numbers):
    return numbers("A3")


def first(text):
    """Return the number that a text begins with."""
    return float(text.split()[0].replace(",", ""))


def ends(text):
    """Return the interval of ``1.12 (1.05 to 1.18)``."""
    low, high = text.split("(")[1].rstrip(")").split(" to ")
    return float(low), float(high)


def test_unbiased_estimate_and_its_variance_formula_agree_with_simulation(estimators):
    assert first(estimators["unbiased_z"]) < 4  # standard errors, the worst of eight k
    assert first(estimators["spread_off"]) < 2  # per cent
    assert estimators["plug_in_loss"] == "17 %"


def test_plug_in_on_pythias_samples(said, estimators):
    for page in (said, estimators):
        assert (page["plug_in_median"], page["plug_in_worst"]) == ("10 %", "33 %")


def test_jensens_gap_by_task(said):
    assert first(said["gap_hellaswag"]) == pytest.approx(0.23, abs=0.01)
    assert first(said["gap_winogrande"]) == pytest.approx(2.56, abs=0.01)


def test_naive_law_overestimates(said):
    """Claim 7 on real samples, where it is no theorem."""
    assert first(said["naive_coqa"]) == pytest.approx(2.23, abs=0.01)
    assert first(said["half_coqa"]) == pytest.approx(6.90, abs=0.01)
    for task in ("gsm8k", "math"):
        assert ends(said[f"naive_{task}"])[0] > 1
    assert first(said["above_pythia"]) > 75
    assert first(said["lowest_ratio"]) > 0.95


def test_minus_log_pass_is_no_power_law_at_small_k(said):
    """Claim 6 fails on every task."""
    assert said["n_bent"] == "10"
    for task, value in (("arcc", 1.99), ("gsm8k", 1.95), ("math", 1.94)):
        assert first(said[f"bend_{task}"]) == pytest.approx(value, abs=0.02)
        assert ends(said[f"bend_{task}"])[0] > 1.5


def test_beta_is_a_good_approximation_and_no_exact_model(said):
    assert said["n_rejected"] == "5"
    assert first(said["beta_error_best"]) == pytest.approx(0.54, abs=0.02)
    assert first(said["beta_error_worst"]) == pytest.approx(8.5, abs=0.1)


def test_beta_describes_pythias_counts(said):
    assert (said["n_usable"], said["n_fitted"]) == ("89", "117")
    assert first(said["never_z"]) < 1.2
    assert first(said["pythia_error"]) == pytest.approx(1.2, abs=0.1)
    assert first(said["change_b"]) > 5 * first(said["change_a"])  # the scale moves most


def test_a_steady_exponent_is_rare_and_begins_late(powers):
    assert (powers["n_plateau"], powers["plateau_first"]) == ("3", "32")
    assert (powers["plateau_longest"], powers["plateau_shortest"]) == ("128", "4")


def test_forecasts_from_few_samples_are_too_pessimistic(powers):
    assert ends(powers["forecast_low"])[0] > 1
    assert first(powers["forecast_high"]) == pytest.approx(8.8, abs=0.1)


def test_exponent_at_large_k_is_near_the_shape_of_the_beta(powers):
    assert powers["n_near"] == "8"
    assert first(powers["ratio_low"]) == pytest.approx(0.67, abs=0.02)
    assert first(powers["ratio_high"]) == pytest.approx(1.50, abs=0.02)
    assert first(powers["by_beta_gsm8k"]) == pytest.approx(1.01, abs=0.02)
