"""Headline numbers of chapter 04, read from the executed notebook."""

from collections.abc import Callable

import pytest


@pytest.fixture(scope="module")
def said(glued: Callable[[str], dict[str, str]]) -> dict[str, str]:
    """Return the texts that the chapter put into its prose."""
    return {name: text.strip("'\"") for name, text in glued("04").items()}


@pytest.mark.parametrize(
    ("name", "value", "tolerance"),
    [
        ("n-models", 22, 0),
        ("n-checkpoints", 770, 0),
        ("n-monotone", 7, 0),
        ("n-zero-E", 8, 0),
        ("n-bent", 8, 0),
        ("n-steeper", 8, 0),
        ("macro-rms", 0.410, 0.002),
        ("macro-gamma", 0.324, 0.002),
        ("drop-low", 2.61, 0.02),
        ("drop-law", 3.07, 0.02),
        ("drop-high", 3.48, 0.02),
        ("alpha-additive", 1.37, 0.02),
        ("alpha-chinchilla", 0.16, 0.01),
        ("rms-one-additive", 0.302, 0.003),
        ("rms-one-direct", 0.075, 0.002),
        ("alpha-range-low", 0.29, 0.01),
        ("alpha-range-high", 1.08, 0.02),
        ("far-seen", 0.17, 0.01),
        ("far-law", 0.85, 0.02),
    ],
)
def test_headline_number(said: dict[str, str], name: str, value: float, tolerance: float) -> None:
    """The number is the one that the embedded curves give."""
    assert float(said[name]) == pytest.approx(value, abs=tolerance + 1e-9)


def test_projection_is_never_worse_than_restarts(said: dict[str, str]) -> None:
    """Both optimisers saw the same rows; at least one start in twenty went astray somewhere."""
    assert float(said["projection-worst"]) < 1e-6
    assert said["projection-verdict"].startswith("On every data set")
    assert float(said["arrived-low"].rstrip("%")) < 60
    assert float(said["speed-up"]) > 10


def test_interaction_is_real(said: dict[str, str]) -> None:
    """The drop changes with model size beyond the scatter between models."""
    assert float(said["slope-high"]) < 0
    assert said["interaction-verdict"].startswith("The interval excludes 0")
    assert float(said["one-direction"].rstrip("%")) > 99


def test_constant_is_held_at_zero(said: dict[str, str]) -> None:
    """The fit would put E below 0 in every resample of the models."""
    assert said["share-E-zero"] == "100%"
    assert float(said["E-cost"]) > 1
