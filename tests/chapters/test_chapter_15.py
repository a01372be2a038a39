"""Chapter 15: fine-tuning and temperature on our testbed, read from the executed notebook."""

from collections.abc import Callable

import pytest

from t2lib.studies.testbed_claims import verdict


@pytest.fixture(scope="module")
def said(numbers: Callable[[str], dict[str, str]]) -> dict[str, float]:
    """Return the numbers that the chapter put into its prose."""
    return {name: float(text.split(" ")[0]) for name, text in numbers("15").items()}


@pytest.mark.parametrize("way", ["everything", "answers"])
def test_the_shift_all_but_goes(said: dict[str, float], way: str) -> None:
    """Claim 9 is mixed by its rule, as the scorecard says."""
    assert said["ratio-before"] < said[f"ratio-{way}"] < 1
    assert said[f"won-{way}"] < 50
    least = min(said[f"won-{way}"], said[f"sure-{way}"])
    assert verdict(least / 100) == "mixed"


def test_overtraining_and_tuning_are_not_decided(said: dict[str, float]) -> None:
    for way in ("everything", "answers"):
        assert said[f"less-{way}"] + said[f"more-{way}"] < said["slopes"] / 2


def test_more_samples_want_a_warmer_model(said: dict[str, float]) -> None:
    assert said["cold"] < 0.5
    assert said["hot"] > 0.9
