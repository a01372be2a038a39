"""Chapter 08: where and why forecasts fail on Pythia, read from the executed notebook."""

from collections.abc import Callable

import pytest


@pytest.fixture(scope="module")
def said(numbers: Callable[[str], dict[str, str]]) -> dict[str, str]:
    """Return the numbers that the chapter put into its prose."""
    return numbers("08")


def first(text: str) -> float:
    """Return the estimate in front of its interval."""
    return float(text.split(" ")[0])


@pytest.mark.parametrize(
    ("name", "value", "tolerance"),
    [
        ("small", 0.67, 0.05),
        ("other", 0.16, 0.05),
        ("worst", 1.0, 0.1),
        ("explained", 89, 5),
        ("last", 0.89, 0.05),
        ("best", 0.10, 0.05),
        ("embedded", 92, 0),
        ("wins", 80, 2),
        ("wins-one", 26, 2),
        ("real", 8, 0),
        ("real-wins", 4, 0),
        ("free", 50, 5),
        ("more", 100, 0),
        ("inside", 100, 0),
    ],
)
def test_headline_number(said: dict[str, str], name: str, value: float, tolerance: float) -> None:
    """The number is the one that the embedded curves and the recorded laws give."""
    assert first(said[name]) == pytest.approx(value, abs=tolerance)


def test_forecast_is_too_high_for_the_smallest_under_two_laws(said: dict[str, str]) -> None:
    assert first(said["small"]) > 2 * first(said["other"])
    assert first(said["live-small"]) > first(said["live-other"])


def test_small_models_fall_where_the_law_rises(said: dict[str, str]) -> None:
    """The split adds up, but for rounding."""
    assert first(said["seen"]) < 0 < first(said["promised"])
    parts = first(said["best"]) + first(said["promised"]) - first(said["seen"])
    assert first(said["last"]) == pytest.approx(parts, abs=0.02)


def test_counting_without_embeddings_does_not_mend_it(said: dict[str, str]) -> None:
    for task in ("gsm8k", "math"):
        assert first(said[f"bare-{task}"]) > first(said["small"]) / 2
