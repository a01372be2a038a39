"""Chapter 12 and appendix A10: their verdicts, read from the executed notebooks."""

import re
from collections.abc import Callable

import pytest

Numbers = Callable[[str], dict[str, str]]


def value(text: str) -> float:
    """Return the estimate in front of its interval."""
    return float(text.split(" ")[0].replace(",", ""))


def ends(text: str) -> list[float]:
    """Return the interval."""
    return [float(end) for end in re.findall(r"-?[\d.]+", text.split("(")[1])]


@pytest.fixture(scope="module")
def said(numbers: Numbers) -> dict[str, str]:
    """Return the numbers that the chapter put into its prose."""
    return numbers("12")


@pytest.fixture(scope="module")
def never(numbers: Numbers) -> dict[str, str]:
    """Return those of the appendix."""
    return numbers("A10")


def test_the_forecast_is_better_than_a_power_law_and_not_the_best(said: dict[str, str]) -> None:
    assert value(said["ours"]) == pytest.approx(0.13, abs=0.02)
    assert value(said["ours"]) < value(said["power"]) < value(said["kept"])
    assert value(said["plain"]) < value(said["ours"]) < value(said["likely"])
    assert value(said["factor"]) == pytest.approx(10 ** value(said["ours"]), abs=0.1)


def test_intervals_hold_by_the_rule_and_narrow_ones_less(said: dict[str, str]) -> None:
    assert ends(said["held"])[1] >= 95
    assert value(said["held-400"]) < value(said["held"])
    assert value(said["width-400"]) < 0.6 * value(said["width"])


def test_the_plan_does_not_help_on_pythia(said: dict[str, str]) -> None:
    low, high = ends(said["plan"])
    assert low < 0 < high


def test_no_checkpoint_shows_questions_never_solved(never: dict[str, str]) -> None:
    assert value(never["holm"]) > 0.05
    assert value(never["small-gsm8k"]) <= 0.05 * value(never["tests-gsm8k"]) + 1
    assert value(never["small-math"]) > 0.05 * value(never["tests-math"])
    assert min(value(never["high-gsm8k"]), value(never["high-math"])) > 20


def test_the_plan_of_chapter_10_hardly_moves_and_the_limit_does(never: dict[str, str]) -> None:
    for name in ("N", "k"):
        assert value(never[f"plan-{name}"]) == pytest.approx(value(never[f"plain-{name}"]), rel=0.1)
    assert value(never["plain-limit"]) - value(never["tied-limit"]) > 0.1
