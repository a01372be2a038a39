"""Headline numbers and verdicts of chapter 05, read from the executed notebook."""

from collections.abc import Callable

import pytest


@pytest.fixture(scope="module")
def said(numbers: Callable[[str], dict[str, str]]) -> dict[str, str]:
    """Return the numbers that the chapter put into its prose."""
    return numbers("05")


def first(text: str) -> float:
    """Return the estimate in front of its interval."""
    return float(text.split(" ")[0].rstrip("%").replace(",", ""))


def ends(text: str) -> tuple[float, float]:
    """Return the interval of ``1.12 (1.05 to 1.18)``."""
    low, high = text.replace(" %", "").split("(")[1].rstrip(")").split(" to ")
    return float(low), float(high)


@pytest.mark.parametrize(
    ("name", "value", "tolerance"),
    [
        ("following", 7, 0),
        ("at-ceiling", 8, 0),
        ("rising", 8, 0),
        ("error-best", 0.029, 0.001),
        ("error-worst", 0.332, 0.005),
        ("naive-high", 2.03, 0.02),
        ("nu-low", 0.71, 0.01),
        ("nu-high", 1.18, 0.01),
        ("never-gsm8k", 2, 0),
        ("never-math", 34, 0),
        ("decades-gsm8k", 0.59, 0.02),
        ("decades-math", 0.30, 0.02),
    ],
)
def test_headline_number(said: dict[str, str], name: str, value: float, tolerance: float) -> None:
    """The number is the one that the embedded curves, or the recorded counts, give."""
    assert first(said[name]) == pytest.approx(value, abs=tolerance + 1e-9)


def test_both_links_err(said: dict[str, str]) -> None:
    """About half of the error is left given the loss."""
    assert 40 < ends(said["left"])[0] < ends(said["left"])[1] < 70


def test_ceiling_is_not_determined(said: dict[str, str]) -> None:
    """Halving the ceiling hardly changes the fit, but changes what it promises at zero loss."""
    assert first(said["half-ceiling"]) < 2
    assert first(said["zero-high"]) > 3 * first(said["zero-low"])


def test_p_is_not_beta_distributed(said: dict[str, str]) -> None:
    """On some tasks the two concentrations differ, beyond their interval."""
    assert ends(said["nu-low"])[1] < 1 < ends(said["nu-high"])[0]
    assert int(said["nu-apart"]) >= 4


def test_naive_is_too_high(said: dict[str, str]) -> None:
    """A theorem, so even on the task where it is least."""
    assert ends(said["naive-low"])[0] > 1


def test_prediction_is_known_better_than_exponents(said: dict[str, str]) -> None:
    assert first(said["width-pass"]) < 1.2 and first(said["width-beta"]) > 5


def test_law_overestimates_the_overtrained_small_models(said: dict[str, str]) -> None:
    """Pythia's smallest models get worse with more data, and no falling law follows that."""
    assert first(said["small-gsm8k"]) > 0.2 and first(said["small-math"]) > 0.2
