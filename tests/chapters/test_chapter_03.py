"""Headline numbers of chapter 03, read from the chapter that the site shows."""

import pytest

import t2lib as t2
from t2lib.data.curves import common_questions


@pytest.fixture(scope="module")
def numbers(glued):
    return glued("03")


def value(numbers, name):
    return float(numbers[name])


def interval(numbers, name):
    low, high = numbers[name].strip("'").split(" to ")
    return float(low), float(high)


def test_unbiased_estimate_and_its_variance_formula_agree_with_simulation(numbers):
    assert value(numbers, "unbiased_z") < 4  # standard errors, the worst of eight k
    assert value(numbers, "spread_off") < 2  # per cent
    assert value(numbers, "plug_in_loss") == pytest.approx(16.8, abs=0.1)
    assert value(numbers, "plug_in_pythia_worst") == pytest.approx(32.6, abs=0.1)


def test_jensen_gap_is_never_negative(numbers):
    assert numbers["gap_never_negative"] == "True"
    assert value(numbers, "gap_max") == pytest.approx(2.56, abs=0.01)


def test_naive_law_overestimates(numbers):
    assert numbers["claim_7"] == "'holds on every task'"
    assert value(numbers, "above_gemstones") == 100
    assert numbers["naive_worst_task"] == "'coqa'"
    assert value(numbers, "naive_worst") == pytest.approx(2.23, abs=0.01)
    assert interval(numbers, "naive_gsm8k_interval")[0] > 1
    assert interval(numbers, "naive_math_interval")[0] > 1


def test_minus_log_pass_is_no_power_law_at_small_k(numbers):
    assert numbers["claim_6"] == "'fails on every task, for both averages'"
    assert value(numbers, "bend_arcc") == pytest.approx(1.99, abs=0.01)
    assert value(numbers, "bend_gsm8k") == pytest.approx(1.95, abs=0.02)
    assert value(numbers, "bend_math") == pytest.approx(1.94, abs=0.02)
    for name in ("bend_arcc", "bend_gsm8k", "bend_math"):
        low, high = interval(numbers, f"{name}_interval")
        assert 1.5 < low <= value(numbers, name) + 0.005 <= high + 0.01


def test_exponent_at_large_k_is_near_the_shape_of_the_beta(numbers):
    assert value(numbers, "n_near") == 8
    assert numbers["far_tasks"] == "'coqa, piqa'"
    assert value(numbers, "ratio_low") == pytest.approx(0.67, abs=0.02)
    assert value(numbers, "ratio_high") == pytest.approx(1.50, abs=0.02)
    assert value(numbers, "beta_exponent_gsm8k") == pytest.approx(1.01, abs=0.02)


def test_beta_describes_pythias_counts(numbers):
    assert value(numbers, "n_usable") == 89
    assert value(numbers, "never_z") < 1.2
    assert value(numbers, "pythia_error") == pytest.approx(1.2, abs=0.1)


def test_recorded_shapes_are_those_of_the_released_counts(released, monkeypatch):
    """One checkpoint fitted again from its samples, against what the chapter recorded."""
    monkeypatch.setenv("T2LIB_MIRROR", str(released))
    questions = common_questions(t2.load_questions("pythia", "gsm8k"))
    rows = questions[(questions["model"] == "Pythia-1.4B") & (questions["n_tokens"] > 2.5e11)]
    monkeypatch.setenv("T2LIB_MIRROR", "")
    monkeypatch.setenv("T2LIB_CACHE", str(released / "no-such-cache"))
    inputs = ["pythia_gsm8k", "pythia_math"]
    recorded = t2.recorded("ch03_pythia_counts", dict, inputs=inputs)
    assert recorded.source == "recorded"
    (row,) = [
        row
        for row in recorded.values["checkpoints"]
        if (row["model"], row["task"]) == ("Pythia-1.4B", "gsm8k") and row["n_tokens"] > 2.5e11
    ]
    a, b = t2.fit_beta(n=rows["n_samples"], c=rows["n_correct"])
    assert (a, b) == pytest.approx((row["a"], row["b"]), rel=1e-4)
    assert row["answered"] == (rows["n_correct"] > 0).sum()
