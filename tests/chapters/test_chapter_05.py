"""Headline numbers of chapter 05, read from the executed notebook."""

from collections.abc import Callable

import pytest


@pytest.fixture(scope="module")
def said(glued: Callable[[str], dict[str, str]]) -> dict[str, str]:
    """Return the texts that the chapter put into its prose."""
    return {name: text.strip("'\"") for name, text in glued("05").items()}


@pytest.mark.parametrize(
    ("name", "value", "tolerance"),
    [
        ("n-monotone", 7, 0),
        ("n-ceiling", 8, 0),
        ("n-naive", 8, 0),
        ("n-worse", 8, 0),
        ("n-rising", 8, 0),
        ("error-low", 0.029, 0.001),
        ("error-high", 0.332, 0.003),
        ("given-low", 0.013, 0.001),
        ("given-high", 0.140, 0.002),
        ("naive-high", 2.03, 0.02),
        ("nu-ratio-low", 0.71, 0.01),
        ("nu-ratio-high", 1.18, 0.01),
        ("gsm8k-never", 2, 0),
        ("math-never", 34, 0),
        ("gain-gsm8k", 583, 2),
        ("gain-math", 314, 2),
        ("decades-gsm8k", 0.59, 0.02),
        ("decades-later-gsm8k", 0.24, 0.02),
        ("decades-math", 0.30, 0.02),
    ],
)
def test_headline_number(said: dict[str, str], name: str, value: float, tolerance: float) -> None:
    """The number is the one that the embedded curves, or the recorded counts, give."""
    assert float(said[name].replace(",", "")) == pytest.approx(value, abs=tolerance + 1e-9)


def test_ceiling_is_not_determined(said: dict[str, str]) -> None:
    """Halving the ceiling hardly changes the fit, but changes what it promises at zero loss."""
    costs = [float(part.split()[0]) for part in said["half-cost"].split(" and ")]
    assert max(costs) < 2
    assert float(said["zero-high"]) > 3 * float(said["zero-low"])


def test_intervals_hold_the_fitted_prediction(said: dict[str, str]) -> None:
    """Pass@1 of a 1 B model on HellaSwag is known to a few percent."""
    low, high = map(float, said["main-one"].split(" to "))
    assert 0.070 < low < high < 0.085


def test_law_overestimates_the_overtrained_small_models(said: dict[str, str]) -> None:
    """Pythia's smallest models get worse with more data, and no falling law follows that."""
    assert float(said["small-bias-gsm8k"]) > 0.2
    assert float(said["small-bias-math"]) > 0.2
    assert said["pythia-verdict"].startswith("It overestimates")
